//! Relief of full pipes while their files cannot be written: so that whoever writes to a log with policy `drop` never waits
//! for a disk. The main thread does it, since the writer is what is stuck.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags, open};

use crate::hand::Hand;
use crate::logs::StreamId;
use crate::pack::pack;
use crate::source::Source;

/// How often full pipes are looked for while something is stuck: the longest that a writer to a `drop` log waits then, give or
/// take what the system needs to run this process.
const EVERY: Duration = Duration::from_millis(10);

/// All logs, and which of them need to be watched over.
#[derive(Debug)]
pub struct Relief {
    null: OwnedFd,
    /// What is dropped passes through it. Nothing is dropped as long as there is none.
    hand: Option<Hand>,
    sources: BTreeMap<StreamId, Arc<Source>>,
    /// Logs whose own file cannot be written.
    stuck: BTreeSet<StreamId>,
    /// Logs of which something was dropped while the writer was late.
    to_mark: BTreeSet<StreamId>,
    /// When full pipes are looked for again. A daemon that has much to do goes round more often than that, and with thousands of
    /// logs each look is milliseconds of work.
    due: Option<Instant>,
}

impl Relief {
    /// Nobody to relieve yet.
    pub fn new() -> std::io::Result<Relief> {
        let null = open("/dev/null", OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
        let (sources, stuck, to_mark) = (BTreeMap::new(), BTreeSet::new(), BTreeSet::new());
        Ok(Relief { null, hand: None, sources, stuck, to_mark, due: None })
    }

    /// Its own hand.
    pub fn set_hand(&mut self, hand: Hand) {
        self.hand = Some(hand);
    }

    /// A log is served.
    pub fn add(&mut self, id: StreamId, source: Arc<Source>) {
        self.sources.insert(id, source);
    }

    /// Takes no more room than it needs: see [`pack`].
    pub fn pack(&mut self) {
        pack(&mut self.sources);
    }

    /// The pipe of a log.
    pub fn source(&self, id: StreamId) -> Option<&Source> {
        self.sources.get(&id).map(|source| &**source)
    }

    /// A log is over.
    pub fn remove(&mut self, id: StreamId) {
        self.sources.remove(&id);
        self.stuck.remove(&id);
        self.to_mark.remove(&id);
    }

    /// A log's file cannot be written, or can again.
    pub fn set_stuck(&mut self, id: StreamId, stuck: bool) {
        if stuck && self.sources.contains_key(&id) {
            self.stuck.insert(id);
        } else {
            self.stuck.remove(&id);
            // Dropped after the writer had come by, which had not heard of it.
            if self.sources.get(&id).is_some_and(|source| source.has_gap()) {
                self.to_mark.insert(id);
            }
        }
    }

    /// How many logs' files cannot be written.
    pub fn stuck(&self) -> usize {
        self.stuck.len()
    }

    /// Whether it is time for [`Relief::relieve`].
    pub fn is_due(&self, now: Instant) -> bool {
        self.due.is_none_or(|due| due <= now)
    }

    /// When it is time again, to be asked after each chance for it; none: when something gets stuck.
    pub fn next(&mut self, any_writer_is_late: bool, now: Instant) -> Option<Instant> {
        if !self.is_needed(any_writer_is_late) {
            self.due = None;
        } else if self.is_due(now) {
            self.due = Some(now + EVERY);
        }
        self.due
    }

    /// Whether somebody may have to wait for a disk.
    pub fn is_needed(&self, any_writer_is_late: bool) -> bool {
        any_writer_is_late || !self.stuck.is_empty() || !self.to_mark.is_empty()
    }

    /// Makes room in the pipes that are full: of logs whose writer is late, and of logs that are stuck.
    pub fn relieve(&mut self, any_writer_is_late: bool, is_late: impl Fn(StreamId) -> bool) {
        let Some(hand) = &mut self.hand else { return };
        if any_writer_is_late {
            for (id, source) in self.sources.iter().filter(|(id, _)| is_late(**id)) {
                if source.relieve(hand, self.null.as_fd()) > 0 {
                    self.to_mark.insert(*id);
                }
            }
        }
        for id in &self.stuck {
            if let Some(source) = self.sources.get(id) {
                source.relieve(hand, self.null.as_fd());
            }
        }
    }

    /// Makes room in one log's pipe for whoever fills it in this very thread.
    pub fn make_room(&mut self, id: StreamId) {
        if let (Some(hand), Some(source)) = (&mut self.hand, self.sources.get(&id))
            && source.relieve(hand, self.null.as_fd()) > 0
        {
            self.to_mark.insert(id);
        }
    }

    /// Logs that have something missing, and whose writer is back: their next bytes may not come soon to tell.
    pub fn take_to_mark(&mut self, is_late: impl Fn(StreamId) -> bool) -> Vec<StreamId> {
        self.to_mark.extract_if(.., |id| !is_late(*id)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// While thousands of logs were opened their writer was late, and every round of the main loop looked into all of their pipes:
    /// half of what it took to open them was that.
    #[test]
    fn full_pipes_are_looked_for_at_their_time_however_busy_the_loop_is() {
        let (mut relief, start) = (Relief::new().unwrap(), Instant::now());
        let looks = (0..100).filter(|millis| {
            let now = start + Duration::from_millis(*millis);
            let is_due = relief.is_due(now);
            assert_eq!(relief.next(true, now).map(|next| next > now), Some(true));
            is_due
        });
        assert_eq!(looks.count(), 10);
        // At once, when something gets stuck after all was well.
        let later = start + Duration::from_millis(101);
        assert_eq!(relief.next(false, later), None);
        assert!(relief.is_due(later));
    }
}
