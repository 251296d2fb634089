//! Which rotated copies there are in a directory.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{Mode, OFlags, RawDir, openat};
use rustix::io::Errno;

use crate::copies;
use crate::dir::Dir;
use crate::error::Error;

/// Room for the entries of one getdents64(2).
const BLOCK: usize = 32 * 1024;

/// The rotated copies in some directories, each listed once.
///
/// Opening a log looks for copies that are too many, wherever their numbers are, so it reads the whole directory. That
/// is felt by whoever opens thousands of logs in one directory: with a `Listings` for all of them
/// ([`LogFile::open_with`](crate::LogFile::open_with)) the directory is read once. Keep it no longer than it takes to
/// open them: it does not notice what is made later.
#[derive(Debug, Default)]
pub struct Listings {
    dirs: HashMap<(u64, u64), Copies>,
}

/// The numbers of the copies of each log, in ascending order.
type Copies = HashMap<Box<[u8]>, Vec<u32>>;

impl Listings {
    /// Nothing is listed yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The numbers of the copies of a log, in ascending order.
    pub(crate) fn numbers(&mut self, dir: &Dir, log: &OsStr) -> Result<&[u32], Error> {
        let copies = match self.dirs.entry(dir.identity()) {
            Entry::Occupied(listed) => listed.into_mut(),
            Entry::Vacant(vacant) => vacant.insert(list(dir)?),
        };
        Ok(copies.get(log.as_bytes()).map_or(&[], Vec::as_slice))
    }
}

/// The copies of all logs in a directory.
fn list(dir: &Dir) -> Result<Copies, Error> {
    let mut copies = Copies::new();
    each(dir, |file| {
        if let Some((log, number)) = copies::parse(file) {
            match copies.get_mut(log) {
                Some(numbers) => numbers.push(number),
                None => drop(copies.insert(log.into(), vec![number])),
            }
        }
    })?;
    copies.values_mut().for_each(|numbers| numbers.sort_unstable());
    Ok(copies)
}

/// The numbers of the copies of one log, in ascending order.
pub(crate) fn numbers(dir: &Dir, log: &OsStr) -> Result<Vec<u32>, Error> {
    let mut numbers = Vec::new();
    each(dir, |file| {
        if let Some((of, number)) = copies::parse(file)
            && of == log.as_bytes()
        {
            numbers.push(number);
        }
    })?;
    numbers.sort_unstable();
    Ok(numbers)
}

/// Calls a function with the name of everything in a directory.
fn each(dir: &Dir, mut found: impl FnMut(&[u8])) -> Result<(), Error> {
    let failed = |errno| match errno {
        Errno::NOENT => Error::DirectoryGone { path: dir.path().to_owned() },
        errno => Error::io("list directory", dir.path(), errno),
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let listed = openat(dir, ".", flags, Mode::empty()).map_err(failed)?;
    let mut block = Vec::with_capacity(BLOCK);
    let mut entries = RawDir::new(listed, block.spare_capacity_mut());
    while let Some(entry) = entries.next() {
        found(entry.map_err(failed)?.file_name().to_bytes());
    }
    Ok(())
}
