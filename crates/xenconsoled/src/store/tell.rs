//! Writing answers: a batch in one transaction, each only where the entry still asks for what is answered.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use logproto::{Entry, EntryKey, State};
use xenstore::{Errno, Error, Reply, Request, TxId};

use super::{Finding, Purpose, Store, is_impossible};

/// Answers in one transaction: few, for the same reason as in a look.
const BATCH: usize = 16;
/// After so many conflicts an answer gets a transaction of its own, so that an entry which is written without end holds up
/// no other.
const ALONE_AFTER: u32 = 3;
/// The wait after the first conflict, doubled with each up to the largest.
const WAIT_MIN: Duration = Duration::from_millis(1);
const WAIT_MAX: Duration = Duration::from_secs(1);

struct Answer {
    entry: Entry,
    state: State,
    conflicts: u32,
    due: Option<Instant>,
}

/// The answers that are to be written.
#[derive(Default)]
pub(super) struct Answers {
    waiting: BTreeMap<EntryKey, Answer>,
}

impl Answers {
    pub(super) fn add(&mut self, key: EntryKey, entry: Entry, state: State) {
        self.waiting.insert(key, Answer { entry, state, conflicts: 0, due: None });
    }

    /// When the next one may be written: `now` if at once.
    pub(super) fn due(&self, now: Instant) -> Option<Instant> {
        self.waiting.values().map(|answer| answer.due.unwrap_or(now)).min()
    }

    /// The next batch: those that are due, and one that often met conflicts only by itself.
    fn take(&mut self, now: Instant) -> Vec<(EntryKey, Answer)> {
        let is_due = |answer: &Answer| answer.due.is_none_or(|due| due <= now);
        let mut keys: Vec<EntryKey> = self
            .waiting
            .iter()
            .filter(|(_, answer)| is_due(answer) && answer.conflicts < ALONE_AFTER)
            .map(|(key, _)| key.clone())
            .take(BATCH)
            .collect();
        if keys.is_empty() {
            let oldest = self.waiting.iter().filter(|(_, answer)| is_due(answer)).min_by_key(|(_, answer)| answer.due);
            keys.extend(oldest.map(|(key, _)| key.clone()));
        }
        keys.into_iter().filter_map(|key| self.waiting.remove_entry(&key)).collect()
    }

    /// A batch met a conflict: it is tried again later, unless there is a newer answer.
    fn put_back(&mut self, batch: Vec<(EntryKey, Answer)>, now: Instant) {
        for (key, mut answer) in batch {
            let wait = WAIT_MIN.saturating_mul(1 << answer.conflicts.min(10)).min(WAIT_MAX);
            answer.conflicts += 1;
            answer.due = Some(now + wait);
            self.waiting.entry(key).or_insert(answer);
        }
    }
}

/// A batch that is being written.
pub(super) struct Tell {
    batch: Vec<(EntryKey, Answer)>,
    /// Whether each still asks for what is answered.
    stands: Vec<bool>,
    missing: usize,
    tx: TxId,
    failed: bool,
}

/// What a reply brings to the batch.
pub(super) enum Step {
    Started,
    Checked { answer: usize, node: usize },
    Written,
    Ended,
}

/// The nodes that say what was asked: the first two of an entry's.
const ASKED: [&str; 2] = ["pipe", "file"];

impl Store {
    pub(super) fn start_tell(&mut self, now: Instant) {
        let batch = self.answers.take(now);
        if batch.is_empty() {
            return;
        }
        let stands = vec![true; batch.len()];
        self.tell = Some(Tell { batch, stands, missing: 0, tx: TxId::NONE, failed: false });
        self.submit(TxId::NONE, Request::TransactionStart, Purpose::Tell(Step::Started));
    }

    pub(super) fn tell_reply(&mut self, step: &Step, result: Result<Reply, Error>, now: Instant) {
        let Some(tell) = &mut self.tell else { return };
        match step {
            Step::Started => match result {
                Ok(Reply::Transaction(tx)) => {
                    tell.tx = tx;
                    tell.missing = tell.batch.len() * ASKED.len();
                    let keys: Vec<EntryKey> = tell.batch.iter().map(|(key, _)| key.clone()).collect();
                    for (answer, key) in keys.iter().enumerate() {
                        for (node, name) in ASKED.iter().enumerate() {
                            let purpose = Purpose::Tell(Step::Checked { answer, node });
                            self.submit(tx, Request::Read { path: &key.node(name) }, purpose);
                        }
                    }
                }
                _ => self.finish_tell(false, now),
            },
            &Step::Checked { answer, node } => {
                tell.missing -= 1;
                let value = match result {
                    Ok(Reply::Value(value)) => Some(value),
                    _ => None,
                };
                tell.stands[answer] &= value.is_some() && tell.batch[answer].1.entry.nodes[node] == value;
                if tell.missing == 0 {
                    self.write_answers();
                }
            }
            // What cannot be written is not tried again: nobody can be answered there.
            Step::Written => tell.failed |= result.is_err_and(|why| !is_impossible(&why)),
            Step::Ended => {
                let committed = result.is_ok() && !tell.failed;
                if let Err(why) = &result
                    && why.errno() != Some(Errno::Eagain)
                {
                    tracing::warn!("answers could not be written: {why}");
                }
                self.finish_tell(committed, now);
            }
        }
    }

    fn write_answers(&mut self) {
        let Some(tell) = &mut self.tell else { return };
        let tx = tell.tx;
        let mut writes = Vec::new();
        for ((key, answer), stands) in tell.batch.iter().zip(&tell.stands) {
            if *stands {
                let error = match &answer.state {
                    State::Error(refusal) => Some(refusal.to_string()),
                    State::Ready => None,
                };
                writes.push((key.node("error"), error));
                writes.push((key.node("state"), Some(answer.state.word().to_owned())));
            }
        }
        for (path, value) in writes {
            match value {
                Some(value) => {
                    let request = Request::Write { path: &path, value: value.as_bytes() };
                    self.submit(tx, request, Purpose::Tell(Step::Written));
                }
                // An old error would belie the new state. Where there is none, that is no failure.
                None => self.submit(tx, Request::Rm { path: &path }, Purpose::Nothing),
            }
        }
        self.submit(tx, Request::TransactionEnd { commit: true }, Purpose::Tell(Step::Ended));
    }

    fn finish_tell(&mut self, committed: bool, now: Instant) {
        let Some(tell) = self.tell.take() else { return };
        if !committed {
            self.answers.put_back(tell.batch, now);
            return;
        }
        self.count += 1;
        let at = self.count;
        let told = tell.batch.into_iter().zip(tell.stands).filter(|(_, stands)| *stands);
        self.findings.extend(told.map(|((key, answer), _)| Finding::Told { key, entry: answer.entry, at }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use logproto::Owner;

    fn answers(names: &[&str]) -> Answers {
        let mut answers = Answers::default();
        for name in names {
            let key = EntryKey { owner: Owner::Host, name: (*name).to_owned() };
            answers.add(key, Entry::default(), State::Ready);
        }
        answers
    }

    #[test]
    fn an_answer_that_meets_conflicts_for_ever_holds_up_no_other() {
        let (mut answers, mut now) = (answers(&["stormy"]), Instant::now());
        for _ in 0..20 {
            now += WAIT_MAX;
            let batch = answers.take(now);
            assert_eq!(batch.len(), 1);
            answers.put_back(batch, now);
        }
        let calm = EntryKey { owner: Owner::Host, name: "calm".into() };
        answers.add(calm.clone(), Entry::default(), State::Ready);
        now += WAIT_MAX;
        let batch = answers.take(now);
        assert_eq!(batch.iter().map(|(key, _)| key).collect::<Vec<_>>(), [&calm]);
        assert_eq!(answers.take(now).len(), 1, "and it is not forgotten itself");
    }

    #[test]
    fn a_newer_answer_replaces_the_one_that_met_a_conflict() {
        let (mut answers, now) = (answers(&["a"]), Instant::now());
        let batch = answers.take(now);
        answers.add(batch[0].0.clone(), Entry::default(), State::Ready);
        answers.put_back(batch, now);
        assert_eq!(answers.take(now).len(), 1);
        assert!(answers.waiting.is_empty());
    }
}
