//! Where the bytes of an append come from.

use std::os::fd::BorrowedFd;

use rustix::io::{Errno, pwrite};
use rustix::pipe::{SpliceFlags, splice};

use crate::scratch::Scratch;

/// Bytes to be appended, of which what is written is gone.
pub(crate) trait Source {
    /// How many are left.
    fn remaining(&self) -> usize;

    /// The next bytes: at least one, at most `len`. They are not taken.
    fn peek(&mut self, len: usize) -> Result<&[u8], Errno>;

    /// Takes the next bytes, at most `len`, and writes them to a file at `offset`. Returns how many, at least one.
    fn write(&mut self, file: BorrowedFd<'_>, offset: u64, len: usize) -> Result<usize, Errno>;
}

/// Bytes in memory.
pub(crate) struct Bytes<'a> {
    rest: &'a [u8],
}

impl<'a> Bytes<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }
}

impl Source for Bytes<'_> {
    fn remaining(&self) -> usize {
        self.rest.len()
    }

    fn peek(&mut self, len: usize) -> Result<&[u8], Errno> {
        Ok(&self.rest[..len.min(self.rest.len())])
    }

    fn write(&mut self, file: BorrowedFd<'_>, offset: u64, len: usize) -> Result<usize, Errno> {
        match pwrite(file, &self.rest[..len], offset)? {
            0 => Err(Errno::IO),
            written => {
                self.rest = &self.rest[written..];
                Ok(written)
            }
        }
    }
}

/// Bytes in a pipe.
pub(crate) struct Pipe<'a> {
    pipe: BorrowedFd<'a>,
    rest: usize,
    scratch: &'a mut Scratch,
}

impl<'a> Pipe<'a> {
    pub(crate) fn new(pipe: BorrowedFd<'a>, len: usize, scratch: &'a mut Scratch) -> Self {
        Self { pipe, rest: len, scratch }
    }
}

impl Source for Pipe<'_> {
    fn remaining(&self) -> usize {
        self.rest
    }

    fn peek(&mut self, len: usize) -> Result<&[u8], Errno> {
        self.scratch.peek(self.pipe, len.min(self.rest))
    }

    fn write(&mut self, file: BorrowedFd<'_>, offset: u64, len: usize) -> Result<usize, Errno> {
        // The offset is given, never left to O_APPEND: splice(2) into such a file is EINVAL.
        let mut at = offset;
        match splice(self.pipe, None, file, Some(&mut at), len, SpliceFlags::NONBLOCK)? {
            // No bytes and no writer either.
            0 => Err(Errno::AGAIN),
            written => {
                self.rest -= written;
                Ok(written)
            }
        }
    }
}
