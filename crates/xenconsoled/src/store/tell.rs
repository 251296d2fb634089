//! Writing answers: a batch in one transaction, each only where the entry still asks for what is answered. What it asks for is the
//! same only if its pipe names the same FIFO: a domain that starts over may ask in the same words.

use std::time::Instant;

use logproto::{Change, EntryKey, RootPath, State};
use xenstore::{Errno, Error, Reply, Request, TxId};

use super::answers::Answer;
use super::{Finding, Purpose, Store, is_impossible};
use crate::asked::Asked;
use crate::logs::FifoId;
use crate::pipe;

/// Answers in one transaction: few, for the same reason as in a look.
const BATCH: usize = 16;

/// A batch that is being written.
pub(super) struct Tell {
    batch: Vec<(EntryKey, Answer)>,
    /// The pipe and the file that each asks for now.
    asked: Vec<[Option<Vec<u8>>; ASKED.len()]>,
    /// Whether each still asks for what is answered.
    stands: Vec<bool>,
    missing: usize,
    tx: TxId,
    /// The count at which it was committed.
    at: u64,
    failed: bool,
}

impl Tell {
    /// Another answer follows it. If that says the same to the same request, the client may go by this one.
    pub(super) fn replace(&mut self, key: &EntryKey, asked: Asked, fifo: Option<FifoId>, state: &State) {
        for (_, answer) in self.batch.iter_mut().filter(|(other, _)| other == key) {
            let is_same = answer.asked == asked && answer.fifo == fifo && answer.state == *state;
            answer.withdrawn |= !is_same;
        }
    }

    /// If it cannot be taken back any more, at least nothing follows from it.
    pub(super) fn withdraw(&mut self, key: &EntryKey) {
        for (_, answer) in self.batch.iter_mut().filter(|(other, _)| other == key) {
            answer.withdrawn = true;
        }
    }
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
        let asked = vec![[const { None }; ASKED.len()]; batch.len()];
        self.tell = Some(Tell { batch, asked, stands, missing: 0, tx: TxId::NONE, at: 0, failed: false });
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
                match result {
                    Ok(Reply::Value(value)) => tell.asked[answer][node] = Some(value),
                    _ => tell.stands[answer] = false,
                }
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
        for (((key, answer), asked), stands) in tell.batch.iter().zip(&tell.asked).zip(&mut tell.stands) {
            *stands &= answer.asked.names(asked);
            // Whoever asks anew has made the new FIFO before: if that is not there yet, and the entry is not changed before the
            // transaction ends, it is still the old request.
            if *stands && names_another(&self.run, asked[0].as_deref(), answer.fifo) {
                *stands = false;
                self.dirty.add(Change::Entry(key.clone()));
            }
            *stands &= !answer.withdrawn;
        }
        let mut writes = Vec::new();
        for ((key, answer), stands) in tell.batch.iter().zip(&tell.stands) {
            if *stands {
                let error = match &answer.state {
                    State::Error(refusal) => Some(refusal.to_string()),
                    State::Ready => None,
                };
                // An old error would belie the new state.
                if error.is_some() || self.errors.contains(key) {
                    writes.push((key.node("error"), error));
                    self.errors.insert(key.clone());
                }
                writes.push((key.node("state"), Some(answer.state.word().to_owned())));
            }
        }
        for (path, value) in writes {
            match value {
                Some(value) => {
                    let request = Request::Write { path: &path, value: value.as_bytes() };
                    self.submit(tx, request, Purpose::Tell(Step::Written));
                }
                // Where there is none, that is no failure.
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
        let told = tell.batch.into_iter().zip(tell.stands);
        let told = told.filter(|((_, answer), stands)| *stands && !answer.withdrawn);
        self.findings.extend(told.map(|((key, answer), _)| Finding::Told { key, asked: answer.asked, at }));
    }
}

/// Whether a pipe names a FIFO by now, and another one than that.
fn names_another(run: &RootPath, pipe: Option<&[u8]>, fifo: Option<FifoId>) -> bool {
    pipe::named(run, pipe).is_some_and(|named| fifo != Some(named))
}

#[cfg(test)]
mod tests {
    use super::*;
    use logproto::{Entry, PipePath};

    /// A client removed its answer while the daemon wrote it, and had it nonetheless: the second one was still to come when it
    /// removed its entry. Since the first counted for nothing, nobody was told of that log, and its FIFO was never removed.
    #[test]
    fn an_answer_that_is_given_again_counts_all_the_same() {
        let key = EntryKey { owner: logproto::Owner::Host, name: "a".into() };
        let (entry, fifo) = (Entry::default(), Some(FifoId { dev: 1, ino: 1, born: 0 }));
        let tell = || {
            let mut answers = super::super::answers::Answers::default();
            answers.add(key.clone(), Asked::by(&entry), fifo, State::Ready);
            let batch = answers.take(1, Instant::now());
            Tell {
                batch,
                asked: vec![[None, None]],
                stands: vec![true],
                missing: 0,
                tx: TxId::NONE,
                at: 0,
                failed: false,
            }
        };
        let mut other = entry.clone();
        other.nodes[1] = Some(b"other".to_vec());
        let refusal = State::Error(logproto::Refusal::new(logproto::Code::FileOpen, "no"));
        for (entry, fifo, state, withdrawn) in [
            (&entry, fifo, State::Ready, false),
            (&other, fifo, State::Ready, true),
            (&entry, None, State::Ready, true),
            (&entry, fifo, refusal, true),
        ] {
            let mut tell = tell();
            tell.replace(&key, Asked::by(entry), fifo, &state);
            assert_eq!(tell.batch[0].1.withdrawn, withdrawn, "{state:?}");
        }
    }

    /// Who starts over asks in the same words.
    #[test]
    fn the_fifo_says_whose_request_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let run = RootPath::new(dir.path());
        let path = dir.path().join("pipe");
        let value = Some(path.to_str().unwrap().as_bytes());
        let make = || {
            rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RUSR).unwrap();
            let parsed = PipePath::new(path.to_str().unwrap().as_bytes(), &run).unwrap();
            pipe::locate(&run, &parsed).unwrap()
        };
        let first = make();
        let old = Some(first.id());
        assert!(!names_another(&run, value, old));
        assert!(names_another(&run, value, None), "there was none when it was judged");
        std::fs::remove_file(&path).unwrap();
        assert!(!names_another(&run, value, old), "whoever starts over makes the new one first");
        // The old one is still open, so that the new one cannot have its number.
        let second = make();
        assert!(names_another(&run, value, old) && !names_another(&run, value, Some(second.id())));
    }
}
