//! How many events of a console are looked at in a time: a guest that does nothing but send them costs the others no more than
//! that.
//!
//! As with the stock daemon (tools/console/daemon/io.c, `RATE_LIMIT_ALLOWANCE` and `RATE_LIMIT_PERIOD`), but with one heap of the
//! consoles that wait instead of a look at every console in every round.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

/// Events of one console in one [`PERIOD`].
pub const ALLOWANCE: u32 = 30;

/// Counted from the first of them. The clock is monotonic: nobody can set it.
pub const PERIOD: Duration = Duration::from_millis(200);

/// What becomes of the event channel after an event, which itself is served in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The next one may come.
    Go,
    /// It stays masked until then: whatever the guest sends meanwhile is one event.
    HoldUntil(Instant),
}

/// The events of one console.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rate {
    /// When the present period is over.
    end: Option<Instant>,
    /// Events in it.
    events: u32,
}

impl Rate {
    /// There was an event.
    pub fn event(&mut self, now: Instant) -> Verdict {
        let end = match self.end {
            Some(end) if now < end => end,
            _ => {
                self.events = 0;
                now + PERIOD
            }
        };
        self.end = Some(end);
        self.events = self.events.saturating_add(1);
        if self.events < ALLOWANCE { Verdict::Go } else { Verdict::HoldUntil(end) }
    }
}

/// Which consoles are held, and until when. What it costs depends on how many come and go, not on how many there are.
///
/// A console that is gone is not taken out: its `K` comes when its time is over, and is nobody's then. So a `K` must not be given
/// to another console.
#[derive(Debug)]
pub struct Holds<K> {
    held: BinaryHeap<Reverse<(Instant, K)>>,
}

impl<K: Ord> Holds<K> {
    /// None.
    pub fn new() -> Holds<K> {
        Holds { held: BinaryHeap::new() }
    }

    /// This one is held.
    pub fn hold(&mut self, console: K, until: Instant) {
        self.held.push(Reverse((until, console)));
    }

    /// When the next one is to be let go: the longest that may be waited for events.
    pub fn next(&self) -> Option<Instant> {
        self.held.peek().map(|Reverse((until, _))| *until)
    }

    /// The next one whose time is over, if there is one. To be called until there is none.
    pub fn due(&mut self, now: Instant) -> Option<K> {
        self.next().filter(|until| *until <= now)?;
        self.held.pop().map(|Reverse((_, console))| console)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: Duration = Duration::from_millis(1);

    #[test]
    fn the_thirtieth_event_of_a_period_is_the_last() {
        let (mut rate, start) = (Rate::default(), Instant::now());
        let end = start + PERIOD;
        for event in 1..ALLOWANCE {
            assert_eq!(rate.event(start + TICK * event - TICK), Verdict::Go, "event {event}");
        }
        assert_eq!(rate.event(start + TICK * 30), Verdict::HoldUntil(end));
        // It was masked; an event that had been read before is served, too, and changes nothing.
        assert_eq!(rate.event(end - TICK), Verdict::HoldUntil(end));
        // Then it starts from the beginning, with the first event that comes.
        for _ in 1..ALLOWANCE {
            assert_eq!(rate.event(end), Verdict::Go);
        }
        assert_eq!(rate.event(end), Verdict::HoldUntil(end + PERIOD));
    }

    #[test]
    fn a_console_that_is_seldom_heard_of_is_never_held() {
        let (mut rate, mut now) = (Rate::default(), Instant::now());
        for _ in 0..1000 {
            assert_eq!(rate.event(now), Verdict::Go);
            now += PERIOD / (ALLOWANCE - 1) + TICK;
        }
    }

    #[test]
    fn consoles_are_let_go_in_their_turn_and_once() {
        let (mut holds, start) = (Holds::new(), Instant::now());
        assert_eq!((holds.next(), holds.due(start)), (None, None));
        // All consoles that a host can have; the order in which they come is not the order in which they go.
        let when = |console: u32| start + TICK * (console * 7919 % 200);
        for console in 0..32_752 {
            holds.hold(console, when(console));
        }
        assert_eq!(holds.next(), Some(start));
        let mut gone = 0;
        for tick in 0..200 {
            let now = start + TICK * tick;
            while let Some(console) = holds.due(now) {
                assert_eq!(when(console), now, "{console}");
                gone += 1;
            }
            assert!(holds.next().is_none_or(|next| next > now));
        }
        assert_eq!((gone, holds.next()), (32_752, None));
    }
}
