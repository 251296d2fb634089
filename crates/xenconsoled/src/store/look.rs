//! Reading entries: a few in one transaction, so that each is seen whole, as it was at one instant.
//!
//! In oxenstored a transaction is a picture of one instant. In C xenstored it is none: it reads what stands there when it is asked, and
//! finds out at a commit that it does not fit together (`access_node`, tools/xenstore/xenstored_transaction.c). But that store reports
//! a change before it answers whatever is asked after it: an entry that was reported between the first question and the last answer is
//! looked at again. Not for ever: one that is written without end is seen, too, and what is wrong with it then is put right by the
//! next look.

use std::time::{Duration, Instant};

use logproto::{Change, Entry, EntryKey, NODES};
use xenstore::{Error, Reply, Request, TxId};

use super::{Finding, Purpose, Store, is_impossible};

/// Entries in one look, and looks under way. A store walks through all that a transaction has touched at each request in it
/// (xenstored does, tools/xenstore/xenstored_transaction.c), so that few are cheaper than many; several looks, so that neither side
/// waits for the other.
const BATCH: usize = 4;
const LOOKS: usize = 4;

/// Looks at one entry in a row that count for nothing since it was changed meanwhile.
const TORN_MOST: u32 = 3;

/// The wait before a look that the store failed is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// A batch that is being read.
pub(super) struct Look {
    entries: Vec<Looked>,
    missing: usize,
    began: u64,
    tx: TxId,
    failed: bool,
}

/// One entry of it.
struct Looked {
    key: EntryKey,
    entry: Entry,
    /// It was changed meanwhile: what was read may never have stood there together.
    is_torn: bool,
    /// How often that has been so.
    torn: u32,
}

impl Look {
    /// A change was reported. What is reported before the transaction has begun was done before.
    pub(super) fn changed(&mut self, change: &Change) {
        if self.tx == TxId::NONE {
            return;
        }
        for looked in self.entries.iter_mut().filter(|looked| looked.torn < TORN_MOST) {
            looked.is_torn |= match change {
                Change::Everything => true,
                Change::Owner(owner) => *owner == looked.key.owner,
                Change::Entry(key) => *key == looked.key,
                // An answer that was written after a look began is known to be missing in it.
                Change::Answer(_) | Change::Nothing => false,
            };
        }
    }
}

/// What a reply brings to the batch.
pub(super) enum Step {
    Started,
    Listed { entry: usize },
    Node { entry: usize, node: usize },
}

impl Store {
    pub(super) fn start_looks(&mut self) {
        while self.looks.len() < LOOKS && self.dirty.has_entries() {
            let keys = self.dirty.take_entries(BATCH);
            let looked = |key| {
                let torn = self.torn.remove(&key).unwrap_or(0);
                Looked { key, entry: Entry::default(), is_torn: false, torn }
            };
            let entries = keys.into_iter().map(looked).collect();
            let id = self.next_look;
            self.next_look += 1;
            self.looks.insert(id, Look { entries, missing: 0, began: 0, tx: TxId::NONE, failed: false });
            self.submit(TxId::NONE, Request::TransactionStart, Purpose::Look(id, Step::Started));
        }
    }

    pub(super) fn look_reply(&mut self, id: u64, step: Step, result: Result<Reply, Error>) {
        let Some(look) = self.looks.get_mut(&id) else { return };
        match (step, result) {
            (Step::Started, Ok(Reply::Transaction(tx))) => self.list(id, tx),
            (Step::Started, _) => look.failed = true,
            (Step::Listed { entry }, Ok(Reply::Names(names))) => self.read_nodes(id, entry, &names),
            (Step::Listed { entry }, Err(why)) if why.is_absent() || is_impossible(&why) => {
                self.errors.remove(&look.entries[entry].key);
                look.missing -= 1;
            }
            (Step::Node { entry, node }, Ok(Reply::Value(value))) => {
                look.entries[entry].entry.nodes[node] = Some(value);
                look.missing -= 1;
            }
            (Step::Node { entry, .. }, Err(why)) if why.is_absent() => {
                // It was there a moment ago.
                look.entries[entry].is_torn = true;
                look.missing -= 1;
            }
            (Step::Listed { .. } | Step::Node { .. }, _) => {
                look.failed = true;
                look.missing -= 1;
            }
        }
    }

    /// Finishes looks that have read everything. To be called when every event that came with their replies was seen: one that comes
    /// twice is seen at its later place (`Inbox::push_event` of the connection), which can be behind the last reply.
    pub(super) fn finish_looks(&mut self, now: Instant) {
        let is_done = |look: &Look| look.missing == 0 && (look.tx != TxId::NONE || look.failed);
        while let Some(id) = self.looks.iter().find(|(_, look)| is_done(look)).map(|(id, _)| *id) {
            self.finish_look(id, now);
        }
    }

    /// Asks which nodes there are.
    fn list(&mut self, id: u64, tx: TxId) {
        self.count += 1;
        let Some(look) = self.looks.get_mut(&id) else { return };
        (look.began, look.tx) = (self.count, tx);
        look.missing = look.entries.len();
        let paths: Vec<String> = look.entries.iter().map(|looked| looked.key.path()).collect();
        for (entry, path) in paths.iter().enumerate() {
            self.submit(tx, Request::Directory { path }, Purpose::Look(id, Step::Listed { entry }));
        }
    }

    /// Reads those that count.
    fn read_nodes(&mut self, id: u64, entry: usize, names: &[String]) {
        let Some(look) = self.looks.get_mut(&id) else { return };
        let (key, tx) = (look.entries[entry].key.clone(), look.tx);
        if names.iter().any(|name| name == "error") {
            self.errors.insert(key.clone());
        }
        let is_there = |(_, node): &(usize, &&str)| names.iter().any(|name| name == **node);
        let there: Vec<(usize, &&str)> = NODES.iter().enumerate().filter(is_there).collect();
        // Instead of the list.
        look.missing = look.missing + there.len() - 1;
        for (node, name) in there {
            self.submit(tx, Request::Read { path: &key.node(name) }, Purpose::Look(id, Step::Node { entry, node }));
        }
    }

    fn finish_look(&mut self, id: u64, now: Instant) {
        let Some(look) = self.looks.remove(&id) else { return };
        if look.tx != TxId::NONE {
            self.submit(look.tx, Request::TransactionEnd { commit: false }, Purpose::Nothing);
        }
        if look.failed {
            // The store could not read, for once (ENOMEM, EIO): that says nothing of the entries.
            self.look_again = Some(now + AGAIN);
            look.entries.into_iter().for_each(|looked| self.dirty.add(Change::Entry(looked.key)));
            return;
        }
        for Looked { key, entry, is_torn, torn } in look.entries {
            if is_torn {
                self.torn.insert(key.clone(), torn + 1);
                self.dirty.add(Change::Entry(key));
            } else {
                self.findings.push_back(Finding::Seen { key, entry, began: look.began });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::io::{Read, Write};
    use std::os::unix::net::{UnixListener, UnixStream};

    use logproto::RootPath;
    use xenstore::Address;
    use xenstore::wire::{Decoder, Kind, Message};

    /// How often it happens.
    #[derive(Clone, Copy, PartialEq)]
    enum Times {
        Once,
        /// And once more after the other node was read, which tells nothing new.
        Twice,
        Always,
    }

    /// A store with one entry, in which something happens once, right after this node was read.
    struct Scripted {
        stream: UnixStream,
        decoder: Decoder,
        nodes: BTreeMap<&'static str, &'static str>,
        after: Option<&'static str>,
        /// Something else happened before the first transaction began.
        is_early: bool,
        times: Times,
        then: fn(&mut BTreeMap<&'static str, &'static str>),
        event: &'static str,
        asked: Vec<Kind>,
    }

    const ENTRY: &str = "/libxl/5/logging/a";

    impl Scripted {
        fn serve(&mut self) {
            let mut bytes = [0; 4096];
            let Ok(read) = self.stream.read(&mut bytes) else { return };
            let mut input = &bytes[..read];
            while let Some(message) = self.decoder.next(&mut input).unwrap() {
                let path = message.payload.split(|byte| *byte == 0).next().unwrap();
                let path = std::str::from_utf8(path).unwrap().to_owned();
                self.answer(&message, &path);
                let name = path.strip_prefix(ENTRY).and_then(|below| below.strip_prefix('/'));
                if name.is_some() && name == self.after {
                    self.after = self.after.filter(|_| self.times == Times::Always);
                    (self.then)(&mut self.nodes);
                    self.tell();
                } else if name == Some("file") && self.after.is_none() && self.times == Times::Twice {
                    self.times = Times::Once;
                    self.tell();
                }
            }
        }

        fn tell(&mut self) {
            self.send(Kind::WATCH_EVENT, 0, 0, format!("{}\0xenlog\0", self.event).as_bytes());
        }

        fn answer(&mut self, asked: &Message, path: &str) {
            if asked.kind == Kind::TRANSACTION_START && std::mem::take(&mut self.is_early) {
                // What was done before: a store reports it all the same.
                self.send(Kind::WATCH_EVENT, 0, 0, format!("{ENTRY}/limit\0xenlog\0").as_bytes());
            }
            let names: String = self.nodes.keys().map(|name| format!("{name}\0")).collect();
            let value = path.strip_prefix(&format!("{ENTRY}/")).and_then(|name| self.nodes.get(name));
            let answer = match (asked.kind, path) {
                (Kind::DIRECTORY, "/libxl") => Some("5\0".to_owned()),
                (Kind::DIRECTORY, "/libxl/5/logging") => Some("a\0".to_owned()),
                (Kind::DIRECTORY, ENTRY) => Some(names),
                (Kind::READ, _) => value.map(|value| (*value).to_owned()),
                (Kind::TRANSACTION_START, _) => Some("7\0".to_owned()),
                (Kind::GET_DOMAIN_PATH, _) => Some("/local/domain/0\0".to_owned()),
                _ => Some("OK\0".to_owned()),
            };
            self.asked.push(asked.kind);
            match answer {
                Some(answer) => self.send(asked.kind, asked.request, asked.tx, answer.as_bytes()),
                None => self.send(Kind::ERROR, asked.request, asked.tx, b"ENOENT\0"),
            }
        }

        fn send(&mut self, kind: Kind, request: u32, tx: u32, payload: &[u8]) {
            let mut bytes = Vec::new();
            Message { kind, request, tx, payload: payload.to_vec() }.encode(&mut bytes).unwrap();
            self.stream.write_all(&bytes).unwrap();
        }
    }

    /// What is seen of the entry while that happens, and what is asked for it.
    fn seen(
        after: &'static str,
        times: Times,
        then: fn(&mut BTreeMap<&'static str, &'static str>),
        event: &'static str,
    ) -> (Vec<[Option<String>; 2]>, Vec<Kind>) {
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join("s")).unwrap();
        let mut store = Store::new(vec![Address::unix(dir.path().join("s"))], RootPath::new(dir.path())).unwrap();
        store.process(Instant::now());
        let (stream, _) = listener.accept().unwrap();
        stream.set_nonblocking(true).unwrap();
        let (decoder, nodes) = (Decoder::new(), BTreeMap::from([("pipe", "old"), ("file", "old")]));
        let mut server = Scripted {
            stream,
            decoder,
            nodes,
            after: Some(after),
            is_early: true,
            times,
            then,
            event,
            asked: Vec::new(),
        };
        let mut found = Vec::new();
        // More than there are questions.
        for _ in 0..100 {
            store.process(Instant::now());
            server.serve();
            while let Some(finding) = store.finding() {
                match finding {
                    Finding::Owners(owners) => owners.into_iter().for_each(|owner| store.look_at(Change::Owner(owner))),
                    Finding::Names(owner, names) => {
                        let keys = names.into_iter().map(|name| EntryKey { owner, name: name.into() });
                        keys.for_each(|key| store.look_at(Change::Entry(key)));
                    }
                    Finding::Seen { entry, .. } => {
                        let text =
                            |node: usize| entry.nodes[node].clone().map(|value| String::from_utf8(value).unwrap());
                        found.push([text(0), text(1)]);
                    }
                    _ => {}
                }
            }
        }
        (found, server.asked)
    }

    fn both(value: &str) -> [Option<String>; 2] {
        [Some(value.to_owned()), Some(value.to_owned())]
    }

    /// The old pipe and the new file of an entry that was changed between two answers were taken for what it asks for: in C xenstored
    /// a transaction that only reads is no protection from that. Its log was opened, and what was there was rotated by its bounds.
    #[test]
    fn what_never_stood_there_together_is_not_seen() {
        let change = |nodes: &mut BTreeMap<_, _>| nodes.extend([("pipe", "new"), ("file", "new")]);
        let (found, _) = seen("pipe", Times::Once, change, "/libxl/5/logging/a/file");
        assert!(!found.is_empty() && found.iter().all(|found| *found == both("new")), "{found:?}");
        // Two equal events are one, which comes with the later of them: that is behind the last answer.
        let (found, _) = seen("pipe", Times::Twice, change, "/libxl/5/logging/a/file");
        assert!(!found.is_empty() && found.iter().all(|found| *found == both("new")), "{found:?}");
        // Whoever changes all the time is seen all the same.
        let (found, _) = seen("pipe", Times::Always, |_| (), "/libxl/5/logging/a/file");
        assert!(!found.is_empty());
    }

    /// All of a domain is removed at once, and that is one event.
    #[test]
    fn what_goes_while_it_is_read_is_not_half_an_entry() {
        let (found, _) = seen("pipe", Times::Once, BTreeMap::clear, "/libxl/5");
        assert_eq!(found.last(), Some(&[None, None]));
        assert!(found.iter().all(|found| *found == [None, None]), "{found:?}");
        // Where the event comes late.
        let (found, _) = seen("pipe", Times::Once, BTreeMap::clear, "/libxl/5/device");
        assert!(!found.is_empty() && found.iter().all(|found| *found == [None, None]), "{found:?}");
    }

    /// Two nodes are two questions. What happened before is no reason to begin anew, but one to look again: the same event, while it
    /// waited to be sent, may have stood for a later change as well.
    #[test]
    fn what_is_not_there_is_not_read_and_what_happened_before_is_no_harm() {
        let (found, asked) = seen("pipe", Times::Once, |_| (), "/libxl/5/device");
        assert_eq!(found, [both("old"), both("old")]);
        let count = |kind| asked.iter().filter(|asked| **asked == kind).count();
        let looks = count(Kind::TRANSACTION_START);
        assert_eq!((looks, count(Kind::DIRECTORY), count(Kind::READ)), (2, looks + 2, looks * 2));
    }
}
