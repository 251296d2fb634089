//! Programs that log through the real client: one writes now and then, one a lot, one without end.

use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use logproto::{DomId, Owner, Policy, Stamp};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use xenlog::logs::{Usage, usage};
use xenlog::{Error, Log, OpenOptions, Places};

use crate::failure::Failure;
use crate::signals::Signals;

/// The domain that the program without end belongs to.
pub struct Domain {
    /// Its number.
    pub id: u16,
    /// Its name.
    pub name: &'static str,
}

/// The domain that the program without end belongs to.
pub const GREEDY: Domain = Domain { id: 7, name: "greedy" };

/// How long a program waits for its log. Nothing but a hung machine makes it long.
const WAIT: Duration = Duration::from_secs(30);
/// How often a program whose pipe is full looks whether it is to stop.
const LOOK: Duration = Duration::from_millis(50);

/// How a program goes about it.
struct Kind {
    name: &'static str,
    owner: Option<u16>,
    limit: u64,
    copies: u32,
    stamp: Stamp,
    /// The pause after each line; none for the one without end.
    pause: Option<Duration>,
}

const KINDS: [Kind; 3] = [
    Kind { name: "quiet", owner: None, limit: 64 << 10, copies: 1, stamp: Stamp::Line, pause: Some(ms(700)) },
    Kind { name: "chatty", owner: None, limit: 16 << 10, copies: 3, stamp: Stamp::None, pause: Some(ms(2)) },
    Kind { name: "flood", owner: Some(GREEDY.id), limit: 1 << 20, copies: 2, stamp: Stamp::None, pause: None },
];

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// A program that runs, and what was seen of its log.
pub struct Program {
    /// Its name, and that of its log.
    pub name: &'static str,
    /// Its log's file.
    pub file: PathBuf,
    /// What its log may take on the disk: limit × (copies + 1).
    pub bound: u64,
    /// Rotated copies that are kept.
    pub copies: u32,
    /// What its log takes now.
    pub usage: Usage,
    /// The most that its log ever took, of all looks.
    pub most: u64,
    /// How often it was looked at.
    pub looks: u64,
    is_flood: bool,
    written: Arc<AtomicU64>,
    rest: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<(), Failure>>>,
}

/// All programs.
pub struct Programs {
    /// One each.
    pub all: Vec<Program>,
}

impl Programs {
    /// Asks for the logs and starts to write; gives up when a signal comes.
    pub fn start(places: &Places, signals: &Signals) -> Result<Programs, Failure> {
        let mut programs = Programs { all: Vec::new() };
        for kind in KINDS {
            let log = kind.open(places, signals)?;
            programs.all.push(Program::start(&kind, log));
        }
        Ok(programs)
    }

    /// Looks at the files.
    pub fn look(&mut self) {
        for program in &mut self.all {
            if let Some(usage) = usage(&program.file, Some(program.copies.into())) {
                program.usage = usage;
                program.most = program.most.max(usage.total);
                program.looks += 1;
            }
        }
    }

    /// Lets the one without end rest, with its log open.
    pub fn rest(&self) {
        self.all.iter().filter(|program| program.is_flood).for_each(|flood| flood.rest.store(true, Ordering::Relaxed));
    }

    /// Stops all of them and ends their logs.
    pub fn end(mut self) -> Result<Programs, Failure> {
        self.stop();
        for program in &mut self.all {
            if let Some(thread) = program.thread.take() {
                thread.join().map_err(|_| Failure::Named(format!("{} ended with a panic", program.name)))??;
            }
        }
        self.look();
        Ok(self)
    }

    fn stop(&self) {
        self.all.iter().for_each(|program| program.stop.store(true, Ordering::Relaxed));
    }
}

impl Drop for Programs {
    fn drop(&mut self) {
        self.stop();
        self.all.iter_mut().filter_map(|program| program.thread.take()).for_each(|thread| drop(thread.join()));
    }
}

impl Kind {
    fn open(&self, places: &Places, signals: &Signals) -> Result<Log, Error> {
        let owner = self.owner.and_then(DomId::new).map_or(Owner::Host, Owner::Domain);
        OpenOptions::new(owner, format!("{}.log", self.name))
            .places(places.clone())
            .limit(self.limit)
            .copies(self.copies)
            .policy(Policy::Block)
            .timestamp(self.stamp)
            .wait(WAIT)
            .open_unless(signals.as_fd())
    }
}

impl Program {
    fn start(kind: &Kind, log: Log) -> Program {
        let written = Arc::new(AtomicU64::new(0));
        let [rest, stop] = [(); 2].map(|()| Arc::new(AtomicBool::new(false)));
        let file = log.file().to_owned();
        let writer = Writer { written: Arc::clone(&written), rest: Arc::clone(&rest), stop: Arc::clone(&stop) };
        let (name, pause) = (kind.name, kind.pause);
        let thread = thread::spawn(move || {
            let ended = writer.write(log.as_fd(), name, pause);
            log.end()?;
            ended.map_err(|error| Failure::system(name)(error.into()))
        });
        Program {
            name,
            file,
            bound: kind.limit * u64::from(kind.copies + 1),
            copies: kind.copies,
            usage: Usage { file: 0, total: 0 },
            most: 0,
            looks: 0,
            is_flood: pause.is_none(),
            written,
            rest,
            stop,
            thread: Some(thread),
        }
    }

    /// How many bytes it has written.
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }
}

/// The inside of a program.
struct Writer {
    written: Arc<AtomicU64>,
    rest: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
}

impl Writer {
    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Writes numbered lines until it is stopped.
    fn write(&self, end: BorrowedFd<'_>, name: &str, pause: Option<Duration>) -> rustix::io::Result<()> {
        /// How many bytes the one without end writes at once.
        const MANY: usize = 64 << 10;
        let mut number: u64 = 0;
        let mut lines = Vec::new();
        while !self.is_stopped() {
            if self.rest.load(Ordering::Relaxed) {
                self.pause(LOOK);
                continue;
            }
            lines.clear();
            loop {
                number += 1;
                // A Vec takes whatever is written.
                let _ = writeln!(lines, "{name} line {number}");
                if pause.is_some() || lines.len() >= MANY {
                    break;
                }
            }
            self.write_all(end, &lines)?;
            if let Some(pause) = pause {
                self.pause(pause);
            }
        }
        Ok(())
    }

    fn write_all(&self, end: BorrowedFd<'_>, mut bytes: &[u8]) -> rustix::io::Result<()> {
        while !bytes.is_empty() {
            match rustix::io::write(end, bytes) {
                Ok(count) => {
                    self.written.fetch_add(count as u64, Ordering::Relaxed);
                    bytes = &bytes[count..];
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) if self.is_stopped() => return Ok(()),
                Err(rustix::io::Errno::AGAIN) => {
                    let _ = poll(&mut [PollFd::from_borrowed_fd(end, PollFlags::OUT)], timespec(LOOK).as_ref());
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn pause(&self, mut pause: Duration) {
        while !pause.is_zero() && !self.is_stopped() {
            let part = pause.min(LOOK);
            thread::sleep(part);
            pause -= part;
        }
    }
}

fn timespec(time: Duration) -> Option<Timespec> {
    Timespec::try_from(time).ok()
}
