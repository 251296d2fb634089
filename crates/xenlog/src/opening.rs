//! A log that is being asked for, without blocking.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use crate::asking::Asking;
use crate::error::Awaited;
use crate::wait::{Woken, wait};
use crate::{Error, Log, OpenOptions, connect};

/// How long cleaning up may take if the store hangs. A store that answers makes it a matter of microseconds.
pub const CLEAN_UP: Duration = Duration::from_secs(1);

/// A log that is being asked for: the steps of docs/protocol.md, as one non-blocking descriptor for an event loop.
///
/// The owner waits until [`Opening::fd`] can be read (or written, while [`Opening::wants_write`]) or it is
/// [`Opening::deadline`], and calls [`Opening::process`]; all three may change with each call. It ends with a [`Log`]
/// or an error, no later than the caller's wait.
///
/// On an error, with [`Opening::cancel`], and when it is dropped half-way, the entry and the FIFO are removed again,
/// within [`CLEAN_UP`]. A process that is killed by SIGKILL half-way removes nothing: an entry of a domain goes with
/// the domain, one of the host stays until somebody removes it, and a FIFO in a run directory that is a tmpfs until the
/// next boot.
#[derive(Debug)]
pub struct Opening {
    options: OpenOptions,
    began: Instant,
    until: Instant,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// No store took the connection yet; `again` is when to try.
    Connecting { again: Instant },
    /// On a connection.
    Asking(Box<Asking>),
    /// Nothing is left to do.
    Over,
}

impl Opening {
    pub(crate) fn start(options: OpenOptions) -> Opening {
        let began = Instant::now();
        // Clocks end somewhere; nobody waits for a century.
        let century = Duration::from_secs(100 * 365 * 86_400);
        let until = began + options.wait.min(century);
        Opening { options, began, until, stage: Stage::Connecting { again: began } }
    }

    /// The descriptor to wait for. `None` while there is nothing to wait for but the [`Opening::deadline`].
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        match &self.stage {
            Stage::Asking(asking) => Some(asking.connection().as_fd()),
            _ => None,
        }
    }

    /// Whether [`Opening::process`] waits for the descriptor to become writable too.
    pub fn wants_write(&self) -> bool {
        match &self.stage {
            Stage::Asking(asking) => asking.connection().wants_write(),
            _ => false,
        }
    }

    /// When [`Opening::process`] is to be called even if nothing happened at the descriptor: now, at first, and never
    /// later than the caller's wait allows.
    pub fn deadline(&self) -> Instant {
        let again = match &self.stage {
            Stage::Connecting { again } => Some(*again),
            Stage::Asking(asking) => asking.again(),
            Stage::Over => None,
        };
        again.map_or(self.until, |again| again.min(self.until))
    }

    /// Does all that goes without blocking. `Some` is the end: the log is there. After that or an error, there is
    /// nothing left to process.
    ///
    /// # Errors
    /// Every [`Error`] but [`Error::Stopped`] and [`Error::NoFallback`]; everything is cleaned up then.
    pub fn process(&mut self) -> Result<Option<Log>, Error> {
        let end = match self.advance() {
            Ok(None) if Instant::now() < self.until => return Ok(None),
            Ok(None) => Err(self.too_late()),
            Ok(Some(end)) => Ok(end),
            Err(error) => Err(error),
        };
        // Asking that is dropped unfinished cleans up.
        match (std::mem::replace(&mut self.stage, Stage::Over), end) {
            (Stage::Asking(asking), Ok(end)) => {
                Ok(asking.finish(&self.options).map(|held| Log::new(held, &self.options, end)))
            }
            (_, end) => end.map(|_| None),
        }
    }

    /// Gives up. Everything is cleaned up, within [`CLEAN_UP`].
    pub fn cancel(self) {
        drop(self);
    }

    /// Blocks until it has ended, or until `stop` can be read.
    ///
    /// # Errors
    /// As [`Opening::process`], and [`Error::Stopped`].
    pub fn wait(mut self, stop: Option<BorrowedFd<'_>>) -> Result<Log, Error> {
        loop {
            if let Some(log) = self.process()? {
                return Ok(log);
            }
            let fd = self.fd().map(|fd| (fd, self.wants_write()));
            if wait(fd, stop, self.deadline()) == Woken::Stop {
                return Err(Error::Stopped);
            }
        }
    }

    fn too_late(&self) -> Error {
        let from = match &self.stage {
            Stage::Asking(asking) if asking.is_written() => Awaited::Daemon,
            _ => Awaited::Store,
        };
        Error::TooLate { from, waited: self.began.elapsed() }
    }

    fn advance(&mut self) -> Result<Option<OwnedFd>, Error> {
        if matches!(self.stage, Stage::Connecting { again } if again <= Instant::now()) {
            self.stage = match connect::connect(&self.options.places.store)? {
                Some(connection) => Stage::Asking(Box::new(Asking::new(connection, &self.options)?)),
                None => Stage::Connecting { again: Instant::now() + connect::AGAIN },
            };
        }
        match &mut self.stage {
            Stage::Asking(asking) => asking.advance(&self.options, self.until),
            _ => Ok(None),
        }
    }
}
