//! The rotating file as plain values: what it should do, without a file system.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use logfile::Bounds;

/// A file. It may have lost its name and still be open.
#[derive(Debug, Default)]
pub struct Content {
    pub bytes: Vec<u8>,
    /// The logical offset of the first byte, and of the first that is as numbered.
    pub mark: Option<(u64, u64)>,
}

pub type File = Rc<RefCell<Content>>;

/// The logical offset that the log had when a file ended.
pub fn end(file: &File) -> Option<u64> {
    file.borrow().mark.map(|(base, from)| from.max(base + len(file)))
}

/// A log and its writer.
#[derive(Debug)]
pub struct Reference {
    pub bounds: Bounds,
    /// By number; 0 is the live file.
    pub names: BTreeMap<u32, File>,
    /// Renamed to something else.
    pub away: Vec<File>,
    /// The file that is written, and its size when it was last looked at.
    pub open: Option<File>,
    pub size: u64,
    pub offset: u64,
}

fn len(file: &File) -> u64 {
    file.borrow().bytes.len() as u64
}

impl Reference {
    pub fn new(bounds: Bounds) -> Self {
        let mut new = Self { bounds, names: BTreeMap::new(), away: Vec::new(), open: None, size: 0, offset: 0 };
        new.open(bounds);
        new
    }

    /// The writer begins, with what is there.
    pub fn open(&mut self, bounds: Bounds) {
        self.bounds = bounds;
        let newest = self.names.range(1..).next().filter(|(number, _)| **number <= bounds.copies);
        let newest = newest.map(|(_, file)| file.clone());
        self.offset = newest.and_then(|file| end(&file)).unwrap_or(0);
        let live = self.names.get(&0).cloned();
        let base = live.as_ref().and_then(|live| live.borrow().mark).map(|(base, _)| base);
        match (live, base) {
            (Some(live), Some(base)) if base >= self.offset => {
                self.size = len(&live);
                self.offset = end(&live).unwrap();
                if base + self.size < self.offset {
                    live.borrow_mut().mark = Some((self.offset - self.size, self.offset));
                }
                self.open = Some(live);
            }
            _ => self.acquire(),
        }
        self.retain();
        self.rotate_if_too_large();
    }

    pub fn set_bounds(&mut self, bounds: Bounds) {
        self.bounds = bounds;
        self.settle();
        self.retain();
        self.rotate_if_too_large();
    }

    pub fn rotate(&mut self) {
        self.check();
        if self.size > 0 {
            self.shift();
        }
    }

    pub fn check(&mut self) {
        self.settle();
        if !self.is_named() {
            self.acquire();
        }
        self.rotate_if_too_large();
    }

    pub fn reopen(&mut self) {
        self.check();
        self.retain();
    }

    pub fn append(&mut self, mut bytes: &[u8]) {
        self.settle();
        while !bytes.is_empty() {
            let rest = usize::try_from(self.bounds.limit.saturating_sub(self.size)).unwrap();
            let open = self.open.clone().unwrap();
            let mid_line = open.borrow().bytes.last().is_none_or(|last| *last != b'\n');
            let take = if bytes.len() <= rest {
                bytes.len()
            } else if let Some(newline) = bytes[..rest].iter().rposition(|byte| *byte == b'\n') {
                newline + 1
            } else if mid_line {
                rest
            } else {
                0
            };
            if take == 0 {
                self.shift();
                continue;
            }
            open.borrow_mut().bytes.extend_from_slice(&bytes[..take]);
            self.size += take as u64;
            self.offset += take as u64;
            bytes = &bytes[take..];
        }
    }

    /// True when the writer has yet to find out about something.
    pub fn is_disturbed(&self) -> bool {
        !self.is_named() || self.open.as_ref().is_none_or(|open| len(open) != self.size)
    }

    pub fn is_named(&self) -> bool {
        matches!((&self.open, self.names.get(&0)), (Some(open), Some(live)) if Rc::ptr_eq(open, live))
    }

    fn settle(&mut self) {
        let Some(open) = self.open.clone() else { return self.acquire() };
        let size = len(&open);
        if size > self.size {
            self.offset += size - self.size;
        } else if size < self.size {
            open.borrow_mut().mark = Some((self.offset - size, self.offset));
        }
        self.size = size;
        if !self.names.values().chain(&self.away).any(|file| Rc::ptr_eq(file, &open)) {
            self.acquire();
        }
    }

    fn acquire(&mut self) {
        let live = self.names.entry(0).or_default().clone();
        live.borrow_mut().mark = Some((self.offset, self.offset));
        self.size = len(&live);
        self.offset += self.size;
        self.open = Some(live);
    }

    fn shift(&mut self) {
        if !self.is_named() {
            return self.acquire();
        }
        let copies = self.bounds.copies;
        let budget = self.bounds.limit * u64::from(copies);
        while self.names.len() > 1 && (self.names.len() as u64 > u64::from(copies) || self.total() > budget) {
            self.names.pop_last();
        }
        let gap = (1..=copies).find(|number| !self.names.contains_key(number));
        match gap {
            None => drop(self.names.remove(&0)),
            Some(gap) => {
                for number in (0..gap).rev() {
                    let file = self.names.remove(&number).unwrap();
                    self.names.insert(number + 1, file);
                }
            }
        }
        self.acquire();
    }

    fn retain(&mut self) {
        let bounds = self.bounds;
        self.names.retain(|number, _| *number <= bounds.copies);
        let live = self.names.get(&0).map_or(0, len);
        while self.names.range(1..).count() > 1 && self.total() - live > bounds.limit * u64::from(bounds.copies) {
            self.names.pop_last();
        }
    }

    fn rotate_if_too_large(&mut self) {
        while self.size > self.bounds.limit {
            self.shift();
        }
    }

    pub fn total(&self) -> u64 {
        self.names.values().map(len).sum()
    }
}
