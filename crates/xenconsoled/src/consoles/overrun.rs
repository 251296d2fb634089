//! How far the hypervisor's console ring was read, and what was overwritten in it before.
//!
//! The ring is read by an index that counts all bytes ever written to it, modulo 2^32. Whoever asks for bytes that are not there any
//! more gets the oldest that are, without being told (xen/drivers/char/console.c, `read_console_ring`); but the index behind them
//! tells. The index is kept in the run directory, so that the next daemon goes on where this one was: neither are bytes read
//! twice, nor is it passed over in silence that some are missing.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;

/// The record's name in the run directory.
pub const NAME: &str = "xenlog.hypervisor";

const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// What was in the ring and is missing from the log.
///
/// `asked` is the index that was asked for; `next` and `count` are what the hypervisor said: the index behind the last byte, and how
/// many it gave. An index that the ring has not come to yet, of another boot for one, misses nothing: a distance of more than
/// half of what there is goes backwards.
pub fn missing(asked: u32, next: u32, count: u32) -> u32 {
    let missing = next.wrapping_sub(count).wrapping_sub(asked);
    if missing <= u32::MAX / 2 { missing } else { 0 }
}

/// The line that says so in the log; on a line of its own, so behind a newline where the log stands in the middle of one.
pub fn marker(bytes: u32, mid_line: bool) -> String {
    let newline = if mid_line { "\n" } else { "" };
    format!("{newline}[xenlog: {bytes} bytes missing: overwritten in the hypervisor's ring before they were read]\n")
}

/// The index of the next byte to be read, and the record of it.
///
/// The record is one line of fixed length, written in place by one pwrite(2), which a killed process does not tear. A record that
/// is torn all the same, or of another boot of the host, says nothing: then the ring is read from its beginning.
#[derive(Debug)]
pub struct Position {
    file: File,
    boot: String,
    index: u32,
}

impl Position {
    /// Where the last daemon was, since the host was started; else the beginning.
    pub fn open(run: &Path) -> io::Result<Position> {
        Position::of_boot(run, std::fs::read_to_string(BOOT_ID)?.trim())
    }

    fn of_boot(run: &Path, boot: &str) -> io::Result<Position> {
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let nofollow = OFlags::NOFOLLOW.bits() | OFlags::NONBLOCK.bits();
        options.custom_flags(i32::from_ne_bytes(nofollow.to_ne_bytes()));
        let file = options.open(run.join(NAME))?;
        let mut position = Position { file, boot: boot.to_owned(), index: 0 };
        position.index = position.read()?.unwrap_or_default();
        Ok(position)
    }

    /// The index to ask for.
    pub fn index(&self) -> u32 {
        self.index
    }

    /// Goes on to `next`, the index behind what was read. The record follows with [`Position::keep`].
    pub fn advance(&mut self, next: u32) {
        self.index = next;
    }

    /// Writes the record: as soon as what was read is where a killed daemon does not lose it.
    pub fn keep(&self) -> io::Result<()> {
        self.file.write_all_at(self.record(self.index).as_bytes(), 0)
    }

    fn record(&self, index: u32) -> String {
        let text = format!("xenlog 1, boot {}, next byte {index:010}", self.boot);
        format!("{text}, check {:08x}\n", check(text.as_bytes()))
    }

    /// What the record says, if it is a whole one of this boot.
    fn read(&self) -> io::Result<Option<u32>> {
        let mut found = vec![0; self.record(0).len()];
        match self.file.read_exact_at(&mut found, 0) {
            Err(short) if short.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            read => read?,
        }
        // It is ours if we would write the same.
        let index = str::from_utf8(&found).ok().and_then(|text| {
            let (_, behind) = text.rsplit_once("next byte ")?;
            behind.split(',').next()?.parse().ok()
        });
        Ok(index.filter(|index| self.record(*index).as_bytes() == found))
    }
}

/// FNV-1a, 32 bits (draft-eastlake-fnv): it need only tell a whole record from a torn one.
fn check(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |sum, byte| (sum ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BOOT: &str = "7a1c0a5e-11ad-4b1c-8e2e-0d5c2f1b9a77";

    #[test]
    fn what_was_overwritten_is_what_lies_between() {
        // Nothing new; all in order; 16 KiB given of which the first was 100 behind.
        assert_eq!((missing(5, 5, 0), missing(5, 25, 20), missing(5, 105 + 16384, 16384)), (0, 0, 100));
        // The same over the end of the numbers.
        let near = u32::MAX - 9;
        assert_eq!((missing(near, 10, 20), missing(near, 30, 20), missing(near, 50, 20)), (0, 20, 40));
        // An index that the ring has not come to: the hypervisor gives what it has.
        assert_eq!(missing(1000, 500, 500), 0);
    }

    #[test]
    fn a_marker_is_one_line_with_the_count() {
        assert!(marker(12, false).starts_with("[xenlog: 12 bytes missing: "));
        let marker = marker(12, true);
        assert!(
            marker.starts_with("\n[xenlog: 12 bytes") && marker.ends_with("]\n") && marker.matches('\n').count() == 2
        );
    }

    #[test]
    fn the_next_daemon_of_the_same_boot_goes_on_where_the_last_one_kept_it() {
        let dir = tempfile::tempdir().unwrap();
        for (before, next) in [(0, 16384), (16384, u32::MAX), (u32::MAX, 5)] {
            let mut position = Position::of_boot(dir.path(), BOOT).unwrap();
            assert_eq!(position.index(), before);
            position.advance(next);
            position.keep().unwrap();
            position.advance(77);
        }
        assert_eq!(Position::of_boot(dir.path(), &BOOT.replace('7', "8")).unwrap().index(), 0, "another boot");
        assert_eq!(Position::of_boot(dir.path(), BOOT).unwrap().index(), 5);
        let real = Position::open(dir.path()).unwrap();
        assert_eq!((real.index(), real.boot.len()), (0, BOOT.len()));
    }

    #[test]
    fn a_record_that_is_torn_or_not_ours_is_a_first_start() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(NAME);
        let mut position = Position::of_boot(dir.path(), BOOT).unwrap();
        position.advance(1_234_567_890);
        position.keep().unwrap();
        let whole = std::fs::read(&path).unwrap();
        let index_of = |content: &[u8]| {
            std::fs::write(&path, content).unwrap();
            Position::of_boot(dir.path(), BOOT).unwrap().index()
        };
        assert_eq!(index_of(&whole), 1_234_567_890);
        for at in 0..whole.len() {
            assert_eq!(index_of(&whole[..at]), 0, "cut at {at}");
            let mut changed = whole.clone();
            changed[at] ^= 1;
            assert_eq!(index_of(&changed), 0, "changed at {at}");
        }
        // What stands behind a record was never part of it, and a new record replaces all of what was there.
        assert_eq!(index_of(&[&whole[..], b"x"].concat()), 1_234_567_890);
        assert_eq!(index_of(&[b'x'; 1000]), 0);
        let position = Position::of_boot(dir.path(), BOOT).unwrap();
        position.keep().unwrap();
        assert_eq!(std::fs::read(&path).unwrap()[..whole.len()], *position.record(0).as_bytes());
    }

    #[test]
    fn a_link_in_its_place_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/dev/null", dir.path().join(NAME)).unwrap();
        assert!(Position::of_boot(dir.path(), BOOT).is_err());
    }

    proptest! {
        #![proptest_config(crate::same_every_time())]

        /// A ring that is written and read as the hypervisor does it: each byte is read once or is counted as missing, from any
        /// index on.
        #[test]
        fn each_byte_is_read_or_missing(start: u32, steps in proptest::collection::vec((0u32..200, 0u32..80), 1..100)) {
            const SIZE: u32 = 64;
            // The hypervisor's: the oldest byte that is there, and the one behind the newest; ours.
            let (mut oldest, mut newest, mut asked) = (start, start, start);
            let (mut written, mut read, mut lost) = (0u64, 0u64, 0u64);
            for (more, most) in steps {
                newest = newest.wrapping_add(more);
                written += u64::from(more);
                if newest.wrapping_sub(oldest) > SIZE {
                    oldest = newest.wrapping_sub(SIZE);
                }
                let is_there = newest.wrapping_sub(asked) <= newest.wrapping_sub(oldest);
                let from = if is_there { asked } else { oldest };
                let count = newest.wrapping_sub(from).min(most);
                let next = from.wrapping_add(count);
                lost += u64::from(missing(asked, next, count));
                read += u64::from(count);
                asked = next;
                prop_assert_eq!(read + lost + u64::from(newest.wrapping_sub(asked)), written);
            }
        }
    }
}
