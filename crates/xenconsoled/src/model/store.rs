//! The store of the model: entries, looks that take their time, and answers that do too.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use logproto::{Entry, EntryKey, State};

use super::chance::Chance;
use crate::asked::Asked;
use crate::logs::FifoId;
use crate::pipe;

/// The node that only the daemon writes.
const STATE: usize = logproto::NODES.len() - 1;

/// What came of the store.
#[derive(Debug)]
pub enum Finding {
    /// The connection was lost.
    Lost,
    /// There is one: everything is to be looked at.
    Connected,
    /// As [`crate::store::Finding::Seen`].
    Seen(EntryKey, Entry, u64),
    /// As [`crate::store::Finding::Told`].
    Told(EntryKey, Asked, u64),
}

/// The store, and the daemon's connection to it.
#[derive(Debug, Default)]
pub struct Store {
    entries: BTreeMap<EntryKey, Entry>,
    is_up: bool,
    is_connected: bool,
    count: u64,
    dirty: BTreeSet<EntryKey>,
    answers: VecDeque<(EntryKey, Asked, Option<FifoId>, State)>,
    findings: VecDeque<Finding>,
}

impl Store {
    /// An empty one, which is there.
    pub fn new() -> Store {
        Store { is_up: true, ..Store::default() }
    }

    /// How an entry stands.
    pub fn get(&self, key: &EntryKey) -> Option<&Entry> {
        self.entries.get(key)
    }

    /// Every entry.
    pub fn entries(&self) -> impl Iterator<Item = (&EntryKey, &Entry)> {
        self.entries.iter()
    }

    /// Changes an entry, in one transaction.
    pub fn set(&mut self, key: &EntryKey, entry: Option<Entry>) {
        match entry {
            Some(entry) => drop(self.entries.insert(key.clone(), entry)),
            None => drop(self.entries.remove(key)),
        }
        self.dirty.insert(key.clone());
    }

    /// It goes away, or comes back.
    pub fn set_up(&mut self, up: bool) {
        self.is_up = up;
    }

    /// Whether it is there.
    pub fn is_up(&self) -> bool {
        self.is_up
    }

    /// The daemon is another one.
    pub fn disconnect(&mut self) {
        self.is_connected = false;
        self.answers.clear();
        self.findings.clear();
    }

    /// The daemon asks for an entry to be looked at.
    pub fn look_at(&mut self, key: EntryKey) {
        self.dirty.insert(key);
    }

    /// The daemon answers. One that waits for the same entry is replaced.
    pub fn answer(&mut self, key: EntryKey, asked: Asked, fifo: Option<FifoId>, state: State) {
        self.withdraw(&key);
        self.answers.push_back((key, asked, fifo, state));
    }

    /// The daemon answers this one no more.
    pub fn withdraw(&mut self, key: &EntryKey) {
        self.answers.retain(|(other, ..)| other != key);
    }

    /// The daemon's next finding.
    pub fn finding(&mut self) -> Option<Finding> {
        self.findings.pop_front()
    }

    /// Whether there is nothing to be done.
    pub fn is_quiet(&self) -> bool {
        self.is_up == self.is_connected && self.dirty.is_empty() && self.answers.is_empty() && self.findings.is_empty()
    }

    /// Some of what was asked is done; all, if not by chance.
    pub fn process(&mut self, mut chance: Option<&mut Chance>) {
        let mut goes_on = || chance.as_mut().is_none_or(|chance| !chance.one_in(4));
        if self.is_connected != self.is_up {
            self.is_connected = self.is_up;
            self.answers.clear();
            self.findings.clear();
            self.dirty = self.entries.keys().cloned().collect();
            self.findings.push_back(if self.is_up { Finding::Connected } else { Finding::Lost });
        }
        if !self.is_connected {
            return;
        }
        while goes_on()
            && let Some(key) = self.dirty.pop_first()
        {
            let entry = self.entries.get(&key).cloned().unwrap_or_default();
            self.count += 1;
            self.findings.push_back(Finding::Seen(key, entry, self.count));
        }
        while goes_on()
            && let Some((key, asked, fifo, state)) = self.answers.pop_front()
        {
            let stands = |there: &&mut Entry| asked.names(&[0, 1].map(|node: usize| there.nodes[node].clone()));
            let Some(there) = self.entries.get_mut(&key).filter(stands) else { continue };
            // As the daemon's store does: what was asked for is the pipe and the file, and the FIFO that the pipe names.
            let path = there.nodes[0].as_deref().and_then(|path| std::str::from_utf8(path).ok());
            if path.and_then(|path| pipe::id_at(path.as_ref())).is_some_and(|named| fifo != Some(named)) {
                self.dirty.insert(key);
                continue;
            }
            let word = if state == State::Ready { "ready" } else { "error" };
            there.nodes[STATE] = Some(word.into());
            self.count += 1;
            self.dirty.insert(key.clone());
            self.findings.push_back(Finding::Told(key, asked, self.count));
        }
    }
}
