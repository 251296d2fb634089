//! Writing, with lines kept whole where a file ends.

use std::os::fd::{AsFd, BorrowedFd};

use rustix::io::{Errno, pread};

use crate::error::{AppendError, Error};
use crate::file::LogFile;
use crate::scratch::Scratch;
use crate::source::{Bytes, Pipe, Source};

/// How the live file ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// It is empty.
    Empty,
    /// With a newline.
    Line,
    /// In the middle of a line.
    MidLine,
}

/// What to do when not all that is to be written fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cut {
    /// Write that many bytes, then look again.
    Take(usize),
    /// Rotate first.
    Rotate,
}

impl LogFile {
    /// Appends bytes. The file is rotated as needed: a line is not split, unless its head is already written or it is
    /// longer than the limit.
    ///
    /// # Errors
    /// As [`LogFile::check`], or the write failed. The bytes that were taken before are in the log.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), AppendError> {
        self.take(&mut Bytes::new(bytes))
    }

    /// Appends exactly `len` bytes from a pipe. They are known to be in it: this never waits for a writer. They are
    /// moved by the kernel, so they are at every instant either in the pipe or in the file.
    ///
    /// The kernel holds the pipe's lock while it writes the file, and whoever writes to that pipe waits that long: it
    /// must not be a pipe that a guest writes to.
    ///
    /// # Errors
    /// As [`LogFile::append`]; [`Error::PipeRanDry`] when the pipe held less.
    pub fn append_from_pipe(
        &mut self,
        pipe: BorrowedFd<'_>,
        len: usize,
        scratch: &mut Scratch,
    ) -> Result<(), AppendError> {
        self.take(&mut Pipe::new(pipe, len, scratch))
    }

    /// Whether the next byte starts a line.
    ///
    /// # Errors
    /// [`Error::Io`] when the file cannot be read.
    pub fn is_at_line_start(&self) -> Result<bool, Error> {
        self.end().map(|end| !matches!(end, End::MidLine))
    }

    fn take<S: Source>(&mut self, source: &mut S) -> Result<(), AppendError> {
        let len = source.remaining();
        self.drain(source).map_err(|error| AppendError { written: len - source.remaining(), source: error })
    }

    fn drain<S: Source>(&mut self, source: &mut S) -> Result<(), Error> {
        self.settle()?;
        while source.remaining() > 0 {
            let rest = self.bounds.limit.saturating_sub(self.size());
            let cut = if source.remaining() as u64 <= rest {
                Cut::Take(source.remaining())
            } else if rest == 0 {
                Cut::Rotate
            } else {
                // Fits a usize: it is less than what remains.
                let remaining = source.remaining();
                let view = source.peek(rest as usize).map_err(|errno| self.failed(errno, remaining))?;
                cut(view, || self.end())?
            };
            match cut {
                Cut::Take(len) => self.put(source, len)?,
                Cut::Rotate => self.shift()?,
            }
        }
        Ok(())
    }

    /// Writes at most `len` bytes at the end of the live file.
    fn put<S: Source>(&mut self, source: &mut S, len: usize) -> Result<(), Error> {
        let Some(live) = &mut self.live else {
            return self.settle();
        };
        match source.write(live.fd.as_fd(), live.size, len) {
            Ok(written) => {
                live.size += written as u64;
                self.offset += written as u64;
                Ok(())
            }
            Err(Errno::INTR) => Ok(()),
            Err(errno) => Err(self.failed(errno, source.remaining())),
        }
    }

    fn end(&self) -> Result<End, Error> {
        let Some(live) = self.live.as_ref().filter(|live| live.size > 0) else {
            return Ok(End::Empty);
        };
        let mut last = [0];
        pread(&live.fd, &mut last, live.size - 1).map_err(|errno| Error::io("read", self.path(), errno))?;
        Ok(if last == *b"\n" { End::Line } else { End::MidLine })
    }

    fn failed(&self, errno: Errno, missing: usize) -> Error {
        match errno {
            Errno::AGAIN => Error::PipeRanDry { path: self.path(), missing },
            errno => Error::io("write", self.path(), errno),
        }
    }
}

/// `view` is what is known of the bytes to be written, as far as they fit in the file; more follow. How the file ends
/// is asked for only when it matters.
///
/// When not even the whole rest of the file is in view (see [`Scratch`]), this still splits no line that it should not:
/// at worst the file is rotated a little earlier.
fn cut<E>(view: &[u8], end: impl FnOnce() -> Result<End, E>) -> Result<Cut, E> {
    if let Some(newline) = view.iter().rposition(|byte| *byte == b'\n') {
        return Ok(Cut::Take(newline + 1));
    }
    Ok(match end()? {
        End::Empty | End::MidLine => Cut::Take(view.len()),
        End::Line => Cut::Rotate,
    })
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::ffi::OsStr;
    use std::fs;

    use super::*;
    use crate::{Bounds, Dir};

    #[test]
    fn lines_stay_whole_where_they_can() {
        let cut = |view: &[u8], end| cut(view, || Ok::<_, Infallible>(end)).unwrap();
        assert_eq!(cut(b"one\ntwo\nthr", End::Line), Cut::Take(8));
        assert_eq!(cut(b"one\ntwo\nthr", End::MidLine), Cut::Take(8));
        assert_eq!(cut(b"one\n", End::Empty), Cut::Take(4));
        assert_eq!(cut(b"\nlong", End::Line), Cut::Take(1));
        assert_eq!(cut(b"a line that does not end here", End::Line), Cut::Rotate);
        assert_eq!(cut(b"its head is in the file", End::MidLine), Cut::Take(23));
        assert_eq!(cut(b"longer than the limit", End::Empty), Cut::Take(21));
    }

    /// Bytes of which only a few can be looked at, as in a pipe that is larger than the scratch may be.
    struct Shortsighted<'a>(Bytes<'a>, usize);

    impl Source for Shortsighted<'_> {
        fn remaining(&self) -> usize {
            self.0.remaining()
        }

        fn peek(&mut self, len: usize) -> Result<&[u8], Errno> {
            self.0.peek(len.min(self.1))
        }

        fn write(&mut self, file: BorrowedFd<'_>, offset: u64, len: usize) -> Result<usize, Errno> {
            self.0.write(file, offset, len)
        }
    }

    #[test]
    fn lines_stay_whole_however_little_is_in_view() {
        let chunk: String = (0..100).map(|number| format!("{}\n", "x".repeat(number % 9))).collect();
        for sight in [1, 2, 3, 5, 9, 11] {
            let held = tempfile::tempdir().unwrap();
            let dir = Dir::open(held.path()).unwrap();
            let bounds = Bounds { limit: 10, copies: 100 };
            let mut log = LogFile::open(&dir, OsStr::new("q.log"), bounds).unwrap();
            log.take(&mut Shortsighted(Bytes::new(chunk.as_bytes()), sight)).unwrap();
            let mut files: Vec<_> = fs::read_dir(held.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
            files.sort_by_key(|path| {
                let number = path.extension().unwrap().to_str().unwrap().parse::<u32>();
                std::cmp::Reverse(number.unwrap_or(0))
            });
            let contents: Vec<Vec<u8>> = files.iter().map(|path| fs::read(path).unwrap()).collect();
            assert_eq!(contents.concat(), chunk.as_bytes());
            for content in contents {
                assert!(content.len() <= 10 && content.ends_with(b"\n"), "{sight}: {:?}", String::from_utf8(content));
            }
        }
    }
}
