//! The daemon's own end of a log that it fills itself: it writes there as QEMU does into its pipe, and never waits.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;
use std::time::SystemTime;

use rustix::fs::{CWD, Mode, OFlags, mkfifoat, open};
use rustix::io::{Errno, ioctl_fionread, write};
use rustix::pipe::fcntl_setpipe_size;

use crate::gap::Gap;

/// The most that is written at once: that much goes in whole or not at all (PIPE_BUF, pipe(7)).
pub const MOST: usize = 4096;
/// Bytes that the pipe has room for, so that a disk which stands still for a moment costs nothing.
const ROOM: usize = 256 << 10;
/// What is said of a gap that nobody else has counted.
const FULL: &str = "the log's pipe was full";

/// The writing end of one log.
#[derive(Debug)]
pub struct Inlet {
    pipe: OwnedFd,
    /// Whether the last byte that went in ended a line.
    at_line_start: bool,
    /// What did not go in since something last did.
    missed: Option<Gap>,
    /// All that did not go in, and how many gaps that makes.
    dropped: u64,
    gaps: u64,
}

impl Inlet {
    /// Makes a FIFO at `path`, which nobody else uses: one that is there was left by a daemon that was killed.
    pub fn make(path: &Path) -> std::io::Result<Inlet> {
        match std::fs::remove_file(path) {
            Err(why) if why.kind() != std::io::ErrorKind::NotFound => return Err(why),
            _ => {}
        }
        mkfifoat(CWD, path, Mode::RUSR | Mode::WUSR)?;
        Inlet::open(path)
    }

    /// The writing end of a pipe that is open for reading.
    pub fn of(reader: impl AsFd) -> std::io::Result<Inlet> {
        Inlet::open(Path::new(&format!("/proc/self/fd/{}", reader.as_fd().as_raw_fd())))
    }

    fn open(path: &Path) -> std::io::Result<Inlet> {
        // Also for reading: so it can be opened before the writer has it open, and nobody gets EPIPE.
        let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        // What is below /proc/self/fd is a link.
        let flags = if path.starts_with("/proc") { flags.difference(OFlags::NOFOLLOW) } else { flags };
        let pipe = open(path, flags, Mode::empty())?;
        // Where it cannot be so large it does as it is.
        let _ = fcntl_setpipe_size(&pipe, ROOM);
        Ok(Inlet { pipe, at_line_start: true, missed: None, dropped: 0, gaps: 0 })
    }

    /// Writes up to [`MOST`] bytes. Where there is no room, `make_room` may make some by dropping and counting older bytes. What
    /// goes in nowhere is counted here, and told by a line in its place.
    pub fn write(&mut self, bytes: &[u8], make_room: impl FnOnce()) {
        if !self.try_write(bytes) {
            make_room();
            if !self.try_write(bytes) {
                self.miss(bytes.len() as u64);
            }
        }
    }

    /// Writes up to [`MOST`] bytes, if there is room.
    pub fn try_write(&mut self, bytes: &[u8]) -> bool {
        if let Some(gap) = &self.missed {
            if !put(&self.pipe, gap.marker(!self.at_line_start).as_bytes()) {
                return false;
            }
            self.missed = None;
            self.at_line_start = true;
        }
        let done = put(&self.pipe, bytes);
        if done && let Some(last) = bytes.last() {
            self.at_line_start = *last == b'\n';
        }
        done
    }

    /// Bytes and gaps that went in nowhere.
    pub fn missed(&self) -> (u64, u64) {
        (self.dropped, self.gaps)
    }

    /// Bytes that wait in the pipe.
    pub fn waiting(&self) -> u64 {
        ioctl_fionread(&self.pipe).unwrap_or(0)
    }

    /// So many bytes did not go in.
    pub fn miss(&mut self, bytes: u64) {
        if bytes == 0 {
            return;
        }
        let now = SystemTime::now();
        self.dropped += bytes;
        match &mut self.missed {
            Some(gap) => (gap.bytes, gap.to) = (gap.bytes + bytes, now),
            None => {
                self.gaps += 1;
                self.missed = Some(Gap { bytes, from: now, to: now, why: FULL.to_owned() });
            }
        }
    }
}

/// Whether all of it went in.
fn put(pipe: &OwnedFd, bytes: &[u8]) -> bool {
    debug_assert!(bytes.len() <= MOST, "{} bytes at once", bytes.len());
    loop {
        match write(pipe, bytes) {
            Ok(written) => return written == bytes.len(),
            Err(Errno::INTR) => {}
            // EAGAIN. There is no other (pipe(7)): it has a reader.
            Err(_) => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::Read;
    use std::os::unix::fs::OpenOptionsExt;

    fn reader(path: &Path) -> File {
        File::options().read(true).custom_flags(libc_nonblock()).open(path).unwrap()
    }

    fn libc_nonblock() -> i32 {
        OFlags::NONBLOCK.bits().cast_signed()
    }

    fn all(reader: &mut File) -> String {
        let mut text = Vec::new();
        let _ = reader.read_to_end(&mut text);
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn what_does_not_go_in_is_counted_and_told_in_its_place() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("p");
        std::fs::write(&path, "left").unwrap();
        let mut inlet = Inlet::make(&path).unwrap();
        let line = format!("{}\n", "x".repeat(1023));
        let mut fit = 0;
        while inlet.missed() == (0, 0) {
            inlet.write(line.as_bytes(), || ());
            fit += 1;
        }
        inlet.write(b"abc", || ());
        assert_eq!(inlet.missed(), (1027, 1));
        let mut reader = reader(&path);
        assert_eq!(all(&mut reader), line.repeat(fit - 1));
        inlet.write(b"mid", || ());
        let text = all(&mut reader);
        assert!(text.starts_with("[xenlog: 1027 bytes dropped") && text.ends_with("was full]\nmid"), "{text}");
        // And it is told once.
        inlet.write(b"dle\n", || ());
        assert_eq!(all(&mut reader), "dle\n");
    }

    #[test]
    fn room_that_can_be_made_is_made() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("p");
        let mut inlet = Inlet::make(&path).unwrap();
        while inlet.try_write(&[b'x'; 1024]) {}
        let mut reader = reader(&path);
        inlet.write(b"y", || drop(all(&mut reader)));
        assert_eq!((inlet.missed(), all(&mut reader)), ((0, 0), "y".to_owned()));
        let mut again = Inlet::of(&reader).unwrap();
        drop(inlet);
        again.write(b"z", || ());
        assert_eq!(all(&mut reader), "z");
    }
}
