//! The keeper, `xenconsoled --supervise`: a small parent of the daemon for hosts without systemd.
//!
//! It holds descriptors for the daemon, starts it again whenever it ends, with all of them, and does nothing else: no store, no
//! logs, no files. It speaks systemd's protocol, so that the daemon does not care which of the two is there: notifications
//! (sd_notify(3)), the descriptor store (`FDSTORE=`) and the watchdog.
//!
//! | signal | what the keeper does |
//! |---|---|
//! | SIGTERM, SIGINT | passes SIGTERM on once the daemon serves, leaves with its status |
//! | SIGHUP | passes it on; a daemon that is only starting opens everything anyway |
//! | SIGUSR2 | upgrade: kills the daemon and becomes the program that is at its path now, with all that is kept |
//!
//! If the keeper itself is killed, the daemon goes on as one that nobody keeps.

mod child;
mod course;
pub(crate) mod fdstore;
pub(crate) mod inbox;
mod renewal;
mod signals;

use std::ffi::OsString;
use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Resource, Signal, getrlimit};
use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR2};

use crate::notify::message::Message;
use child::Child;
use course::{Course, End, Order};
use fdstore::FdStore;
use inbox::{Inbox, Mail};
use signals::Signals;

pub use renewal::renewed_in;

/// More descriptors are never kept.
const MOST: usize = 65536;
/// Descriptors that the keeper needs itself, roughly; the rest is for what it keeps, twice: to put them into their places in the
/// child each may be open a second time.
const OWN: u64 = 512;
/// Notifications in one turn: a flood does not keep the keeper from its other work.
const TURN: usize = 256;

/// How the keeper goes about it.
#[derive(Debug)]
pub struct Plan {
    /// The program of both, by its path: whatever is there when it is started.
    pub program: PathBuf,
    /// The keeper's own command line, the name first.
    pub args: Vec<OsString>,
    /// The daemon's.
    pub daemon_args: Vec<OsString>,
    /// Where the socket for notifications is made.
    pub run: PathBuf,
    /// How long the daemon may be silent.
    pub watchdog: Option<Duration>,
}

/// Keeps a daemon until told to stop. The answer is the status to leave with.
///
/// # Errors
/// There can be no socket in the run directory, or signals cannot be caught: then nothing was started.
pub fn run(plan: Plan) -> io::Result<u8> {
    let mut keeper = Keeper::new(plan)?;
    loop {
        // First the bell is silenced, so that it rings for all that comes after the look.
        keeper.take_signals();
        // First the end, then what was said: all that the daemon said before it is there by then.
        let end = keeper.child.as_ref().and_then(Child::ended);
        keeper.read(if end.is_some() { usize::MAX } else { TURN });
        if let Err(status) = end.map_or(Ok(()), |end| keeper.ended(end)).and_then(|()| keeper.act()) {
            return Ok(status);
        }
        keeper.wait();
    }
}

struct Keeper {
    plan: Plan,
    course: Course,
    kept: FdStore,
    inbox: Inbox,
    signals: Signals,
    child: Option<Child>,
    /// What the daemon last said of itself.
    said: String,
    /// It was said that there is no room, of this daemon.
    is_full: bool,
}

impl Keeper {
    fn new(plan: Plan) -> io::Result<Keeper> {
        let signals = Signals::catch()?;
        let inbox = Inbox::open(&plan.run).map_err(|why| {
            io::Error::new(why.kind(), format!("{}: no socket for notifications: {why}", plan.run.display()))
        })?;
        let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        let room = usize::try_from(limit.saturating_sub(OWN) / 2).unwrap_or(MOST);
        let mut kept = FdStore::at_most(room.min(MOST));
        renewal::take_over(&mut kept);
        let course = Course::new(Instant::now(), plan.watchdog, renewed_in().is_some());
        Ok(Keeper { plan, course, kept, inbox, signals, child: None, said: String::new(), is_full: false })
    }

    /// Reads notifications, at most so many.
    fn read(&mut self, most: usize) {
        for _ in 0..most {
            let Some(mail) = self.inbox.next() else { return };
            // Anybody else's is closed and forgotten.
            if self.child.as_ref().is_some_and(|child| mail.sender == Some(child.pid())) {
                self.take(mail);
            }
        }
    }

    fn take(&mut self, mail: Mail) {
        self.course.heard(Instant::now());
        let message = Message::parse(&mail.text);
        if message.remove {
            self.kept.remove(message.kept_as());
        }
        if message.store && self.kept.add(message.kept_as(), mail.descriptors).is_err() && !self.is_full {
            self.is_full = true;
            tracing::error!("keeper: no room for more than {} descriptors", self.kept.len());
        }
        if let Some(status) = message.status {
            self.said = status.chars().filter(|character| !character.is_control()).take(200).collect();
        }
        if message.ready {
            self.course.serves();
        }
        if message.stopping {
            self.course.leaves(Instant::now());
        }
    }

    /// The daemon has ended. An error is the status to leave with.
    fn ended(&mut self, end: End) -> Result<(), u8> {
        let Some(child) = self.child.take() else { return Ok(()) };
        let how = match end {
            End::Exit(status) => format!("has left with status {status}"),
            End::Signal(number) => format!("was killed by signal {number}"),
        };
        let said = if self.said.is_empty() { String::new() } else { format!("; it last said: {}", self.said) };
        let what = format!("keeper: the daemon, process {}, {how}{said}", child.pid().as_raw_nonzero());
        let next = self.course.ended(Instant::now(), end, self.kept.len() > 0);
        match next {
            Ok(pause) => tracing::warn!("{what}; the next one starts in {} ms", pause.as_millis()),
            Err(0) => tracing::info!("{what}"),
            Err(_) => tracing::error!("{what}"),
        }
        next.map(drop)
    }

    fn take_signals(&mut self) {
        while let Some(signal) = self.signals.next() {
            match signal {
                SIGTERM | SIGINT => self.course.stop(Instant::now()),
                SIGUSR2 => self.course.renew(),
                _ => self.send(Signal::HUP),
            }
        }
    }

    /// Does what is to be done now. An error is the status to leave with.
    fn act(&mut self) -> Result<(), u8> {
        while let Some(order) = self.course.order(Instant::now(), self.kept.len() > 0) {
            match order {
                Order::Start => self.start()?,
                Order::Send(signal) => self.send(signal),
                Order::Renew => self.renew(),
                Order::Leave(status) => return Err(status),
            }
        }
        Ok(())
    }

    fn start(&mut self) -> Result<(), u8> {
        self.said.clear();
        self.is_full = false;
        let Plan { program, daemon_args, watchdog, .. } = &self.plan;
        match Child::start(program, daemon_args, &self.kept, self.inbox.path(), *watchdog) {
            Ok(child) => {
                let pid = child.pid().as_raw_nonzero();
                tracing::info!("keeper: the daemon is process {pid}, with {} descriptors", self.kept.len());
                self.child = Some(child);
                self.course.started(Instant::now());
                Ok(())
            }
            Err(why) => {
                tracing::error!("keeper: cannot start {}: {why}", program.display());
                self.course.not_started(Instant::now()).map(drop)
            }
        }
    }

    fn send(&self, signal: Signal) {
        let Some(child) = &self.child else { return };
        match signal {
            Signal::ABORT => tracing::error!("keeper: the daemon is stuck: not a sign of life; ending it"),
            // One that is only starting would die of it, and opens everything anyway.
            Signal::HUP if !self.course.is_serving() => return,
            _ => {}
        }
        child.signal(signal);
        if matches!(signal, Signal::TERM | Signal::ABORT) {
            // A stopped one would not see it.
            child.signal(Signal::CONT);
        }
    }

    fn renew(&mut self) {
        Signals::hold();
        // What came before that would be forgotten; a stop among it is stronger.
        self.take_signals();
        if self.course.order(Instant::now(), true) == Some(Order::Renew) {
            let Plan { program, args, run, .. } = &self.plan;
            tracing::info!("keeper: becoming what is at {} now", program.display());
            let why = renewal::become_program(program, args, run, &self.kept);
            tracing::error!("keeper: cannot become {}: {why}; staying as it is", program.display());
            self.course.not_renewed();
        }
        Signals::release();
    }

    /// Waits until something happens, or it is time for something.
    fn wait(&self) {
        let wait = self.course.deadline().map(|at| at.saturating_duration_since(Instant::now()));
        // Too long to be told is for ever.
        let wait: Option<Timespec> = wait.and_then(|wait| wait.try_into().ok());
        let mut events =
            [self.inbox.as_fd(), self.signals.as_fd()].map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
        // An error is a signal, or a want of memory that passes.
        let _ = poll(&mut events, wait.as_ref());
    }
}
