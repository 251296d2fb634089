//! Reading entries: a batch in one transaction, so that each is seen whole, as it was at one instant.

use std::time::{Duration, Instant};

use logproto::{Change, Entry, EntryKey, NODES};
use xenstore::{Error, Reply, Request, TxId};

use super::{Finding, Purpose, Store, is_impossible};

/// Entries in one transaction. A store walks through all that a transaction has touched at each request in it (xenstored does,
/// tools/xenstore/xenstored_transaction.c), so that few are cheaper than many: to 1000 entries written at once, batches of 16
/// answer in 570 ms, of 128 in 770 ms.
const BATCH: usize = 16;

/// The wait before a look that the store failed is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// A batch that is being read.
pub(super) struct Look {
    keys: Vec<EntryKey>,
    entries: Vec<Entry>,
    missing: usize,
    began: u64,
    tx: TxId,
    failed: bool,
}

/// What a reply brings to the batch.
pub(super) enum Step {
    Started,
    Node { entry: usize, node: usize },
}

impl Store {
    pub(super) fn start_look(&mut self) {
        let keys = self.dirty.take_entries(BATCH);
        let entries = vec![Entry::default(); keys.len()];
        self.look = Some(Look { keys, entries, missing: 0, began: 0, tx: TxId::NONE, failed: false });
        self.submit(TxId::NONE, Request::TransactionStart, Purpose::Look(Step::Started));
    }

    pub(super) fn look_reply(&mut self, step: Step, result: Result<Reply, Error>, now: Instant) {
        let Some(look) = &mut self.look else { return };
        match (step, result) {
            (Step::Started, Ok(Reply::Transaction(tx))) => self.read_nodes(tx),
            (Step::Started, _) => {
                look.failed = true;
                self.finish_look(now);
            }
            (Step::Node { entry, node }, result) => {
                look.missing -= 1;
                match result {
                    Ok(Reply::Value(value)) => look.entries[entry].nodes[node] = Some(value),
                    Err(why) if why.is_absent() || is_impossible(&why) => {}
                    _ => look.failed = true,
                }
                if look.missing == 0 {
                    self.finish_look(now);
                }
            }
        }
    }

    fn read_nodes(&mut self, tx: TxId) {
        let Some(look) = &mut self.look else { return };
        self.count += 1;
        look.began = self.count;
        look.tx = tx;
        look.missing = look.keys.len() * NODES.len();
        for (entry, key) in look.keys.clone().iter().enumerate() {
            for (node, name) in NODES.iter().enumerate() {
                self.submit(tx, Request::Read { path: &key.node(name) }, Purpose::Look(Step::Node { entry, node }));
            }
        }
    }

    fn finish_look(&mut self, now: Instant) {
        let Some(look) = self.look.take() else { return };
        if look.tx != TxId::NONE {
            self.submit(look.tx, Request::TransactionEnd { commit: false }, Purpose::Nothing);
        }
        if look.failed {
            // The store could not read, for once (ENOMEM, EIO): that says nothing of the entries.
            self.look_again = Some(now + AGAIN);
            look.keys.into_iter().for_each(|key| self.dirty.add(Change::Entry(key)));
            return;
        }
        let (began, seen) = (look.began, look.keys.into_iter().zip(look.entries));
        self.findings.extend(seen.map(|(key, entry)| Finding::Seen { key, entry, began }));
    }
}
