//! Where a follower is: a file that it holds open, and a position in it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::fstat;
use rustix::io::{Errno, pread};

use super::walk::Found;
use crate::mark::Mark;
use crate::regular;

/// A place in a log.
#[derive(Debug)]
pub(super) struct Place {
    fd: OwnedFd,
    pub identity: (u64, u64),
    mark: Option<Mark>,
    position: u64,
    /// The logical offset of the byte at the position, as far as it is known.
    pub offset: Option<u64>,
    /// The file was shortened to less than the position, and its writer has not said yet how much was lost.
    shortened: bool,
}

/// What came of an attempt to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// So many bytes.
    Bytes(usize),
    /// The file ends here.
    End,
    /// The file was shortened: so many bytes are not to be had, if that is known.
    Missed(Option<u64>),
}

impl Place {
    /// At a position in a file.
    pub(super) fn at(found: Found, position: u64) -> Self {
        let offset = found.mark.map(|mark| mark.base + position);
        Self { fd: found.fd, identity: found.identity, mark: found.mark, position, offset, shortened: false }
    }

    /// At a logical offset, or where the file begins if that is later. The difference was missed; if offset or file do
    /// not say, nobody knows whether anything was.
    pub(super) fn from_offset(found: Found, offset: Option<u64>) -> (Self, Outcome) {
        let (size, mark) = (found.size, found.mark);
        let mut place = Self::at(found, mark.map_or(0, |mark| mark.from - mark.base));
        let Some(mark) = mark else {
            place.offset = None;
            return (place, Outcome::Missed(None));
        };
        let outcome = match offset {
            Some(offset) if offset < mark.from => Outcome::Missed(Some(mark.from - offset)),
            Some(offset) if offset <= mark.end(size) => {
                place.position = offset - mark.base;
                place.offset = Some(offset);
                Outcome::End
            }
            // The log did not get that far: it was begun anew.
            Some(_) | None => Outcome::Missed(None),
        };
        (place, outcome)
    }

    /// Reads on. The mark of the file is looked at after the bytes: if the file was shortened before they were read,
    /// the writer renumbered it before it wrote them, and they are not what the position says.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Result<Outcome, Errno> {
        loop {
            let len = match pread(&self.fd, &mut *buffer, self.position) {
                Ok(len) => len,
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(errno),
            };
            let mark = Mark::read(&self.fd, 0);
            if mark != self.mark {
                match self.renumber(mark) {
                    Outcome::Missed(missed) => return Ok(Outcome::Missed(missed)),
                    Outcome::Bytes(_) | Outcome::End => continue,
                }
            }
            if len > 0 && self.shortened {
                // It was never renumbered: its writer had it closed then.
                self.shortened = false;
                self.offset = self.mark.map(|mark| mark.base + self.position);
                return Ok(Outcome::Missed(None));
            }
            if len > 0 {
                self.position += len as u64;
                self.offset = self.offset.map(|offset| offset + len as u64);
                return Ok(Outcome::Bytes(len));
            }
            let size = regular::size(&fstat(&self.fd)?);
            if size == self.position {
                return Ok(Outcome::End);
            }
            if size < self.position {
                self.position = size;
                self.shortened = true;
            }
        }
    }

    /// In a newer file than this one, which was read to its end.
    pub(super) fn next(&self, found: Found) -> (Self, Outcome) {
        // A shortened file of which nobody counted the loss was written on after a pause: its numbers are used twice.
        let twice = self.shortened && found.from() < self.offset;
        Self::from_offset(found, self.offset.filter(|_| !twice))
    }

    /// In the file that follows this one, with none between.
    pub(super) fn adjacent(&self, found: Found) -> (Self, Outcome) {
        if self.shortened || (self.offset.is_some() && found.is_labelled()) {
            return self.next(found);
        }
        let mut place = Self::at(found, 0);
        place.offset = place.offset.or(self.offset);
        (place, Outcome::End)
    }

    /// True when no name leads to the file any more.
    pub(super) fn is_unlinked(&self) -> bool {
        fstat(&self.fd).is_ok_and(|stat| stat.st_nlink == 0)
    }

    /// Takes over a new mark, and goes where the offset is now.
    fn renumber(&mut self, mark: Option<Mark>) -> Outcome {
        self.mark = mark;
        let Some(mark) = mark else {
            self.offset = None;
            return Outcome::End;
        };
        self.shortened = false;
        let offset = self.offset.unwrap_or(mark.base + self.position);
        let first = offset.max(mark.from);
        self.position = first - mark.base;
        self.offset = Some(first);
        if first > offset { Outcome::Missed(Some(first - offset)) } else { Outcome::End }
    }
}

impl AsFd for Place {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
