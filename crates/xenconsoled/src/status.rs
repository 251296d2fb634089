//! The status socket: whoever connects gets one snapshot of all logs, as JSON, and the end. Nothing is ever read from a client,
//! there are few at a time, and one that does not listen is dropped: it can cost the daemon nothing else.

use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use logproto::EntryKey;
use rustix::event::epoll;
use serde::Serialize;

use crate::consoles::ConsoleStatus;
use crate::source::{Ledger, Source};

/// The socket's name in the run directory.
pub const NAME: &str = "xenlog.status";

/// Clients at a time; more wait in the kernel's queue.
const CLIENTS: usize = 8;
/// How long a client may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// How soon somebody is let in again who could not be.
const AGAIN: Duration = Duration::from_millis(100);

/// The socket and those that are being answered.
#[derive(Debug)]
pub struct Status {
    listener: UnixListener,
    path: PathBuf,
    clients: Vec<Client>,
    /// Whether somebody may wait in the kernel's queue: asking for nothing costs as much as a socket.
    may_have_come: bool,
}

#[derive(Debug)]
struct Client {
    stream: UnixStream,
    rest: Vec<u8>,
    until: Instant,
}

impl Status {
    /// Opens the socket in the run directory, in place of one that a killed daemon left.
    pub fn open(run: &Path) -> io::Result<Status> {
        let path = run.join(NAME);
        // The lock on the run directory is held, so it is nobody's.
        let _ = std::fs::remove_file(&path);
        let listener = UnixListener::bind(&path)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
        listener.set_nonblocking(true)?;
        Ok(Status { listener, path, clients: Vec::new(), may_have_come: true })
    }

    /// Has an event loop wait for the socket, edge-triggered: those who wait in the kernel's queue while there are enough clients,
    /// or no descriptors, would wake it up for ever. [`Status::process`] says when it wants to be called without an event.
    pub fn listen(&self, epoll: &OwnedFd, token: u64) -> io::Result<()> {
        let flags = epoll::EventFlags::IN | epoll::EventFlags::ET;
        Ok(epoll::add(epoll, &self.listener, epoll::EventData::new_u64(token), flags)?)
    }

    /// The event loop was told of somebody.
    pub fn come(&mut self) {
        self.may_have_come = true;
    }

    /// Answers those who have come, with what `snapshot` says, and goes on with the others. Answers with how soon it wants to be
    /// called again: while somebody is being answered.
    pub fn process(&mut self, now: Instant, snapshot: impl Fn() -> String) -> Option<Duration> {
        let mut wait = None;
        // One snapshot for all who came together: with thousands of logs it is milliseconds of work.
        let mut text: Option<Vec<u8>> = None;
        while self.may_have_come && self.clients.len() < CLIENTS {
            match self.listener.accept() {
                Ok((stream, _)) if stream.set_nonblocking(true).is_ok() => {
                    let rest = text.get_or_insert_with(|| snapshot().into_bytes()).clone();
                    self.clients.push(Client { stream, rest, until: now + PATIENCE });
                }
                Ok(_) => {}
                Err(why) if why.kind() == io::ErrorKind::WouldBlock => self.may_have_come = false,
                // Without descriptors: whoever waits is not told of again, see [`Status::listen`].
                Err(_) => {
                    wait = Some(AGAIN);
                    break;
                }
            }
        }
        self.clients.retain_mut(|client| client.write(now));
        if self.clients.is_empty() { wait } else { Some(Duration::from_millis(5)) }
    }
}

impl Drop for Status {
    fn drop(&mut self) {
        // Somebody else has removed it: that is as well.
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Client {
    /// Writes what goes without waiting. False when it is done or given up.
    fn write(&mut self, now: Instant) -> bool {
        while !self.rest.is_empty() {
            match self.stream.write(&self.rest) {
                Ok(written) if written > 0 => drop(self.rest.drain(..written)),
                Err(why) if why.kind() == io::ErrorKind::Interrupted => {}
                Err(why) if why.kind() == io::ErrorKind::WouldBlock => return now < self.until,
                _ => return false,
            }
        }
        false
    }
}

/// One log's account, in bytes since this daemon serves the log, drops since it was opened.
#[derive(Debug, Serialize)]
pub struct Counters {
    r#in: u64,
    dropped: u64,
    gaps: u64,
    waiting: u64,
    trouble: Option<String>,
}

impl Counters {
    /// What is said of a log by its pipe, and of what never went into that: bytes and gaps.
    pub fn of(source: &Source, (missed, gaps_more): (u64, u64)) -> Counters {
        let Ledger { taken, dropped, gaps } = source.ledger();
        let (dropped_all, gaps) = (dropped + missed, gaps + gaps_more);
        let (waiting, trouble) = (source.waiting(), source.trouble());
        Counters { r#in: taken + dropped_all, dropped: dropped_all, gaps, waiting, trouble }
    }
}

/// A log that an entry asked for.
#[derive(Serialize)]
struct Entry {
    path: String,
    #[serde(flatten)]
    counters: Counters,
}

/// The hypervisor's log.
#[derive(Debug, Serialize)]
pub struct HypervisorStatus {
    /// Its file.
    pub file: String,
    #[serde(flatten)]
    /// Its account.
    pub counters: Counters,
    /// Bytes that were overwritten before they were read.
    pub overrun: u64,
}

#[derive(Serialize)]
struct Snapshot {
    logs: Vec<Entry>,
    consoles: Vec<ConsoleStatus>,
    hypervisor: Option<HypervisorStatus>,
}

/// A snapshot as JSON; docs/man/xenlog.1.md has the fields as they are shown.
pub fn snapshot<'a>(
    logs: impl Iterator<Item = (&'a EntryKey, &'a Source)>,
    consoles: Vec<ConsoleStatus>,
    hypervisor: Option<HypervisorStatus>,
) -> String {
    let logs = logs.map(|(key, source)| Entry { path: key.path(), counters: Counters::of(source, (0, 0)) });
    // Strings and numbers always have a text.
    serde_json::to_string(&Snapshot { logs: logs.collect(), consoles, hypervisor }).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn who_connects_gets_all_of_it_and_the_end() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(NAME), "left by a killed daemon").unwrap();
        let mut status = Status::open(dir.path()).unwrap();
        // More than a socket's buffer holds.
        let long = "x".repeat(4 << 20);
        let path = dir.path().join(NAME);
        let reader = std::thread::spawn(move || {
            let mut all = String::new();
            UnixStream::connect(path).unwrap().read_to_string(&mut all).unwrap();
            all
        });
        while !reader.is_finished() {
            status.come();
            status.process(Instant::now(), || long.clone());
        }
        assert!(reader.join().unwrap() == long);
        drop(status);
        assert!(!dir.path().join(NAME).exists());
    }

    #[test]
    fn who_does_not_listen_is_dropped_and_there_are_few_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let mut status = Status::open(dir.path()).unwrap();
        let path = dir.path().join(NAME);
        let _deaf: Vec<UnixStream> = (0..CLIENTS + 2).map(|_| UnixStream::connect(&path).unwrap()).collect();
        let now = Instant::now();
        let long = || "x".repeat(4 << 20);
        assert!(status.process(now, long).is_some());
        assert_eq!(status.clients.len(), CLIENTS);
        status.process(now + PATIENCE, long);
        assert_eq!(status.clients.len(), 0);
        // Who had to wait meanwhile is not told of again.
        status.process(now + PATIENCE, long);
        assert_eq!(status.clients.len(), 2);
        // Only whoever comes later is.
        let _another = UnixStream::connect(&path).unwrap();
        status.process(now + PATIENCE, long);
        assert_eq!(status.clients.len(), 2);
        status.come();
        status.process(now + PATIENCE, long);
        assert_eq!(status.clients.len(), 3);
    }

    /// With nine clients of which eight did not listen, or without descriptors, the main loop went round without a pause.
    #[test]
    fn whoever_has_to_wait_does_not_keep_the_loop_awake() {
        use rustix::buffer::spare_capacity;
        use rustix::event::Timespec;
        let dir = tempfile::tempdir().unwrap();
        let mut status = Status::open(dir.path()).unwrap();
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).unwrap();
        status.listen(&epoll, 4).unwrap();
        let path = dir.path().join(NAME);
        let _deaf: Vec<UnixStream> = (0..CLIENTS + 2).map(|_| UnixStream::connect(&path).unwrap()).collect();
        let heard = || {
            let mut events = Vec::with_capacity(4);
            epoll::wait(&epoll, spare_capacity(&mut events), Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).unwrap();
            events.len()
        };
        assert_eq!(heard(), 1);
        let now = Instant::now();
        assert!(status.process(now, || "x".repeat(4 << 20)).is_some());
        assert_eq!(heard(), 0);
        status.process(now + PATIENCE, String::new);
        status.process(now + PATIENCE, String::new);
        assert_eq!(heard(), 0, "and the others had their turn");
    }
}
