//! The logical offset of a file's first byte, kept with the file.
//!
//! The logical offset of a byte is how many bytes were ever written to the log before it. It never changes, while the
//! names of the files do, so a reader that remembers an offset finds its place again and can tell what it missed.
//!
//! Each file has the extended attribute `user.xenlog.base`. Its value is the logical offset of the first byte of the
//! file, in decimal. When a file was shortened from outside, what is left keeps its place at the beginning of the file
//! and the log goes on behind it: then the value is `<base> <from>`, where only the bytes at logical offsets of at
//! least `from` are as numbered, and those before are leftovers.
//!
//! A file system without extended attributes costs the readers this knowledge, and nothing else.

use std::os::fd::AsFd;

use rustix::fs::{XattrFlags, fgetxattr, fsetxattr};

/// The name of the extended attribute.
const NAME: &str = "user.xenlog.base";

/// Room for two numbers of 64 bits and a blank.
const LONGEST: usize = 41;

/// No log ever gets there, at a gigabyte a second for 290 years. A mark that says so was not written here, and
/// believing it would make offsets overflow.
const FARTHEST: u64 = i64::MAX as u64;

/// What the attribute says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Logical offset of the first byte of the file.
    pub base: u64,
    /// Bytes at logical offsets below are leftovers of a file that was shortened. Not below `base`.
    pub from: u64,
}

impl Mark {
    /// For a file of which every byte is as numbered.
    pub(crate) fn whole(base: u64) -> Self {
        Self { base, from: base }
    }

    /// The logical offset behind the last byte of a file of this size. A file that was shortened more than once may
    /// have lost its numbered bytes again; the log had come to `from` all the same.
    pub(crate) fn end(self, size: u64) -> u64 {
        (self.base + size).max(self.from)
    }

    /// Reads the mark of a file. None when there is none, or none that makes sense for a file of this size.
    pub(crate) fn read(file: impl AsFd, size: u64) -> Option<Self> {
        let mut value = [0; LONGEST];
        let len = fgetxattr(file, NAME, &mut value).ok()?;
        let mark = Self::parse(&value[..len])?;
        (mark.from.checked_add(size)? <= FARTHEST).then_some(mark)
    }

    /// Keeps the mark with a file, where the file system can do that. The log works without it.
    pub(crate) fn write(self, file: impl AsFd) {
        let value = if self.from == self.base { self.base.to_string() } else { format!("{} {}", self.base, self.from) };
        let _ = fsetxattr(file, NAME, value.as_bytes(), XattrFlags::empty());
    }

    fn parse(value: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(value).ok()?;
        let (base, from) = text.split_once(' ').unwrap_or((text, text));
        let mark = Self { base: decimal(base)?, from: decimal(from)? };
        (mark.base <= mark.from).then_some(mark)
    }
}

fn decimal(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_written_here_is_a_mark() {
        let mark = |base, from| Some(Mark { base, from });
        assert_eq!(Mark::parse(b"0"), mark(0, 0));
        assert_eq!(Mark::parse(b"18446744073709551615"), mark(u64::MAX, u64::MAX));
        assert_eq!(Mark::parse(b"7 9"), mark(7, 9));
        for bad in ["", " ", "+1", "-1", "1 ", " 1", "9 7", "1 2 3", "18446744073709551616", "0x1", "1\n"] {
            assert_eq!(Mark::parse(bad.as_bytes()), None, "{bad:?}");
        }
    }

    #[test]
    fn a_mark_is_read_as_it_was_written_and_never_overflows() {
        let file = tempfile::tempfile().unwrap();
        assert_eq!(Mark::read(&file, 0), None);
        for mark in [Mark::whole(0), Mark::whole(1 << 40), Mark { base: 5, from: 1 << 50 }] {
            mark.write(&file);
            assert_eq!(Mark::read(&file, 10), Some(mark));
        }
        Mark::whole(FARTHEST - 5).write(&file);
        assert_eq!(Mark::read(&file, 5), Some(Mark::whole(FARTHEST - 5)));
        assert_eq!(Mark::read(&file, 6), None);
        Mark::whole(u64::MAX).write(&file);
        assert_eq!(Mark::read(&file, 6), None);
    }
}
