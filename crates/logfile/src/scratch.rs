//! A look at what is in a pipe, without taking it out.

use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::io::{Errno, read};
use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_getpipe_size, fcntl_setpipe_size, pipe_with, tee};

use crate::error::Error;

/// A pipe of our own and a buffer, for looking at bytes that stay in another pipe (tee(2)). A writer of many logs needs
/// only one. It costs two file descriptors, at once rather than when first needed: a rotation must not fail for want of
/// descriptors.
#[derive(Debug)]
pub struct Scratch {
    reader: OwnedFd,
    writer: OwnedFd,
    buffer: Vec<u8>,
}

impl Scratch {
    /// Makes the pipe.
    ///
    /// # Errors
    /// [`Error::Io`], for instance when there are no descriptors left.
    pub fn new() -> Result<Self, Error> {
        let (reader, writer) = open().map_err(|errno| Error::io("create", "a pipe", errno))?;
        Ok(Self { reader, writer, buffer: Vec::new() })
    }

    /// The first bytes in a pipe, at most `len`. Fewer when the pipe holds fewer, or when the system grants our own
    /// pipe less room than the other has. `EAGAIN` when the pipe is empty.
    pub(crate) fn peek(&mut self, pipe: BorrowedFd<'_>, len: usize) -> Result<&[u8], Errno> {
        let room = fcntl_getpipe_size(pipe)?;
        if fcntl_getpipe_size(&self.writer)? < room {
            // Not granted: then less is seen at a time.
            let _ = fcntl_setpipe_size(&self.writer, room);
        }
        let seen = tee(pipe, &self.writer, len, SpliceFlags::NONBLOCK)?;
        if self.buffer.len() < seen {
            self.buffer.resize(seen, 0);
        }
        let mut filled = 0;
        while filled < seen {
            match read(&self.reader, &mut self.buffer[filled..seen]) {
                Ok(0) | Err(Errno::AGAIN) => break,
                Ok(len) => filled += len,
                Err(Errno::INTR) => {}
                Err(errno) => {
                    // What is left in the pipe would be taken for the next look.
                    (self.reader, self.writer) = open()?;
                    return Err(errno);
                }
            }
        }
        if filled == 0 { Err(Errno::AGAIN) } else { Ok(&self.buffer[..filled]) }
    }
}

fn open() -> Result<(OwnedFd, OwnedFd), Errno> {
    pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)
}
