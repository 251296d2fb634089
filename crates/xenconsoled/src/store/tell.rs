//! Writing answers: a batch in one transaction, each only where the entry still asks for what is answered.

use std::time::Instant;

use logproto::{EntryKey, State};
use xenstore::{Errno, Error, Reply, Request, TxId};

use super::answers::Answer;
use super::{Finding, Purpose, Store, is_impossible};

/// Answers in one transaction: few, for the same reason as in a look.
const BATCH: usize = 16;

/// A batch that is being written.
pub(super) struct Tell {
    batch: Vec<(EntryKey, Answer)>,
    /// Whether each still asks for what is answered.
    stands: Vec<bool>,
    missing: usize,
    tx: TxId,
    /// The count at which it was committed.
    at: u64,
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
        let batch = self.answers.take(BATCH, now);
        if batch.is_empty() {
            return;
        }
        let stands = vec![true; batch.len()];
        self.tell = Some(Tell { batch, stands, missing: 0, tx: TxId::NONE, at: 0, failed: false });
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
        self.count += 1;
        tell.at = self.count;
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
        let at = tell.at;
        let told = tell.batch.into_iter().zip(tell.stands).filter(|(_, stands)| *stands);
        self.findings.extend(told.map(|((key, answer), _)| Finding::Told { key, entry: answer.entry, at }));
    }
}
