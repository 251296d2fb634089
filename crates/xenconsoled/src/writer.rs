//! The writer: one thread that moves bytes from the pipes of all its logs into their files. It is the only one that touches
//! log files, so when a disk stands still, only this thread does.

mod ends;
mod own;
mod rest;
#[cfg(test)]
mod tests;
mod thread;

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use logproto::{Refusal, Request, RootPath};
use rustix::event::{EventfdFlags, eventfd};

use crate::book::Book;
use crate::budget::Rate;
use crate::hand::Hand;
use crate::key::LogKey;
use crate::logs::{Patience, StreamId};
use crate::pulse::Pulse;
use crate::source::Source;

pub use rest::WHOLE;
pub use thread::Thread;

/// What the writer is told.
#[derive(Debug)]
pub enum Command {
    /// Open a log, with this account in the book; answered with [`Report::Opened`] or [`Report::Refused`].
    Open(StreamId, LogKey, Request, u32),
    /// Read a log that was opened: whoever keeps descriptors has its pipe by now.
    Begin(StreamId),
    /// Serve a log that an earlier daemon served, and first write what that had in hand.
    Resume(StreamId, LogKey, Request, Arc<Source>, Option<Hand>),
    /// One more empty hand; answers [`Report::WantsHand`].
    Hand(Hand),
    /// Go on with other bounds.
    Adjust(StreamId, Request),
    /// Say in this log what was dropped from it.
    Mark(StreamId),
    /// Come to an end; answered with [`Report::Ended`].
    End(StreamId, Patience),
    /// Open all files again by their names.
    Reopen,
    /// Write what the pipes hold now, and no more after that time; answered with [`Report::Stopped`].
    Stop(Instant),
}

/// What the writer tells.
#[derive(Debug)]
pub enum Report {
    /// The file and the pipe are open.
    Opened(StreamId, Arc<Source>),
    /// The file of this log cannot be written, for now.
    Stuck(StreamId),
    /// It can again.
    Well(StreamId),
    /// They cannot be.
    Refused(StreamId, Refusal),
    /// They are closed.
    Ended(StreamId),
    /// It wants one more hand.
    WantsHand,
    /// It has more hands than it needs.
    HandBack(Hand),
    /// All that could be written is.
    Stopped,
}

/// Where logs and pipes are, and how long an end may take.
#[derive(Clone, Debug)]
pub struct Places {
    /// Below this, pipes.
    pub run: RootPath,
    /// Below this, log files.
    pub log: RootPath,
    /// The directory of console logs, where it is not below `log`.
    pub console: Option<RootPath>,
    /// How long a log whose entry is gone is read on.
    pub drain: Duration,
    /// How fast one log may be written.
    pub rate: Rate,
}

/// The writer as others see it.
#[derive(Debug)]
pub struct Writer {
    commands: Sender<Command>,
    wake: Arc<OwnedFd>,
    reports: Receiver<Report>,
    reported: Arc<OwnedFd>,
    pulse: Arc<Pulse>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Starts the thread. What it must not forget goes into the book; `kept` says that hands outlive this process.
    pub fn start(places: Places, book: Arc<Book>, kept: bool) -> std::io::Result<Writer> {
        let (mut writer, thread) = Writer::new(places, book, kept)?;
        writer.thread = Some(std::thread::Builder::new().name("writer".into()).spawn(move || thread.run())?);
        Ok(writer)
    }

    /// A writer, and what its thread is to run.
    pub fn new(places: Places, book: Arc<Book>, kept: bool) -> std::io::Result<(Writer, Thread)> {
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        let (wake, reported) = (Arc::new(eventfd(0, flags)?), Arc::new(eventfd(0, flags)?));
        let (commands, received) = channel();
        let (reports, to_read) = channel();
        let pulse = Arc::new(Pulse::new()?);
        let line = Line {
            commands: received,
            wake: Arc::clone(&wake),
            reports,
            reported: Arc::clone(&reported),
            pulse: Arc::clone(&pulse),
        };
        let thread = Thread::new(places, book, kept, line)?;
        Ok((Writer { commands, wake, reports: to_read, reported, pulse, thread: None }, thread))
    }

    /// Tells the writer something. It is done in order.
    pub fn tell(&self, command: Command) {
        // The thread ends only after Stop; then there is nobody to tell.
        if self.commands.send(command).is_ok() {
            ring(&self.wake);
        }
    }

    /// Readable when there is a report.
    pub fn fd(&self) -> impl AsFd + '_ {
        &*self.reported
    }

    /// Its sign of life.
    pub fn pulse(&self) -> &Pulse {
        &self.pulse
    }

    /// The next report, if there is one.
    pub fn report(&self) -> Option<Report> {
        if let Ok(report) = self.reports.try_recv() {
            return Some(report);
        }
        quiet(&self.reported);
        self.reports.try_recv().ok()
    }

    /// Waits for the thread to end, after it has reported that it stopped.
    pub fn join(mut self) {
        if let Some(thread) = self.thread.take() {
            // A writer that panicked has said so on standard error.
            let _ = thread.join();
        }
    }
}

/// The thread's end of what is said between it and others.
#[derive(Debug)]
struct Line {
    commands: Receiver<Command>,
    /// Rings when there are commands.
    wake: Arc<OwnedFd>,
    reports: Sender<Report>,
    reported: Arc<OwnedFd>,
    pulse: Arc<Pulse>,
}

impl Line {
    fn report(&self, report: Report) {
        // Nobody listens any more when the daemon is about to end.
        if self.reports.send(report).is_ok() {
            ring(&self.reported);
        }
    }
}

fn ring(fd: &OwnedFd) {
    // It fails only when the count is near 2^64: then it rings anyway.
    let _ = rustix::io::write(fd, &1u64.to_ne_bytes());
}

fn quiet(fd: &OwnedFd) {
    // EAGAIN: it did not ring.
    let _ = rustix::io::read(fd, &mut [0; 8]);
}
