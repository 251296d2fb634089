//! The disk of the model: each file on it is well, or in some trouble.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io;

use rustix::io::Errno;

use super::chance::Chance;

/// What is wrong with a file.
#[derive(Clone, Copy, Debug)]
pub struct Trouble {
    /// Bytes that can still be written.
    pub room: usize,
    /// What comes then.
    pub errno: Errno,
}

/// What happens elsewhere while a write is under way.
type Meanwhile = Box<dyn FnMut()>;

#[derive(Default)]
struct Disk {
    troubles: BTreeMap<OsString, Trouble>,
    pieces: Option<Chance>,
    meanwhile: Option<Meanwhile>,
    failed: u64,
    reliefs: u64,
}

thread_local! {
    static DISK: RefCell<Disk> = RefCell::default();
}

/// Puts a file into trouble, or out of it.
pub fn set(name: &OsStr, trouble: Option<Trouble>) {
    DISK.with_borrow_mut(|disk| match trouble {
        Some(trouble) => drop(disk.troubles.insert(name.to_owned(), trouble)),
        None => drop(disk.troubles.remove(name)),
    });
}

/// All is well.
pub fn heal() {
    DISK.with_borrow_mut(|disk| disk.troubles.clear());
}

/// Whether a file is in trouble.
pub fn is_in_trouble(name: &OsStr) -> bool {
    DISK.with_borrow(|disk| disk.troubles.contains_key(name))
}

/// Begins anew: a disk that writes in pieces as these chances have it.
pub fn begin(pieces: Option<Chance>) {
    DISK.set(Disk { pieces, ..Disk::default() });
}

/// What happens while a write is under way, from now on.
pub fn set_meanwhile(meanwhile: Option<Meanwhile>) {
    DISK.with_borrow_mut(|disk| disk.meanwhile = meanwhile);
}

/// Something was dropped.
pub fn count_relief() {
    DISK.with_borrow_mut(|disk| disk.reliefs += 1);
}

/// How often something was dropped.
pub fn reliefs() -> u64 {
    DISK.with_borrow(|disk| disk.reliefs)
}

/// How many operations have failed.
pub fn failed() -> u64 {
    DISK.with_borrow(|disk| disk.failed)
}

/// A write is under way.
pub fn wait() {
    let Some(mut meanwhile) = DISK.with_borrow_mut(|disk| disk.meanwhile.take()) else { return };
    meanwhile();
    set_meanwhile(Some(meanwhile));
}

/// Where to cut a write of so many bytes.
pub fn cut(len: usize) -> usize {
    DISK.with_borrow_mut(|disk| match &mut disk.pieces {
        Some(chance) => chance.below(2 * len + 1).min(len),
        None => len,
    })
}

/// Takes room for up to `len` bytes: how many there is room for, and what comes behind them.
pub fn take(name: &OsStr, len: usize) -> (usize, Option<io::Error>) {
    DISK.with_borrow_mut(|disk| {
        let Some(trouble) = disk.troubles.get_mut(name) else { return (len, None) };
        let room = trouble.room.min(len);
        trouble.room -= room;
        if room == len {
            return (len, None);
        }
        disk.failed += 1;
        (room, Some(trouble.errno.into()))
    })
}

/// Does something that needs no room, but a disk that works.
pub fn touch(name: &OsStr) -> io::Result<()> {
    DISK.with_borrow_mut(|disk| {
        let Some(trouble) = disk.troubles.get(name).filter(|trouble| trouble.room == 0) else { return Ok(()) };
        if trouble.errno == Errno::NOSPC {
            return Ok(());
        }
        disk.failed += 1;
        Err(trouble.errno.into())
    })
}
