//! When guests' events are looked for: at once, or, while they come thick and fast, after a moment, several at a time.
//!
//! To be woken up costs more than what is then done for an event. So where one came soon after another guest's, the event loop does
//! not wait for the next: it looks for all that there are a moment later, as long as it finds some. A guest loses nothing by that: it
//! may have [`rate::ALLOWANCE`] events in a [`rate::PERIOD`], which is one in 6.7 ms. The first event after a silence is served at
//! once, and so is each while somebody types, since whoever does waits for the answer.
//!
//! [`rate::ALLOWANCE`]: super::rate::ALLOWANCE
//! [`rate::PERIOD`]: super::rate::PERIOD

use std::time::{Duration, Instant};

/// How long the moment is: two guests' events that are not further apart are thick and fast.
pub const REST: Duration = Duration::from_millis(2);
/// So long after the last key somebody is still typing.
const TYPING: Duration = Duration::from_secs(1);

/// What decides it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lull {
    /// When there were events last, and a port that had one.
    served: Option<(Instant, u32)>,
    /// When somebody typed last.
    typed: Option<Instant>,
    /// When events are looked for; none: they are waited for.
    until: Option<Instant>,
}

impl Lull {
    /// Events were looked for, and these ports found to have one, of `most` that can be found at once. Answers with when they are to
    /// be looked for again; none: they are to be waited for.
    pub fn looked(&mut self, ports: &[u32], most: usize, now: Instant) -> Option<Instant> {
        let within = |at: Instant, time| now.saturating_duration_since(at) <= time;
        // One guest alone would not have a second event before its first one is served.
        let follows =
            self.served.is_some_and(|(at, other)| within(at, REST) && ports.iter().any(|port| *port != other));
        let is_thick = (self.until.is_some() || follows) && !self.typed.is_some_and(|at| within(at, TYPING));
        self.served = ports.last().map(|port| (now, *port)).or(self.served);
        let rest = if ports.len() < most { REST } else { Duration::ZERO };
        self.until = (is_thick && !ports.is_empty()).then_some(now + rest);
        self.until
    }

    /// Somebody typed. True if events are to be waited for again.
    pub fn typed(&mut self, now: Instant) -> bool {
        self.typed = Some(now);
        self.until.take().is_some()
    }

    /// When events are to be looked for, if they are not waited for.
    pub fn until(&self) -> Option<Instant> {
        self.until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_millis(1);
    const LATER: Duration = Duration::from_millis(10);

    #[test]
    fn only_what_follows_soon_is_waited_for() {
        let (mut lull, mut now) = (Lull::default(), Instant::now());
        for port in 1..4 {
            assert_eq!(lull.looked(&[port], 64, now), None, "the first after a silence");
            now += LATER;
        }
        assert_eq!(lull.looked(&[1], 64, now), None);
        assert_eq!(lull.looked(&[2], 64, now + SOON), Some(now + SOON + REST));
        // However late it gets its turn, it goes on as long as there is something.
        now += LATER;
        assert_eq!(lull.looked(&[1, 2, 3], 64, now), Some(now + REST));
        now += LATER;
        assert_eq!(lull.looked(&[7; 64], 64, now), Some(now), "there may be more");
        assert_eq!(lull.looked(&[], 64, now), None, "it is silent again");
        assert_eq!(lull.until(), None);
    }

    #[test]
    fn one_guest_alone_is_served_at_once() {
        let (mut lull, now) = (Lull::default(), Instant::now());
        for event in 0..30 {
            assert_eq!(lull.looked(&[5], 64, now + SOON * event), None);
        }
    }

    #[test]
    fn whoever_types_is_answered_at_once() {
        let (mut lull, now) = (Lull::default(), Instant::now());
        lull.looked(&[1], 64, now);
        assert!(lull.looked(&[2], 64, now).is_some());
        assert!(lull.typed(now), "what has come is looked for at once");
        assert!(!lull.typed(now));
        assert_eq!(lull.looked(&[1], 64, now + SOON), None);
        assert_eq!(lull.looked(&[2], 64, now + TYPING), None);
        assert!(lull.looked(&[1], 64, now + TYPING + SOON).is_some());
    }
}
