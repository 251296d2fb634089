//! Opening what has the name of a log, if it is a regular file. What is checked is what was opened.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, fchmod, fstat, openat, statat};
use rustix::io::Errno;

use crate::dir::Dir;
use crate::error::Error;

/// A file that is open, and what fstat(2) said of it then.
pub(crate) struct Opened {
    pub fd: OwnedFd,
    pub stat: Stat,
}

impl Opened {
    /// Device and inode.
    pub(crate) fn identity(&self) -> (u64, u64) {
        identity(&self.stat)
    }

    /// In bytes.
    pub(crate) fn size(&self) -> u64 {
        size(&self.stat)
    }
}

/// Device and inode.
pub(crate) fn identity(stat: &Stat) -> (u64, u64) {
    (stat.st_dev, stat.st_ino)
}

/// The size of a regular file in bytes. The kernel's type is signed, its values are not.
pub(crate) fn size(stat: &Stat) -> u64 {
    u64::try_from(stat.st_size).unwrap_or(0)
}

/// Opens a regular file; `None` when nothing has that name. `access` is `RDONLY` or `RDWR`.
///
/// The name is looked at before it is opened, because opening a FIFO or a device is felt at its other end. What is
/// opened is looked at again: between the two, the name may have been given to something else.
pub(crate) fn open(dir: &Dir, name: &OsStr, access: OFlags) -> Result<Option<Opened>, Error> {
    let path = || dir.path().join(name);
    match statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => check_kind(dir, name, &stat)?,
        Err(Errno::NOENT) => return Ok(None),
        Err(errno) => return Err(Error::io("look at", path(), errno)),
    }
    let flags = access | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let fd = match openat(dir, name, flags, Mode::empty()) {
        Ok(fd) => fd,
        Err(Errno::NOENT) => return Ok(None),
        Err(Errno::LOOP) => return Err(Error::Symlink { path: path() }),
        Err(errno) => return Err(Error::io("open", path(), errno)),
    };
    let stat = fstat(&fd).map_err(|errno| Error::io("look at", path(), errno))?;
    check_kind(dir, name, &stat)?;
    Ok(Some(Opened { fd, stat }))
}

/// Makes a new, empty file with mode 0640; `None` when something has that name already.
pub(crate) fn create(dir: &Dir, name: &OsStr) -> Result<Option<Opened>, Error> {
    const MODE: Mode = Mode::RUSR.union(Mode::WUSR).union(Mode::RGRP);
    let path = || dir.path().join(name);
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = match openat(dir, name, flags, MODE) {
        Ok(fd) => fd,
        Err(Errno::EXIST) => return Ok(None),
        Err(Errno::NOENT) => return Err(Error::DirectoryGone { path: dir.path().to_owned() }),
        Err(errno) => return Err(Error::io("create", path(), errno)),
    };
    let stat = fstat(&fd).map_err(|errno| Error::io("look at", path(), errno))?;
    if Mode::from_raw_mode(stat.st_mode) != MODE {
        fchmod(&fd, MODE).map_err(|errno| Error::io("set the mode of", path(), errno))?;
    }
    Ok(Some(Opened { fd, stat }))
}

/// Checks that a file may be written as a log: it has one name, and it is ours.
pub(crate) fn check_ours(dir: &Dir, name: &OsStr, stat: &Stat) -> Result<(), Error> {
    let path = || dir.path().join(name);
    let expected = rustix::process::geteuid().as_raw();
    if stat.st_uid != expected {
        return Err(Error::ForeignOwner { path: path(), owner: stat.st_uid, expected });
    }
    if stat.st_nlink > 1 {
        return Err(Error::HardLinked { path: path(), links: stat.st_nlink });
    }
    Ok(())
}

fn check_kind(dir: &Dir, name: &OsStr, stat: &Stat) -> Result<(), Error> {
    let path = || dir.path().join(name);
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Ok(()),
        FileType::Symlink => Err(Error::Symlink { path: path() }),
        kind => Err(Error::NotRegular { path: path(), kind: kind.into() }),
    }
}
