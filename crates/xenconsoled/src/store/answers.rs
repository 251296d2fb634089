//! The answers that are to be written: which next, and when again after a conflict.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use logproto::{EntryKey, State};

use crate::asked::Asked;
use crate::logs::FifoId;
use crate::turns::Turns;

/// After so many conflicts an answer gets a transaction of its own, so that an entry which is written without end holds up
/// no other.
const ALONE_AFTER: u32 = 3;
/// The wait after the first conflict, doubled with each up to the largest.
const WAIT_MIN: Duration = Duration::from_millis(1);
const WAIT_MAX: Duration = Duration::from_secs(1);

/// An answer, and to what.
#[derive(Debug)]
pub(super) struct Answer {
    pub asked: Asked,
    /// The FIFO that its pipe named.
    pub fifo: Option<FifoId>,
    pub state: State,
    /// It is not to be tried again, and nothing follows from it.
    pub withdrawn: bool,
    conflicts: u32,
}

/// The answers that wait.
#[derive(Debug, Default)]
pub(super) struct Answers {
    new: Turns<Answer>,
    /// Those that met conflicts, and when they are due again.
    again: BTreeMap<EntryKey, (Instant, Answer)>,
}

impl Answers {
    /// Adds an answer, in place of one that waits for the same entry.
    pub fn add(&mut self, key: EntryKey, asked: Asked, fifo: Option<FifoId>, state: State) {
        self.again.remove(&key);
        self.new.add(key, Answer { asked, fifo, state, withdrawn: false, conflicts: 0 });
    }

    /// Forgets the one that waits for this entry.
    pub fn remove(&mut self, key: &EntryKey) {
        self.again.remove(key);
        self.new.remove(key);
    }

    /// When the next one may be written: `now` if at once.
    pub fn due(&self, now: Instant) -> Option<Instant> {
        if self.new.is_empty() { self.again.values().map(|(due, _)| *due).min() } else { Some(now) }
    }

    /// The next batch, of up to `most` that are due; one that often met conflicts only by itself, when there is no other.
    pub fn take(&mut self, most: usize, now: Instant) -> Vec<(EntryKey, Answer)> {
        let due = self.again.iter().filter(|(_, (due, _))| *due <= now);
        let mut keys: Vec<EntryKey> = due
            .clone()
            .filter(|(_, (_, answer))| answer.conflicts < ALONE_AFTER)
            .map(|(key, _)| key.clone())
            .take(most)
            .collect();
        if keys.is_empty() && self.new.is_empty() {
            keys.extend(due.min_by_key(|(_, (due, _))| *due).map(|(key, _)| key.clone()));
        }
        let mut batch: Vec<(EntryKey, Answer)> = keys
            .into_iter()
            .filter_map(|key| self.again.remove_entry(&key))
            .map(|(key, (_, answer))| (key, answer))
            .collect();
        if batch.iter().all(|(_, answer)| answer.conflicts < ALONE_AFTER) {
            let room = most.saturating_sub(batch.len());
            batch.extend(std::iter::from_fn(|| self.new.take()).take(room));
        }
        batch
    }

    /// A batch met a conflict: it is tried again later, unless there is a newer answer.
    pub fn put_back(&mut self, batch: Vec<(EntryKey, Answer)>, now: Instant) {
        for (key, mut answer) in batch.into_iter().filter(|(_, answer)| !answer.withdrawn) {
            let wait = WAIT_MIN.saturating_mul(1 << answer.conflicts.min(10)).min(WAIT_MAX);
            answer.conflicts += 1;
            if !self.new.contains(&key) {
                self.again.insert(key, (now + wait, answer));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use logproto::{Entry, Owner};

    const MOST: usize = 16;

    fn key(name: &str) -> EntryKey {
        EntryKey { owner: Owner::Host, name: name.into() }
    }

    fn answers(names: &[&str]) -> Answers {
        let mut answers = Answers::default();
        for name in names {
            answers.add(key(name), Asked::by(&Entry::default()), None, State::Ready);
        }
        answers
    }

    #[test]
    fn an_answer_that_meets_conflicts_for_ever_holds_up_no_other() {
        let (mut answers, mut now) = (answers(&["stormy"]), Instant::now());
        for _ in 0..20 {
            now += WAIT_MAX;
            let batch = answers.take(MOST, now);
            assert_eq!(batch.len(), 1);
            answers.put_back(batch, now);
        }
        answers.add(key("calm"), Asked::by(&Entry::default()), None, State::Ready);
        now += WAIT_MAX;
        let batch = answers.take(MOST, now);
        assert_eq!(batch.iter().map(|(key, _)| key).collect::<Vec<_>>(), [&key("calm")]);
        assert_eq!(answers.take(MOST, now).len(), 1, "and it is not forgotten itself");
    }

    #[test]
    fn after_a_conflict_or_two_a_batch_is_tried_again_as_one() {
        let (mut answers, now) = (answers(&["a", "b"]), Instant::now());
        let batch = answers.take(MOST, now);
        answers.put_back(batch, now);
        assert_eq!((answers.take(MOST, now).len(), answers.due(now)), (0, Some(now + WAIT_MIN)));
        answers.add(key("c"), Asked::by(&Entry::default()), None, State::Ready);
        assert_eq!(answers.due(now), Some(now));
        assert_eq!(answers.take(MOST, now + WAIT_MIN).len(), 3);
    }

    #[test]
    fn what_is_withdrawn_is_not_tried_again() {
        let (mut answers, now) = (answers(&["a", "b", "c", "d"]), Instant::now());
        answers.remove(&key("d"));
        let mut batch = answers.take(MOST, now);
        assert_eq!(batch.len(), 3);
        batch[0].1.withdrawn = true;
        answers.put_back(batch, now);
        answers.remove(&key("b"));
        let again = answers.take(MOST, now + WAIT_MAX);
        assert_eq!(again.iter().map(|(key, _)| key).collect::<Vec<_>>(), [&key("c")]);
    }

    #[test]
    fn a_newer_answer_replaces_the_one_that_met_a_conflict() {
        let (mut answers, now) = (answers(&["a"]), Instant::now());
        let batch = answers.take(MOST, now);
        answers.add(key("a"), Asked::by(&Entry::default()), None, State::Ready);
        answers.put_back(batch, now);
        assert_eq!(answers.take(MOST, now).len(), 1);
        assert_eq!(answers.due(now), None);
        answers.add(key("a"), Asked::by(&Entry::default()), None, State::Ready);
        let batch = answers.take(MOST, now);
        answers.put_back(batch, now);
        answers.add(key("a"), Asked::by(&Entry::default()), None, State::Ready);
        assert_eq!(answers.take(MOST, now + WAIT_MAX).len(), 1);
    }
}
