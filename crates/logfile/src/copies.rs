//! The rotated copies of a log, by name: `file.1` is the newest.

use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::fmt::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use rustix::fs::{AtFlags, FileType, statat, unlinkat};
use rustix::io::Errno;

use crate::bounds::Bounds;
use crate::dir::Dir;
use crate::error::Error;
use crate::rotation::Slot;

/// The longest file name of Linux, in bytes (`NAME_MAX`, include/uapi/linux/limits.h).
const NAME_MAX: usize = 255;

/// The file name of a copy; number 0 is the live file.
pub(crate) fn name(log: &OsStr, number: u32) -> Cow<'_, OsStr> {
    if number == 0 {
        return Cow::Borrowed(log);
    }
    let mut name = OsString::with_capacity(log.len() + 11);
    name.push(log);
    // An OsString takes whatever is written to it.
    let _ = write!(name, ".{number}");
    Cow::Owned(name)
}

/// The log and the number of a file that has the name of a copy: `<log>.<decimal>` without leading zeros, up to
/// [`Bounds::MAX_COPIES`]. A larger number is a date or the like that somebody else put there.
pub(crate) fn parse(file: &[u8]) -> Option<(&[u8], u32)> {
    let dot = file.iter().rposition(|byte| *byte == b'.')?;
    let (log, digits) = (&file[..dot], &file[dot + 1..]);
    if log.is_empty() || digits.is_empty() || digits[0] == b'0' || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = std::str::from_utf8(digits).ok()?.parse().ok()?;
    (number <= Bounds::MAX_COPIES).then_some((log, number))
}

/// Checks that a log can have that name, and its oldest copy too.
pub(crate) fn check_name(dir: &Dir, log: &OsStr, copies: u32) -> Result<(), Error> {
    let bytes = log.as_bytes();
    if matches!(bytes, b"" | b"." | b"..") || bytes.contains(&b'/') || bytes.contains(&0) {
        return Err(Error::BadName { name: log.to_string_lossy().into_owned() });
    }
    let suffix = if copies == 0 { 0 } else { 1 + copies.ilog10() as usize + 1 };
    if bytes.len() + suffix > NAME_MAX {
        return Err(Error::NameTooLong { path: dir.path().join(log), longest: NAME_MAX - suffix });
    }
    Ok(())
}

/// What has the names of the copies 1 … `copies`.
pub(crate) fn slots(dir: &Dir, log: &OsStr, copies: u32) -> Result<Vec<Slot>, Error> {
    (1..=copies)
        .map(|number| {
            let name = name(log, number);
            match statat(dir, &*name, AtFlags::SYMLINK_NOFOLLOW) {
                Err(Errno::NOENT) => Ok(Slot::Free),
                Err(errno) => Err(Error::io("look at", path(dir, log, number), errno)),
                Ok(stat) => Ok(match FileType::from_raw_mode(stat.st_mode) {
                    FileType::Directory => Slot::Blocked,
                    FileType::RegularFile => Slot::Taken(u64::try_from(stat.st_size).unwrap_or(0)),
                    _ => Slot::Taken(0),
                }),
            }
        })
        .collect()
}

/// Removes the copies with numbers above `copies`, the oldest first. `listed` are the numbers of all that are there, or
/// were a moment ago. A directory with such a name is not a copy, and stays.
pub(crate) fn remove_surplus(dir: &Dir, log: &OsStr, copies: u32, listed: &[u32]) -> Result<(), Error> {
    let remove = |number| match unlinkat(dir, &*name(log, number), AtFlags::empty()) {
        Ok(()) | Err(Errno::ISDIR) => Ok(true),
        Err(Errno::NOENT) => Ok(false),
        Err(errno) => Err(Error::io("remove", path(dir, log, number), errno)),
    };
    for number in listed.iter().rev().take_while(|number| **number > copies) {
        remove(*number)?;
    }
    // What a listing that is a little old does not show was made by rotations since, and those leave no gaps.
    for number in copies + 1..=Bounds::MAX_COPIES {
        if !remove(number)? && listed.binary_search(&number).is_err() {
            break;
        }
    }
    Ok(())
}

/// The path of a copy, for the text of an error.
pub(crate) fn path(dir: &Dir, log: &OsStr, number: u32) -> PathBuf {
    dir.path().join(&*name(log, number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_told_from_other_files_by_name() {
        for (file, expected) in [
            ("q.log.1", Some(1)),
            ("q.log.12", Some(12)),
            ("q.log.99999", Some(99_999)),
            ("q.log", None),
            ("q.log.", None),
            ("q.log.0", None),
            ("q.log.01", None),
            ("q.log.+1", None),
            ("q.log.1.gz", None),
            ("q.log.20240131", None),
            ("q.log.99999999999999999999", None),
            ("q.logx1", None),
            ("other", None),
        ] {
            let expected = expected.map(|number| (&b"q.log"[..], number));
            assert_eq!(parse(file.as_bytes()), expected, "{file}");
        }
        assert_eq!(parse(b"q.log.1.2"), Some((&b"q.log.1"[..], 2)));
        assert_eq!(parse(b".1"), None);
        let log = OsStr::new("q.log");
        assert_eq!(&*name(log, 0), "q.log");
        assert_eq!(&*name(log, 12), "q.log.12");
    }

    #[test]
    fn a_name_needs_room_for_the_oldest_number() {
        let held = tempfile::tempdir().unwrap();
        let dir = Dir::open(held.path()).unwrap();
        let of = |len: usize| OsString::from("x".repeat(len));
        assert!(check_name(&dir, &of(255), 0).is_ok());
        assert!(check_name(&dir, &of(253), 9).is_ok());
        assert!(matches!(check_name(&dir, &of(253), 10), Err(Error::NameTooLong { longest: 252, .. })));
        assert!(matches!(check_name(&dir, &of(256), 0), Err(Error::NameTooLong { longest: 255, .. })));
        for bad in ["", ".", "..", "a/b", "/", "a\0b"] {
            assert!(matches!(check_name(&dir, OsStr::new(bad), 0), Err(Error::BadName { .. })), "{bad:?}");
        }
    }
}
