//! A log that is open for writing.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Instant;
use std::{fmt, io};

use logproto::EntryKey;
use xenstore::Address;

use crate::asking::Held;
use crate::connect::connect_until;
use crate::{CLEAN_UP, Error, OpenOptions, entry};

/// A log that is open for writing. What is written to its write end goes into its file until [`Log::end`].
///
/// Dropping it ends it too, within [`CLEAN_UP`], and nobody hears of an error then. For a log that is to outlive this value,
/// such as that of a QEMU which is started and left to itself, there is [`Log::detach`].
pub struct Log {
    /// `None` once it was ended or detached.
    held: Option<Held>,
    end: OwnedFd,
    file: PathBuf,
    store: Vec<Address>,
}

impl Log {
    pub(crate) fn new(held: Held, options: &OpenOptions, end: OwnedFd) -> Log {
        let places = &options.places;
        Log { held: Some(held), end, file: places.log_file(&options.file), store: places.store.clone() }
    }

    /// Whose log it is, and its id.
    pub fn key(&self) -> &EntryKey {
        &self.held().key
    }

    /// The FIFO.
    pub fn pipe(&self) -> &Path {
        self.held().fifo.path()
    }

    fn held(&self) -> &Held {
        // Only end(), detach() and drop() take it, and none of them leaves a value to call this on.
        self.held.as_ref().expect("a log that has not ended")
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

    /// Ends the log: closes this write end, removes the entry from the store and the FIFO from the run directory. The daemon
    /// still takes what was written, and what other holders of the write end write within its drain time.
    ///
    /// # Errors
    /// When the entry could not be removed within [`CLEAN_UP`]. The FIFO is gone all the same.
    pub fn end(mut self) -> Result<(), Error> {
        self.finish()
    }

    /// Leaves entry and FIFO to somebody else, and gives the write end. For a domain's log: the toolstack removes the entry
    /// with the domain, and the daemon then removes the FIFO.
    pub fn detach(mut self) -> io::Result<OwnedFd> {
        let end = self.end.try_clone()?;
        if let Some(Held { fifo, .. }) = self.held.take() {
            fifo.leave();
        }
        Ok(end)
    }

    fn finish(&mut self) -> Result<(), Error> {
        let Some(Held { key, fifo }) = self.held.take() else {
            return Ok(());
        };
        let deadline = Instant::now() + CLEAN_UP;
        // The FIFO goes with its value, however this ends.
        let mut connection = connect_until(&self.store, deadline)?;
        Ok(entry::remove(&mut connection, &key, fifo.path(), deadline)?)
    }
}

impl AsFd for Log {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.end.as_fd()
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log").field("held", &self.held).field("file", &self.file).finish_non_exhaustive()
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        // An entry that cannot be removed is seen by `xenlog list`; there is nobody to tell here.
        let _ = self.finish();
    }
}
