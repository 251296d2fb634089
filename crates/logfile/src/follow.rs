//! The reader that follows a log across rotations.

mod changes;
mod lines;
mod place;
mod seek;
mod walk;

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd};

use crate::copies;
use crate::dir::Dir;
use crate::error::Error;
use changes::Changes;
use place::{Outcome, Place};
use walk::{Found, Walk, live, survey};

/// Where a [`Follower`] begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// At the oldest byte that is kept.
    Oldest,
    /// At the end: only what is written from now on.
    End,
    /// So many lines before the end, in rotated copies too. A last line that has no newline yet counts as one.
    Lines(u64),
    /// At a logical offset, see [`Follower::offset`].
    Offset(u64),
}

/// What a [`Follower`] has next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// So many bytes are in the buffer; at least one.
    Bytes(usize),
    /// All that is written was read. There may be more later.
    UpToDate,
    /// So many bytes were written after the last ones and are gone: rotated away by retention, or removed from outside.
    /// `None`: something may be missing, and nothing says how much. Reading goes on with what came next.
    Missed(Option<u64>),
}

/// Reads a log while it is written, rotated, truncated or removed. It needs no more than permission to read, and
/// changes nothing. It never follows a symbolic link and never waits: whoever wants more asks again later.
///
/// It goes by the logical offsets that the writer keeps with the files, so each byte is delivered once, in order, or
/// counted as missed. Where the file system cannot keep them (no extended attributes), it goes by device and inode: it
/// still follows every rotation that it sees, but can only say *that* it may have missed something.
#[derive(Debug)]
pub struct Follower {
    dir: Dir,
    name: Box<OsStr>,
    /// Where to begin, as long as there is no file.
    start: Start,
    place: Option<Place>,
    /// To be told at the next read.
    missed: Option<Option<u64>>,
    changes: Option<Changes>,
}

impl Follower {
    /// Begins to follow a log. There may be none yet: then it begins when there is one.
    ///
    /// # Errors
    /// [`Error::BadName`], [`Error::NameTooLong`] or [`Error::Io`].
    pub fn open(dir: &Dir, name: &OsStr, start: Start) -> Result<Self, Error> {
        copies::check_name(dir, name, 0)?;
        let mut follower =
            Self { dir: dir.clone(), name: name.into(), start, place: None, missed: None, changes: None };
        follower.begin()?;
        if follower.place.is_none() && matches!(start, Start::End | Start::Lines(_)) {
            // Whatever comes is new.
            follower.start = Start::Oldest;
        }
        Ok(follower)
    }

    /// Reads on into `buffer`, which has to have room for at least a byte. Never waits.
    ///
    /// # Errors
    /// [`Error::Io`]. The next call tries again from the same place.
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<Next, Error> {
        // Bytes may have been added to a file between its end and its rotation, so the end counts only if the file was
        // known not to be the live one before.
        let mut finished = false;
        if let Some(changes) = &self.changes {
            changes.forget();
        }
        loop {
            if self.place.is_none() && !self.begin()? {
                return Ok(Next::UpToDate);
            }
            if let Some(missed) = self.missed.take() {
                return Ok(Next::Missed(missed));
            }
            let Some(place) = &mut self.place else { return Ok(Next::UpToDate) };
            let path = || self.dir.path().join(&*self.name);
            match place.read(buffer).map_err(|errno| Error::io("read", path(), errno))? {
                Outcome::Bytes(len) => return Ok(Next::Bytes(len)),
                Outcome::Missed(missed) => return Ok(Next::Missed(missed)),
                Outcome::End if finished => {
                    if !self.advance()? {
                        return Ok(Next::UpToDate);
                    }
                    finished = false;
                }
                Outcome::End => {
                    if live(&self.dir, &self.name)? == Some(place.identity) {
                        return Ok(Next::UpToDate);
                    }
                    finished = true;
                }
            }
        }
    }

    /// The logical offset of the next byte: a follower that starts there goes on with it. None when nothing says.
    #[must_use]
    pub fn offset(&self) -> Option<u64> {
        match (&self.place, self.start) {
            (Some(place), _) => place.offset,
            (None, Start::Offset(offset)) => Some(offset),
            (None, _) => None,
        }
    }

    /// A descriptor to wait on: it becomes readable when there may be something new. Read until [`Next::UpToDate`]
    /// after the first call and after each wait. It wakes for other files of the directory too, when they are made.
    ///
    /// # Errors
    /// [`Error::Io`] when the system has no inotify(7) instances or watches left, or no /proc. Then ask now and then.
    pub fn changes(&mut self) -> Result<BorrowedFd<'_>, Error> {
        let changes = match self.changes.take() {
            Some(changes) => changes,
            None => {
                let mut changes = Changes::new(&self.dir)?;
                if let Some(place) = &self.place {
                    let path = || self.dir.path().join(&*self.name);
                    changes.watch(place.as_fd()).map_err(|errno| Error::io("watch", path(), errno))?;
                }
                changes
            }
        };
        let changes: &Changes = self.changes.insert(changes);
        Ok(changes.as_fd())
    }

    /// Takes the place where to begin. False when there is no file.
    fn begin(&mut self) -> Result<bool, Error> {
        let start = self.start;
        let begun = survey(&self.dir, &self.name, |walk| {
            let at = |(found, position)| (Place::at(found, position), Outcome::End);
            Ok(match start {
                Start::Oldest => oldest(walk)?.map(|found| at((found, 0))),
                Start::End => lines::last(walk, 0)?.map(at),
                Start::Lines(lines) => lines::last(walk, lines)?.map(at),
                Start::Offset(offset) => seek::offset(walk, offset)?,
            })
        })?;
        self.go(begun)
    }

    /// Goes on in the next newer file. False when there is none.
    fn advance(&mut self) -> Result<bool, Error> {
        let Some(place) = &self.place else { return Ok(false) };
        let next = survey(&self.dir, &self.name, |walk| seek::after(walk, place))?;
        self.go(next)
    }

    fn go(&mut self, next: Option<seek::Step>) -> Result<bool, Error> {
        let Some((place, outcome)) = next else { return Ok(false) };
        if let Some(changes) = &mut self.changes {
            let path = || self.dir.path().join(&*self.name);
            changes.watch(place.as_fd()).map_err(|errno| Error::io("watch", path(), errno))?;
        }
        self.place = Some(place);
        if let Outcome::Missed(missed) = outcome {
            self.missed = Some(missed);
        }
        Ok(true)
    }
}

fn oldest(walk: &mut Walk<'_>) -> Result<Option<Found>, Error> {
    let mut oldest = None;
    while let Some(found) = walk.next()? {
        oldest = Some(found);
    }
    Ok(oldest)
}
