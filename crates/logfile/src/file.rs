//! The rotating file.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use rustix::fs::{AtFlags, OFlags, RenameFlags, fstat, renameat, renameat_with, statat, unlinkat};
use rustix::io::Errno;

use crate::bounds::Bounds;
use crate::copies;
use crate::dir::Dir;
use crate::error::Error;
use crate::listing::{self, Listings};
use crate::mark::Mark;
use crate::regular::{self, Opened};
use crate::rotation::{self, Slot, Step};

/// How often a file is opened or else created before giving up: each failure means that somebody removed or made it
/// between two system calls.
const TRIES: u32 = 16;

/// A log: the live file, and its rotated copies `file.1` (newest) … `file.N`.
///
/// It has one writer. Nothing is locked: the daemon sees to it that no two logs share a name. It costs one file
/// descriptor, and one for each directory.
///
/// After an error every method may be called again, and goes on from what is there.
#[derive(Debug)]
pub struct LogFile {
    pub(crate) dir: Dir,
    pub(crate) name: Box<OsStr>,
    pub(crate) bounds: Bounds,
    /// `None` while there is no live file: taken away, or between two steps of a rotation of which one failed.
    pub(crate) live: Option<Live>,
    /// Bytes ever written to this log.
    pub(crate) offset: u64,
}

/// The file that is written.
#[derive(Debug)]
pub(crate) struct Live {
    pub fd: OwnedFd,
    pub size: u64,
    identity: (u64, u64),
}

impl From<Opened> for Live {
    fn from(opened: Opened) -> Self {
        Self { size: opened.size(), identity: opened.identity(), fd: opened.fd }
    }
}

impl LogFile {
    /// Opens a log. An existing file is appended to, and rotated first when it is larger than the limit; else a new one
    /// is made, with mode 0640. Copies beyond `bounds.copies` are removed.
    ///
    /// # Errors
    /// [`Error::BadBounds`], [`Error::BadName`], [`Error::NameTooLong`]; what is there is not a log of ours:
    /// [`Error::Symlink`], [`Error::NotRegular`], [`Error::HardLinked`], [`Error::ForeignOwner`]; a directory has the
    /// name of a copy: [`Error::InTheWay`]. None of these creates, changes or removes anything. Also
    /// [`Error::DirectoryGone`] and [`Error::Io`].
    pub fn open(dir: &Dir, name: &OsStr, bounds: Bounds) -> Result<Self, Error> {
        let listed = listing::numbers(dir, name)?;
        Self::begin(dir, name, bounds, &listed)
    }

    /// Opens a log, one of many: see [`Listings`].
    ///
    /// # Errors
    /// As [`LogFile::open`].
    pub fn open_with(dir: &Dir, name: &OsStr, bounds: Bounds, listings: &mut Listings) -> Result<Self, Error> {
        Self::begin(dir, name, bounds, listings.numbers(dir, name)?)
    }

    /// Changes the bounds of the log, at once: the file is rotated when it is larger than the new limit, and copies
    /// that are now too many are removed.
    ///
    /// # Errors
    /// [`Error::BadBounds`], [`Error::NameTooLong`], [`Error::InTheWay`]: the bounds stay as they were. With any other
    /// error the new bounds hold, and the rest is done at the next rotation or [`LogFile::reopen`].
    pub fn set_bounds(&mut self, bounds: Bounds) -> Result<(), Error> {
        self.admit(bounds)?;
        let fewer = bounds.copies < self.bounds.copies;
        self.bounds = bounds;
        self.settle()?;
        let listed = if fewer { listing::numbers(&self.dir, &self.name)? } else { Vec::new() };
        self.retain(&listed)
    }

    /// Rotates now. An empty file is not rotated: that would cost the oldest copy for nothing.
    ///
    /// # Errors
    /// [`Error::InTheWay`] when directories have the names of all copies; [`Error::DirectoryGone`]; [`Error::Io`].
    pub fn rotate(&mut self) -> Result<(), Error> {
        self.check()?;
        if self.size() > 0 { self.shift() } else { Ok(()) }
    }

    /// Looks whether the name still leads to the file that is written, which costs one more look at the file system
    /// than an append does. When it was removed or renamed, a new file is made; when another file has the name, the log
    /// goes on in that one.
    ///
    /// # Errors
    /// As [`LogFile::open`]. The log then has no file, and every append tries again to get one.
    pub fn check(&mut self) -> Result<(), Error> {
        self.settle()?;
        if !self.is_named()? {
            self.live = None;
            self.acquire()?;
        }
        self.rotate_if_too_large()
    }

    /// Whether everything is as it was left: the name leads to the file that is written, and nobody else wrote it or cut it. One
    /// look at the file system; [`LogFile::check`] does something about it.
    #[must_use]
    pub fn is_as_left(&self) -> bool {
        let Ok(stat) = statat(&self.dir, &*self.name, AtFlags::SYMLINK_NOFOLLOW) else { return false };
        self.live
            .as_ref()
            .is_some_and(|live| live.identity == regular::identity(&stat) && live.size == regular::size(&stat))
    }

    /// Starts over from what is on disk, as [`LogFile::open`] does, but keeps counting: for SIGHUP.
    ///
    /// # Errors
    /// As [`LogFile::check`].
    pub fn reopen(&mut self) -> Result<(), Error> {
        self.check()?;
        self.retain(&listing::numbers(&self.dir, &self.name)?)
    }

    /// Starts over, as one of many logs: see [`Listings`].
    ///
    /// # Errors
    /// As [`LogFile::check`].
    pub fn reopen_with(&mut self, listings: &mut Listings) -> Result<(), Error> {
        self.check()?;
        self.retain(listings.numbers(&self.dir, &self.name)?)
    }

    /// The size of the live file in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.live.as_ref().map_or(0, |live| live.size)
    }

    /// The logical offset: how many bytes were ever written to this log. On a file system without extended attributes,
    /// how many are known of.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The bounds of the log.
    #[must_use]
    pub fn bounds(&self) -> Bounds {
        self.bounds
    }

    /// The directory of the log.
    #[must_use]
    pub fn dir(&self) -> &Dir {
        &self.dir
    }

    /// The path of the live file, by the path that its directory was opened by.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        copies::path(&self.dir, &self.name, 0)
    }

    /// Looks at the file that is written: was it removed, shortened or appended to from outside? Then goes on from
    /// there. Afterwards there is a live file, and its size is known.
    pub(crate) fn settle(&mut self) -> Result<(), Error> {
        let Some(live) = &mut self.live else {
            return self.acquire();
        };
        let stat = fstat(&live.fd).map_err(|errno| Error::io("look at", self.dir.path().join(&*self.name), errno))?;
        let size = regular::size(&stat);
        if size > live.size {
            // Even if the file is gone: who follows the log may still hold it, and has read these bytes.
            self.offset = self.offset.saturating_add(size - live.size);
        } else if size < live.size {
            shortened(self.offset, size).write(&live.fd);
        }
        live.size = size;
        if stat.st_nlink == 0 {
            self.live = None;
            return self.acquire();
        }
        Ok(())
    }

    /// Rotates: carries out the plan, step by step. See [`rotation`] for what happens if one fails. When another file
    /// has the name, or none, there is nothing to rotate: the log goes on in that one, or in a new one.
    pub(crate) fn shift(&mut self) -> Result<(), Error> {
        if !self.is_named()? {
            self.live = None;
            return self.acquire();
        }
        let slots = copies::slots(&self.dir, &self.name, self.bounds.copies)?;
        let steps = rotation::rotate(self.size(), &slots, self.bounds.limit)
            .map_err(|_| Error::InTheWay { path: copies::path(&self.dir, &self.name, 1) })?;
        steps.into_iter().try_for_each(|step| self.perform(step))
    }

    /// Whether the name leads to the file that is written.
    fn is_named(&self) -> Result<bool, Error> {
        match statat(&self.dir, &*self.name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(self.live.as_ref().is_some_and(|live| live.identity == regular::identity(&stat))),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(Error::io("look at", self.path(), errno)),
        }
    }

    /// One step of a rotation. What is already gone needs no removing or renaming.
    pub(crate) fn perform(&mut self, step: Step) -> Result<(), Error> {
        match step {
            Step::Unlink(number) => {
                let name = copies::name(&self.name, number);
                match unlinkat(&self.dir, &*name, AtFlags::empty()) {
                    Ok(()) | Err(Errno::NOENT) => {}
                    Err(errno) => return Err(Error::io("remove", copies::path(&self.dir, &self.name, number), errno)),
                }
                if number == 0 {
                    self.live = None;
                }
            }
            Step::Rename { from, to } => {
                let (old, new) = (copies::name(&self.name, from), copies::name(&self.name, to));
                match rename(&self.dir, &old, &new) {
                    Ok(()) | Err(Errno::NOENT) => {}
                    Err(errno) => return Err(Error::io("rename", copies::path(&self.dir, &self.name, from), errno)),
                }
                if from == 0 {
                    self.live = None;
                }
            }
            Step::Create => {
                self.live = None;
                if !self.create()? {
                    return Err(Error::io("create", self.path(), Errno::EXIST));
                }
            }
        }
        Ok(())
    }

    /// Opens what is there, or makes a new file, and finds out how far the log has come. `listed` are the numbers of
    /// all copies.
    fn begin(dir: &Dir, name: &OsStr, bounds: Bounds, listed: &[u32]) -> Result<Self, Error> {
        let mut log = Self { dir: dir.clone(), name: name.into(), bounds, live: None, offset: 0 };
        let slots = log.admit(bounds)?;
        let found = log.find()?;
        log.offset = log.end_of_copies(&slots);
        match found {
            Some(found) => log.resume(found),
            None => log.acquire()?,
        }
        log.retain(listed)?;
        Ok(log)
    }

    /// Checks bounds before anything is done with them.
    fn admit(&self, bounds: Bounds) -> Result<Vec<Slot>, Error> {
        bounds.check()?;
        copies::check_name(&self.dir, &self.name, bounds.copies)?;
        let slots = copies::slots(&self.dir, &self.name, bounds.copies)?;
        match (1..).zip(&slots).find(|(_, slot)| **slot == Slot::Blocked) {
            Some((number, _)) => Err(Error::InTheWay { path: copies::path(&self.dir, &self.name, number) }),
            None => Ok(slots),
        }
    }

    /// Opens the live file if there is one. Not if it is none of ours.
    fn find(&self) -> Result<Option<Opened>, Error> {
        let found = regular::open(&self.dir, &self.name, OFlags::RDWR)?;
        if let Some(found) = &found {
            regular::check_ours(&self.dir, &self.name, &found.stat)?;
        }
        Ok(found)
    }

    /// Gets a live file: what has the name, or a new one.
    fn acquire(&mut self) -> Result<(), Error> {
        for _ in 0..TRIES {
            if let Some(found) = self.find()? {
                self.adopt(found);
                return Ok(());
            }
            if self.create()? {
                return Ok(());
            }
        }
        Err(Error::io("create", self.path(), Errno::EXIST))
    }

    /// Goes on in a file that an earlier writer of this log left. A mark that says less than the copies do is none: the
    /// log would seem to go backwards.
    fn resume(&mut self, found: Opened) {
        match Mark::read(&found.fd, found.size()) {
            Some(mark) if mark.base >= self.offset => {
                self.offset = mark.end(found.size());
                if mark.base + found.size() < self.offset {
                    shortened(self.offset, found.size()).write(&found.fd);
                }
                self.live = Some(found.into());
            }
            _ => self.adopt(found),
        }
    }

    /// Goes on in a file that was not written here. What is in it counts as if it were written now.
    fn adopt(&mut self, found: Opened) {
        Mark::whole(self.offset).write(&found.fd);
        self.offset = self.offset.saturating_add(found.size());
        self.live = Some(found.into());
    }

    /// Makes a new live file, unless something has the name.
    fn create(&mut self) -> Result<bool, Error> {
        let Some(created) = regular::create(&self.dir, &self.name)? else {
            return Ok(false);
        };
        Mark::whole(self.offset).write(&created.fd);
        self.live = Some(created.into());
        Ok(true)
    }

    /// Where the newest copy ends that says so.
    fn end_of_copies(&self, slots: &[Slot]) -> u64 {
        let taken = (1..).zip(slots).filter(|(_, slot)| **slot != Slot::Free);
        let mut ends = taken.filter_map(|(number, _)| {
            let copy = regular::open(&self.dir, &copies::name(&self.name, number), OFlags::RDONLY).ok()??;
            Some(Mark::read(&copy.fd, copy.size())?.end(copy.size()))
        });
        ends.next().unwrap_or(0)
    }

    /// Makes what is there fit the bounds: removes copies that are too many or, together, too large, and rotates a live
    /// file that is too large. `listed` are the numbers of all copies.
    fn retain(&mut self, listed: &[u32]) -> Result<(), Error> {
        copies::remove_surplus(&self.dir, &self.name, self.bounds.copies, listed)?;
        let slots = copies::slots(&self.dir, &self.name, self.bounds.copies)?;
        rotation::trim(&slots, self.bounds.limit).into_iter().try_for_each(|step| self.perform(step))?;
        self.rotate_if_too_large()
    }

    fn rotate_if_too_large(&mut self) -> Result<(), Error> {
        while self.size() > self.bounds.limit {
            self.shift()?;
        }
        Ok(())
    }
}

/// The mark of a file that was shortened to this size, and is to go on at this logical offset.
fn shortened(offset: u64, size: u64) -> Mark {
    Mark { base: offset.saturating_sub(size), from: offset }
}

/// Renames, but never over something. Some file systems (NFS) cannot promise that; there it was looked at before.
fn rename(dir: &Dir, old: &OsStr, new: &OsStr) -> Result<(), Errno> {
    match renameat_with(dir, old, dir, new, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS) => renameat(dir, old, dir, new),
        done => done,
    }
}
