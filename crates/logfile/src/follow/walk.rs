//! The files of a log from the newest to the oldest, while a writer may be rotating them.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use rustix::fs::{AtFlags, OFlags, statat};
use rustix::io::Errno;

use crate::copies;
use crate::dir::Dir;
use crate::error::Error;
use crate::listing;
use crate::mark::Mark;
use crate::regular;

/// How often a walk is begun again because the log was rotated meanwhile. In a flood of rotations the last one counts;
/// its result is a little out of date, but not wrong.
const TRIES: u32 = 8;

/// One file of the log, open for reading.
pub(super) struct Found {
    pub fd: OwnedFd,
    pub identity: (u64, u64),
    pub mark: Option<Mark>,
    pub size: u64,
    /// It had the name of the live file.
    pub is_live: bool,
}

impl Found {
    /// True when the file says where it belongs.
    pub(super) fn is_labelled(&self) -> bool {
        self.mark.is_some()
    }

    /// The logical offset of the first byte that is as numbered.
    pub(super) fn from(&self) -> Option<u64> {
        self.mark.map(|mark| mark.from)
    }

    /// The logical offset behind the last byte.
    pub(super) fn end(&self) -> Option<u64> {
        self.mark.map(|mark| mark.end(self.size))
    }
}

/// The files, from the newest to the oldest. What is no regular file is passed over.
///
/// Rotation gives files higher numbers, one by one, beginning with the highest. A walk from low to high numbers
/// therefore meets every file that stays, and at worst meets one twice in a row; the second time is passed over too.
pub(super) struct Walk<'a> {
    dir: &'a Dir,
    name: &'a OsStr,
    numbers: std::ops::RangeInclusive<u32>,
    last: Option<(u64, u64)>,
}

impl Walk<'_> {
    /// The path of the log, for the text of an error.
    pub(super) fn path(&self) -> PathBuf {
        copies::path(self.dir, self.name, 0)
    }

    pub(super) fn next(&mut self) -> Result<Option<Found>, Error> {
        for number in self.numbers.by_ref() {
            let name = copies::name(self.name, number);
            let opened = match regular::open(self.dir, &name, OFlags::RDONLY) {
                Ok(Some(opened)) => opened,
                Ok(None) | Err(Error::Symlink { .. } | Error::NotRegular { .. }) => continue,
                Err(error) => return Err(error),
            };
            let (identity, size) = (opened.identity(), opened.size());
            if self.last.replace(identity) == Some(identity) {
                continue;
            }
            let mark = Mark::read(&opened.fd, size);
            return Ok(Some(Found { fd: opened.fd, identity, mark, size, is_live: number == 0 }));
        }
        Ok(None)
    }
}

/// Walks the files of a log, and again if it was rotated meanwhile.
pub(super) fn survey<T>(
    dir: &Dir,
    name: &OsStr,
    mut look: impl FnMut(&mut Walk<'_>) -> Result<T, Error>,
) -> Result<T, Error> {
    let mut tries = 0;
    loop {
        tries += 1;
        let before = live(dir, name)?;
        // A listing may miss a file that is renamed meanwhile, so every number is tried, and one more.
        let highest = listing::numbers(dir, name)?.last().map_or(0, |number| number + 1);
        let result = look(&mut Walk { dir, name, numbers: 0..=highest, last: None })?;
        if tries == TRIES || live(dir, name)? == before {
            return Ok(result);
        }
    }
}

/// Which file has the name of the live one.
pub(super) fn live(dir: &Dir, name: &OsStr) -> Result<Option<(u64, u64)>, Error> {
    match statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(regular::identity(&stat))),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(Error::io("look at", dir.path().join(name), errno)),
    }
}
