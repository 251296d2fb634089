//! What a caller asks for.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::time::Duration;

use logproto::{LogId, Owner, Policy, Stamp};

use crate::unique::unique;
use crate::{Error, Fallback, Log, Opening, Places};

/// How long the daemon's answer is waited for when nothing else is said.
pub const DEFAULT_WAIT: Duration = Duration::from_secs(5);

/// What log is wanted, and how to ask for it.
///
/// ```no_run
/// use logproto::Owner;
/// use xenlog::OpenOptions;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let log = OpenOptions::new(Owner::Host, "backup.log").limit(1 << 20).copies(4).blocking(true).open()?;
/// let status = std::process::Command::new("backup").stdout(log.writer()?).stderr(log.writer()?).status();
/// log.end()?;
/// # status?; Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct OpenOptions {
    pub(crate) places: Places,
    pub(crate) owner: Owner,
    pub(crate) file: PathBuf,
    pub(crate) id: Option<LogId>,
    pub(crate) replace: bool,
    pub(crate) limit: Option<u64>,
    pub(crate) copies: Option<u32>,
    pub(crate) policy: Option<Policy>,
    pub(crate) stamp: Option<Stamp>,
    pub(crate) blocking: bool,
    pub(crate) wait: Duration,
}

impl OpenOptions {
    /// A log of `owner` into `file`, absolute or relative to the log directory. What is not said otherwise: an id of
    /// its own that nobody else has, the daemon's defaults, a write end that never blocks, [`DEFAULT_WAIT`], and the
    /// places that the environment names.
    pub fn new(owner: Owner, file: impl Into<PathBuf>) -> OpenOptions {
        OpenOptions {
            places: Places::from_env(),
            owner,
            file: file.into(),
            id: None,
            replace: false,
            limit: None,
            copies: None,
            policy: None,
            stamp: None,
            blocking: false,
            wait: DEFAULT_WAIT,
        }
    }

    /// Where the store, the FIFOs and the log files are.
    pub fn places(mut self, places: Places) -> OpenOptions {
        self.places = places;
        self
    }

    /// The log's id. [`Error::IdTaken`] if the owner has one of that name.
    pub fn id(mut self, id: LogId) -> OpenOptions {
        self.id = Some(id);
        self
    }

    /// Whether a log that has the chosen id is to give way: the daemon drains it and goes on with the new one. For a
    /// caller that is the only one to use this id, and whose predecessor may have died without ending its log.
    pub fn replace(mut self, replace: bool) -> OpenOptions {
        self.replace = replace;
        self
    }

    /// The most bytes that the file may have.
    pub fn limit(mut self, bytes: u64) -> OpenOptions {
        self.limit = Some(bytes);
        self
    }

    /// How many rotated copies are kept.
    pub fn copies(mut self, copies: u32) -> OpenOptions {
        self.copies = Some(copies);
        self
    }

    /// What happens when the log cannot be written as fast as it is produced.
    pub fn policy(mut self, policy: Policy) -> OpenOptions {
        self.policy = Some(policy);
        self
    }

    /// Whether each line gets the time.
    pub fn timestamp(mut self, stamp: Stamp) -> OpenOptions {
        self.stamp = Some(stamp);
        self
    }

    /// Whether a write to a full pipe waits. If it does not, it fails with `EAGAIN`, which QEMU bears and many programs
    /// do not; if it does, the writer stands still while no daemon reads.
    pub fn blocking(mut self, blocking: bool) -> OpenOptions {
        self.blocking = blocking;
        self
    }

    /// How long everything together may take, the connection to the store included. Cleaning up after a failure comes
    /// on top: up to [`CLEAN_UP`](crate::CLEAN_UP), if the store hangs.
    pub fn wait(mut self, wait: Duration) -> OpenOptions {
        self.wait = wait;
        self
    }

    /// Begins to ask, for an event loop: see [`Opening`]. Does not block.
    pub fn start(&self) -> Opening {
        Opening::start(self.clone())
    }

    /// Asks, and waits for the log.
    ///
    /// # Errors
    /// Every [`Error`] but [`Error::Stopped`] and [`Error::NoFallback`]. Nothing of the request is left behind, except
    /// its entry in the store if the store hangs.
    pub fn open(&self) -> Result<Log, Error> {
        self.start().wait(None)
    }

    /// As [`OpenOptions::open`], and gives up when `stop` can be read: a pipe that signals are written to, for example.
    ///
    /// # Errors
    /// As for `open`, and [`Error::Stopped`].
    pub fn open_unless(&self, stop: BorrowedFd<'_>) -> Result<Log, Error> {
        self.start().wait(Some(stop))
    }

    /// As [`OpenOptions::open`], and takes what `fallback` says if there is no log to be had.
    ///
    /// # Errors
    /// As for `open` with [`Fallback::Fail`]; else [`Error::NoFallback`] only.
    pub fn open_or(&self, fallback: &Fallback) -> Result<Output, Error> {
        match self.open() {
            Ok(log) => Ok(Output::Log(log)),
            Err(why) => {
                let (end, why) = fallback.open(why)?;
                Ok(Output::Instead { end, why })
            }
        }
    }

    /// An id: the chosen one, or one that nobody else has and that says what is logged.
    pub(crate) fn next_id(&self) -> LogId {
        if let Some(id) = &self.id {
            return id.clone();
        }
        let stem = self.file.file_stem().unwrap_or_default().to_string_lossy();
        // Room for "-" and 16 digits.
        let stem: String = stem.chars().take(LogId::MAX_LEN - 17).collect();
        // Only an empty text has no id near it, and this one has 17 characters at least.
        LogId::near(&format!("{stem}-{:016x}", unique())).expect("a text that is not empty")
    }
}

/// What a program's output goes into.
#[derive(Debug)]
pub enum Output {
    /// The log that was asked for.
    Log(Log),
    /// What the caller wanted in its place.
    Instead {
        /// Where to write.
        end: OwnedFd,
        /// Why there is no log.
        why: Error,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_of_its_own_says_what_is_logged() {
        let options = OpenOptions::new(Owner::Host, "sub/my prog.log");
        let (one, two) = (options.next_id(), options.next_id());
        assert!(one.as_str().starts_with("my_prog-"), "{one}");
        assert_ne!(one, two);
        let long = OpenOptions::new(Owner::Host, "é".repeat(100)).next_id();
        assert_eq!(long.as_str().len(), LogId::MAX_LEN);
        assert_eq!(options.id("fixed".parse().unwrap()).next_id().as_str(), "fixed");
    }
}
