//! What a follower should deliver, by the numbers of the bytes alone.

use std::rc::Rc;

use crate::reference::{File, Reference, end};

/// A piece of what a follower delivers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Got {
    Bytes(Vec<u8>),
    Missed(u64),
}

/// Adds a piece to others; two of a kind become one.
pub fn push(got: &mut Vec<Got>, next: Got) {
    match (got.last_mut(), next) {
        (Some(Got::Bytes(bytes)), Got::Bytes(next)) => bytes.extend(next),
        (Some(Got::Missed(missed)), Got::Missed(next)) => *missed += next,
        (_, next) => got.push(next),
    }
}

/// A reader in a file that it holds open.
#[derive(Debug)]
pub struct Reader {
    file: File,
    mark: (u64, u64),
    pub offset: u64,
}

impl Reader {
    /// At a position in a file.
    pub fn at(file: &File, position: u64) -> Self {
        let mark = file.borrow().mark.expect("readers begin in files that have a mark");
        Self { file: file.clone(), mark, offset: mark.0 + position }
    }

    /// At a logical offset, which the log has or had.
    pub fn from_offset(log: &Reference, offset: u64) -> (Self, Vec<Got>) {
        let at = |file: &File| Self::at(file, 0);
        let mut first = log
            .names
            .values()
            .filter(|file| end(file) >= Some(offset))
            .map(at)
            .min_by_key(|reader| reader.mark.1)
            .expect("an offset that was written");
        let missed = first.mark.1.saturating_sub(offset);
        first.offset = first.mark.1.max(offset);
        (first, if missed > 0 { vec![Got::Missed(missed)] } else { vec![] })
    }

    /// Reads all there is.
    pub fn drain(&mut self, log: &Reference) -> Vec<Got> {
        let mut got = Vec::new();
        loop {
            let file = self.file.clone();
            let mark = file.borrow().mark.unwrap();
            if mark != self.mark {
                self.mark = mark;
                self.skip(&mut got);
            }
            let position = usize::try_from(self.offset - mark.0).unwrap();
            if let Some(bytes) = file.borrow().bytes.get(position..).filter(|bytes| !bytes.is_empty()) {
                push(&mut got, Got::Bytes(bytes.to_vec()));
                self.offset += bytes.len() as u64;
            }
            if log.names.get(&0).is_some_and(|live| Rc::ptr_eq(live, &file)) {
                return got;
            }
            // The next one by number that is left.
            let next = log
                .names
                .values()
                .filter(|next| !Rc::ptr_eq(next, &file))
                .filter_map(|next| Some((next.borrow().mark?, next)))
                .filter(|((_, from), next)| *from >= self.offset || end(next) > Some(self.offset))
                .min_by_key(|((_, from), _)| *from);
            let Some((mark, next)) = next else { return got };
            (self.file, self.mark) = (next.clone(), mark);
            self.skip(&mut got);
        }
    }

    /// Passes over what is not to be had.
    fn skip(&mut self, got: &mut Vec<Got>) {
        if self.offset < self.mark.1 {
            push(got, Got::Missed(self.mark.1 - self.offset));
            self.offset = self.mark.1;
        }
    }
}
