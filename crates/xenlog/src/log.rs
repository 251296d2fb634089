//! A log that is open for writing.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use logproto::EntryKey;

use crate::held::Held;
use crate::{Error, OpenOptions};

/// A log that is open for writing. What is written to its write end goes into its file until [`Log::end`].
///
/// Dropping it ends it too, within [`CLEAN_UP`](crate::CLEAN_UP), and nobody hears of an error then. For a log that is
/// to outlive this value, such as that of a QEMU which is started and left to itself, there is [`Log::detach`].
/// Becoming another program by execve(2) leaves the log as it is.
#[derive(Debug)]
pub struct Log {
    held: Held,
    end: OwnedFd,
    pipe: PathBuf,
    file: PathBuf,
}

impl Log {
    pub(crate) fn new(held: Held, options: &OpenOptions, end: OwnedFd) -> Log {
        let pipe = held.fifo().map(|fifo| fifo.path().to_owned()).unwrap_or_default();
        Log { held, end, pipe, file: options.places.log_file(&options.file) }
    }

    /// Whose log it is, and its id.
    pub fn key(&self) -> &EntryKey {
        self.held.key()
    }

    /// The FIFO.
    pub fn pipe(&self) -> &Path {
        &self.pipe
    }

    /// The file.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Another descriptor of the write end, as a program's standard output or error. As long as one is open, the daemon
    /// expects more.
    ///
    /// # Errors
    /// The system's, when there are too many descriptors.
    pub fn writer(&self) -> io::Result<OwnedFd> {
        self.end.try_clone()
    }

    /// As [`Log::writer`], for a [`Command`](std::process::Command).
    ///
    /// # Errors
    /// As [`Log::writer`].
    pub fn stdio(&self) -> io::Result<Stdio> {
        self.writer().map(Stdio::from)
    }

    /// Ends the log: closes this write end, removes the entry from the store and the FIFO from the run directory. The
    /// daemon still takes what was written, and what other holders of the write end write within its drain time.
    ///
    /// # Errors
    /// When the entry could not be removed within [`CLEAN_UP`](crate::CLEAN_UP). The FIFO is gone all the same.
    pub fn end(self) -> Result<(), Error> {
        drop(self.end);
        self.held.end()
    }

    /// Leaves entry and FIFO to somebody else, and gives the write end. For a domain's log: the toolstack removes the
    /// entry with the domain, and the daemon then removes the FIFO.
    pub fn detach(self) -> OwnedFd {
        self.held.leave();
        self.end
    }
}

impl AsFd for Log {
    /// The write end.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.end.as_fd()
    }
}
