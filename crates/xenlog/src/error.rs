//! Why there is no log.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use logproto::{DAEMON_NODE, Refusal};

/// Why a log could not be had, or not be ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The store is there, and no daemon that keeps logs says that it runs.
    #[error("no log daemon runs ({DAEMON_NODE} is not in the store)")]
    NoDaemon,
    /// The daemon answered, and said no.
    #[error("the log daemon refused: {0}")]
    Refused(Refusal),
    /// No answer by the caller's deadline.
    #[error("{from} did not answer within {} ms", .waited.as_millis())]
    TooLate {
        /// Whose answer is missing.
        from: Awaited,
        /// How long it was waited for.
        waited: Duration,
    },
    /// The id that the caller chose is in use.
    #[error("{0} is there already")]
    IdTaken(String),
    /// The entry was removed by somebody else before it was answered: its domain is gone.
    #[error("{0} was removed before the log daemon answered")]
    Removed(String),
    /// Others kept changing the store; the request could not be written.
    #[error("the request was given up after {0} conflicts in the store")]
    Conflicts(u32),
    /// The caller's descriptor said to stop.
    #[error("stopped while waiting for the log daemon")]
    Stopped,
    /// The store cannot be reached, or would not do what it was asked.
    #[error(transparent)]
    Store(#[from] xenstore::Error),
    /// The FIFO could not be made or opened.
    #[error("cannot {action} {}: {source}", .path.display())]
    Fifo {
        /// `make` or `open`.
        action: &'static str,
        /// Which.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// What the caller wanted instead of a log could not be had either.
    #[error("{why}; and {} cannot be opened in its place: {source}", .path.display())]
    NoFallback {
        /// Why there is no log.
        why: Box<Error>,
        /// What was to take its place.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

/// Whose answer is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaited {
    /// The store's.
    Store,
    /// The daemon's: the store has the request.
    Daemon,
}

impl fmt::Display for Awaited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Awaited::Store => "the store",
            Awaited::Daemon => "the log daemon",
        })
    }
}

impl Error {
    /// The system's number for it, as the C interface gives it (without its sign): `ESRCH` no daemon, `EACCES` refused,
    /// `ETIMEDOUT` too late, `EEXIST` id taken, `ENOENT` entry removed, `EBUSY` conflicts, `ECANCELED` stopped,
    /// `ENOTCONN` no store, `EIO` another trouble with the store, and the system's own for a FIFO or a fallback.
    pub fn errno(&self) -> i32 {
        use rustix::io::Errno;
        let system = |source: &io::Error| source.raw_os_error().unwrap_or(Errno::IO.raw_os_error());
        match self {
            Error::NoDaemon => Errno::SRCH.raw_os_error(),
            Error::Refused(_) => Errno::ACCESS.raw_os_error(),
            Error::TooLate { .. } => Errno::TIMEDOUT.raw_os_error(),
            Error::IdTaken(_) => Errno::EXIST.raw_os_error(),
            Error::Removed(_) => Errno::NOENT.raw_os_error(),
            Error::Conflicts(_) => Errno::BUSY.raw_os_error(),
            Error::Stopped => Errno::CANCELED.raw_os_error(),
            Error::Store(
                xenstore::Error::Unreachable(_) | xenstore::Error::Connect { .. } | xenstore::Error::Disconnected(_),
            ) => Errno::NOTCONN.raw_os_error(),
            Error::Store(xenstore::Error::Malformed { .. } | xenstore::Error::TooLarge { .. }) => {
                Errno::INVAL.raw_os_error()
            }
            Error::Store(_) => Errno::IO.raw_os_error(),
            Error::Fifo { source, .. } | Error::NoFallback { source, .. } => system(source),
        }
    }
}
