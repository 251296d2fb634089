//! The private pipe: between a log's pipe and its file, bytes are here and nowhere else.
//!
//! splice(2) holds the lock of the pipe it reads while it writes the file: with the disk frozen, whoever writes to that pipe
//! waits with it (3.0 s of a 3 s freeze were measured on Linux 6.18). So a log's pipe is never spliced into a file: its bytes
//! move to a pipe that nobody else knows, which takes no time, and from there into the file.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::buffer::spare_capacity;
use rustix::io::{Errno, ioctl_fionread, read};
use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_getpipe_size, fcntl_setpipe_size, pipe_with, splice, tee};

use crate::crash;

/// Bytes of room that are asked for: large moves are what makes it cheap, and one log's turn is no longer than that.
pub const ROOM: usize = 256 << 10;

/// What was taken from one log's pipe and is not in its file yet.
#[derive(Debug)]
pub struct Chunk {
    reader: OwnedFd,
    writer: OwnedFd,
    room: usize,
    len: usize,
}

impl Chunk {
    /// An empty one. Costs two descriptors.
    pub fn new() -> Result<Chunk, Errno> {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        // Not granted (pipe-user-pages-soft, pipe(7)): then moves are smaller.
        let _ = fcntl_setpipe_size(&writer, ROOM);
        let room = fcntl_getpipe_size(&writer)?;
        Ok(Chunk { reader, writer, room, len: 0 })
    }

    /// Takes what `pipe` holds, up to `most` bytes and as far as there is room. 0 when it is empty and nobody has it open for writing, `EAGAIN` when
    /// it is only empty.
    pub fn fill(&mut self, pipe: BorrowedFd<'_>, most: usize) -> Result<usize, Errno> {
        let most = most.min(self.room);
        let moved = loop {
            match splice(pipe, None, &self.writer, None, most, SpliceFlags::NONBLOCK | SpliceFlags::MOVE) {
                Err(Errno::INTR) => {}
                moved => break moved?,
            }
        };
        self.len += moved;
        crash::point();
        Ok(moved)
    }

    /// Bytes in it.
    pub fn len(&self) -> usize {
        self.len
    }

    /// The end to read from. Whoever reads says how much with [`Chunk::took`].
    pub fn reader(&self) -> BorrowedFd<'_> {
        self.reader.as_fd()
    }

    /// So many bytes were read.
    pub fn took(&mut self, bytes: usize) {
        self.len = self.len.saturating_sub(bytes);
    }

    /// Looks at everything that is in it, and leaves it there. `scratch` is an empty pipe like this one.
    pub fn peek(&self, scratch: &mut Chunk, out: &mut Vec<u8>) -> Result<(), Errno> {
        out.clear();
        scratch.len += tee(&self.reader, &scratch.writer, self.len, SpliceFlags::NONBLOCK)?;
        out.reserve(scratch.len);
        while scratch.len > 0 {
            scratch.len -= read(&scratch.reader, spare_capacity(out))?.min(scratch.len);
        }
        Ok(())
    }

    /// Throws everything away that is in it.
    pub fn discard(&mut self) {
        let mut bytes = [0; 4096];
        while self.len > 0 {
            match read(&self.reader, &mut bytes) {
                Ok(read) => self.len = self.len.saturating_sub(read),
                Err(Errno::INTR) => {}
                // It holds less than was thought.
                Err(_) => self.len = 0,
            }
            crash::point();
        }
    }

    /// Throws everything away that is in it, into `/dev/null`: the pages move there without being looked at.
    pub fn discard_into(&mut self, null: BorrowedFd<'_>) {
        while self.len > 0 {
            match splice(&self.reader, None, null, None, self.len, SpliceFlags::NONBLOCK) {
                Ok(gone) if gone > 0 => self.len = self.len.saturating_sub(gone),
                Err(Errno::INTR) => {}
                // It holds less than was thought: nothing else can befall a pipe and /dev/null.
                _ => self.len = 0,
            }
            crash::point();
        }
    }

    /// Both ends, to be kept by somebody else too: the one to read from first.
    pub fn ends(&self) -> [BorrowedFd<'_>; 2] {
        [self.reader.as_fd(), self.writer.as_fd()]
    }

    /// A pipe that somebody else kept, with whatever is in it.
    pub fn from_ends(reader: OwnedFd, writer: OwnedFd) -> Result<Chunk, Errno> {
        let room = fcntl_getpipe_size(&writer)?;
        let len = usize::try_from(ioctl_fionread(&reader)?).unwrap_or(usize::MAX);
        Ok(Chunk { reader, writer, room, len })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_pass_in_order_and_an_empty_pipe_is_told_from_an_ended_one() {
        let (reader, writer) = pipe_with(PipeFlags::NONBLOCK).unwrap();
        let mut chunk = Chunk::new().unwrap();
        assert_eq!(chunk.fill(reader.as_fd(), ROOM), Err(Errno::AGAIN));
        rustix::io::write(&writer, b"one ").unwrap();
        assert_eq!(chunk.fill(reader.as_fd(), ROOM), Ok(4));
        rustix::io::write(&writer, b"two").unwrap();
        drop(writer);
        assert_eq!((chunk.fill(reader.as_fd(), ROOM), chunk.fill(reader.as_fd(), ROOM)), (Ok(3), Ok(0)));
        let (mut scratch, mut out) = (Chunk::new().unwrap(), Vec::new());
        for _ in 0..2 {
            chunk.peek(&mut scratch, &mut out).unwrap();
            assert_eq!((&out[..], chunk.len(), scratch.len()), (&b"one two"[..], 7, 0));
        }
        let [reader, writer] = chunk.ends().map(|end| end.try_clone_to_owned().unwrap());
        drop(chunk);
        let mut kept = Chunk::from_ends(reader, writer).unwrap();
        assert_eq!(kept.len(), 7);
        kept.discard();
        assert_eq!((kept.len(), ioctl_fionread(&kept.reader)), (0, Ok(0)));
    }
}
