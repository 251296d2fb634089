//! Who asks for logs and writes to them: the toolstack, and the QEMUs behind the FIFOs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use logproto::{DomId, Entry, EntryKey, NODES, Owner};

use super::chance::Chance;
use super::run::{Run, Voice};
use super::store::Store;
use crate::logs::FifoId;

/// Limits and copies that are asked for: together always more than one step can write, so that nothing is gone before it is read.
/// Fewer copies than there are would remove some before they are read, so a file is never given fewer.
const BOUNDS: [(&str, &str); 5] =
    [("8192", "99"), ("20000", "60"), ("65536", "20"), ("1048576", "4"), ("4194304", "0")];
const SIZES: [usize; 4] = [4096, 16384, 65536, 262_144];
const FILE: usize = 1;
const STATE: usize = NODES.len() - 1;

/// An entry that may be there, and what its FIFO is called.
#[derive(Debug)]
pub struct Slot {
    key: EntryKey,
    fifo: PathBuf,
    /// What was last made by that name.
    run: Option<usize>,
}

/// All of them.
#[derive(Debug)]
pub struct Toolstack {
    slots: Vec<Slot>,
    /// Every FIFO there ever was.
    pub runs: Vec<Run>,
    log: PathBuf,
    /// How many of [`BOUNDS`], from the first on, each file may still be given.
    bounds: BTreeMap<Vec<u8>, usize>,
}

impl Toolstack {
    /// One that has asked for nothing.
    pub fn new(run: &Path, log: &Path) -> Toolstack {
        let owners = [Owner::Host, Owner::Domain(DomId::new(5).unwrap()), Owner::Domain(DomId::new(6).unwrap())];
        let keys = owners.iter().flat_map(|owner| ["a", "b"].map(|name| EntryKey { owner: *owner, name: name.into() }));
        let slots = keys
            .map(|key| {
                let fifo = run.join(format!("{}-{}", key.owner.to_string().replace(' ', "-"), key.name));
                Slot { key, fifo, run: None }
            })
            .collect();
        Toolstack { slots, runs: Vec::new(), log: log.to_owned(), bounds: BTreeMap::new() }
    }

    /// What a FIFO is called.
    pub fn path(&self, at: usize) -> &Path {
        &self.slots[at].fifo
    }

    /// The FIFO of this identity.
    pub fn run_of(&self, fifo: FifoId) -> Option<usize> {
        self.runs.iter().position(|run| run.fifo == fifo)
    }

    /// Does something. Answers with what.
    pub fn act(&mut self, store: &mut Store, chance: &mut Chance) -> String {
        let at = chance.below(self.slots.len());
        let there = store.get(&self.slots[at].key).cloned();
        let key = self.slots[at].key.to_string();
        match (there, chance.below(10)) {
            (None, _) => {
                self.add(at, store, chance);
                format!("{key} is asked for, FIFO {:?}", self.slots[at].run)
            }
            (Some(_), 0..4) => {
                self.remove(at, store, chance);
                format!("{key} is removed")
            }
            (Some(entry), 4..7) => {
                let new = chance.one_in(2);
                if new || !self.slots[at].fifo.exists() {
                    self.make(at, chance);
                }
                let mut entry = entry;
                if chance.one_in(2) {
                    self.change(at, &mut entry, chance);
                }
                self.ask(at, entry, false, store);
                format!("{key} starts over, FIFO {:?}", self.slots[at].run)
            }
            (Some(mut entry), _) => {
                self.change(at, &mut entry, chance);
                let keep_state = chance.one_in(2);
                let text = format!("{key} is changed, state {keep_state}: {}", shown(&entry));
                self.ask(at, entry, keep_state, store);
                text
            }
        }
    }

    /// Asks for a log with the first file: limit, copies, policy, timestamp. Answers with its FIFO.
    pub fn ask_for(&mut self, at: usize, nodes: [&str; 4], store: &mut Store) -> usize {
        let fifo = &self.slots[at].fifo;
        self.runs.push(Run::make(fifo, 65536, Voice::Lines, Chance::new(0)));
        self.slots[at].run = Some(self.runs.len() - 1);
        self.ask(at, self.entry(at, 0, nodes), false, store);
        self.runs.len() - 1
    }

    /// Asks for it again, with other nodes, or for nothing.
    pub fn ask_again(&mut self, at: usize, nodes: Option<[&str; 4]>, store: &mut Store) {
        match nodes {
            Some(nodes) => self.ask(at, self.entry(at, 0, nodes), false, store),
            None => store.set(&self.slots[at].key, None),
        }
    }

    fn make(&mut self, at: usize, chance: &mut Chance) {
        let slot = &mut self.slots[at];
        // Of the one before; its writer may go on.
        let _ = std::fs::remove_file(&slot.fifo);
        let voice = chance.one_of(&[Voice::Lines, Voice::Lines, Voice::Returns, Voice::Binary, Voice::Endless]);
        let own = Chance::new(chance.number());
        self.runs.push(Run::make(&slot.fifo, chance.one_of(&SIZES), voice, own));
        slot.run = Some(self.runs.len() - 1);
    }

    fn add(&mut self, at: usize, store: &mut Store, chance: &mut Chance) {
        if !chance.one_in(4) || !self.slots[at].fifo.exists() {
            self.make(at, chance);
        }
        // Now and then somebody else's file.
        let other = if chance.one_in(12) { chance.below(self.slots.len()) } else { at };
        let (limit, copies) = self.bounds(self.file(other, false), chance);
        let stamp = chance.one_of(&["none", "none", "line"]);
        let nodes = [limit, copies, chance.one_of(&["drop", "block"]), stamp];
        self.ask(at, self.entry(at, other, nodes), false, store);
        if chance.one_in(4) {
            self.open(at);
        }
    }

    fn entry(&self, at: usize, file: usize, nodes: [&str; 4]) -> Entry {
        let mut entry = Entry::default();
        entry.nodes[0] = Some(self.slots[at].fifo.to_str().unwrap().into());
        entry.nodes[FILE] = Some(self.file(file, false));
        for (node, value) in entry.nodes[2..].iter_mut().zip(nodes) {
            *node = Some(value.into());
        }
        entry
    }

    fn file(&self, at: usize, second: bool) -> Vec<u8> {
        let name = format!("log-{at}{}", if second { "-second" } else { "" });
        self.log.join(name).into_os_string().into_encoded_bytes()
    }

    /// Writes the request.
    fn ask(&mut self, at: usize, mut entry: Entry, keep_state: bool, store: &mut Store) {
        let slot = &self.slots[at];
        if let Some(run) = slot.run {
            self.runs[run].blocks &= entry.nodes[4].as_deref() == Some(b"block");
        }
        if !keep_state {
            entry.nodes[STATE] = None;
        }
        store.set(&slot.key, Some(entry));
    }

    fn bounds(&mut self, file: Vec<u8>, chance: &mut Chance) -> (&'static str, &'static str) {
        let most = self.bounds.entry(file).or_insert(BOUNDS.len());
        let at = chance.below(*most);
        *most = at + 1;
        BOUNDS[at]
    }

    fn change(&mut self, at: usize, entry: &mut Entry, chance: &mut Chance) {
        match chance.below(5) {
            0 | 1 => {
                let (limit, copies) = self.bounds(entry.nodes[FILE].clone().unwrap_or_default(), chance);
                (entry.nodes[2], entry.nodes[3]) = (Some(limit.into()), Some(copies.into()));
            }
            2 => entry.nodes[4] = Some(chance.one_of(&["drop", "block"]).into()),
            3 => {
                let run = self.slots[at].run.map(|run| &self.runs[run]);
                // Which carriage returns are left out could not be told.
                if run.is_none_or(|run| run.voice() != Voice::Returns) {
                    entry.nodes[5] = Some(chance.one_of(&["none", "line"]).into());
                }
            }
            _ => {
                let file = self.file(at, chance.one_in(2));
                let (limit, copies) = self.bounds(file.clone(), chance);
                (entry.nodes[FILE], entry.nodes[2], entry.nodes[3]) =
                    (Some(file), Some(limit.into()), Some(copies.into()));
            }
        }
    }

    fn remove(&mut self, at: usize, store: &mut Store, chance: &mut Chance) {
        let slot = &self.slots[at];
        store.set(&slot.key, None);
        if !chance.one_in(3) {
            let _ = std::fs::remove_file(&slot.fifo);
        }
        if let Some(run) = slot.run
            && !chance.one_in(3)
        {
            self.runs[run].close();
        }
    }

    /// A writer opens the FIFO, whether its log is ready or not.
    pub fn open(&mut self, at: usize) {
        let slot = &self.slots[at];
        if let Some(run) = slot.run
            && !self.runs[run].is_open()
        {
            self.runs[run].open(&slot.fifo);
        }
    }

    /// Those whose logs are ready open their FIFOs.
    pub fn look(&mut self, store: &Store) {
        for at in 0..self.slots.len() {
            let state = store.get(&self.slots[at].key).and_then(|entry| entry.nodes[STATE].as_deref());
            if state == Some(b"ready") {
                self.open(at);
            }
        }
    }

    /// Somebody writes, or closes. Answers with what.
    pub fn write(&mut self, chance: &mut Chance) -> String {
        if self.runs.is_empty() {
            return "nobody writes".into();
        }
        let at = self.runs.len() - 1 - chance.below(self.runs.len().min(8));
        let run = &mut self.runs[at];
        if chance.one_in(60) {
            run.close();
            return format!("FIFO {at} is closed by its writer");
        }
        let pieces = if chance.one_in(3) { 1 + chance.below(20) } else { 1 };
        let written: usize = (0..pieces).map(|_| run.write(chance.length(100_000))).sum();
        format!("FIFO {at}: {written} bytes are written")
    }
}

fn shown(entry: &Entry) -> String {
    let nodes = entry.nodes.iter().flatten().map(|value| String::from_utf8_lossy(value).into_owned());
    nodes.collect::<Vec<_>>().join(" ")
}
