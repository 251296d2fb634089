//! The thread, round by round, where a log or a hand is in an odd state.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use logproto::{EntryKey, LogPath, Owner, PipePath, Policy, Request, RootPath, Stamp};
use rustix::event::{EventfdFlags, Timespec, epoll, eventfd};
use rustix::fs::{CWD, Mode, OFlags, mkfifoat, open};

use super::{Command, Places, Report, Thread, Writer};
use crate::book::Book;
use crate::budget::Rate;
use crate::chunk::{Chunk, ROOM};
use crate::hand::Hand;
use crate::key::{LogKey, Own};
use crate::logs::{FifoId, Patience, StreamId};
use crate::pulse::LATE;
use crate::source::Source;

const AT_ONCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

struct Host {
    dir: tempfile::TempDir,
    book: Arc<Book>,
    writer: Writer,
    thread: Thread,
    events: Vec<epoll::Event>,
    now: Instant,
    hands: u32,
}

impl Host {
    fn new() -> Host {
        let dir = tempfile::tempdir().unwrap();
        let root = |name: &str| {
            std::fs::create_dir(dir.path().join(name)).unwrap();
            RootPath::new(&dir.path().join(name))
        };
        let rate = Rate { bytes: 0, burst: 0 };
        let places = Places { run: root("run"), log: root("log"), console: None, drain: Duration::from_secs(10), rate };
        let book = Arc::new(Book::open(places.run.path()).unwrap());
        let (writer, thread) = Writer::new(places, Arc::clone(&book), true).unwrap();
        Host { dir, book, writer, thread, events: Vec::with_capacity(64), now: Instant::now(), hands: 0 }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    fn hand(&mut self) -> Hand {
        self.hands += 1;
        Hand::new(self.hands, Chunk::new().unwrap(), Arc::clone(&self.book))
    }

    fn give_hand(&mut self) {
        let hand = self.hand();
        self.writer.tell(Command::Hand(hand));
    }

    fn request(&self, name: &str) -> Request {
        let bytes = |path: &Path| path.to_owned().into_os_string().into_encoded_bytes();
        Request {
            pipe: PipePath::new(&bytes(&self.path("run").join(name)), &RootPath::new(&self.path("run"))).unwrap(),
            file: LogPath::new(&bytes(&self.path("log").join(name)), &RootPath::new(&self.path("log"))).unwrap(),
            limit: 1 << 20,
            copies: 1,
            policy: Policy::Drop,
            stamp: Stamp::None,
        }
    }

    /// A FIFO, open for reading and for writing.
    fn fifo(&self, name: &str) -> (OwnedFd, OwnedFd) {
        let path = self.path("run").join(name);
        mkfifoat(CWD, &path, Mode::RUSR | Mode::WUSR).unwrap();
        let reader = open(&path, OFlags::RDONLY | OFlags::NONBLOCK, Mode::empty()).unwrap();
        let writer = open(&path, OFlags::WRONLY | OFlags::NONBLOCK, Mode::empty()).unwrap();
        (reader, writer)
    }

    fn resume(&mut self, id: u64, name: &str, pipe: OwnedFd, hand: Option<Hand>) -> Arc<Source> {
        self.resume_as(EntryKey { owner: Owner::Host, name: name.into() }.into(), id, name, pipe, hand)
    }

    fn resume_as(&mut self, key: LogKey, id: u64, name: &str, pipe: OwnedFd, hand: Option<Hand>) -> Arc<Source> {
        let fifo = FifoId { dev: 0, ino: id, born: 0 };
        let number = u32::try_from(id).unwrap();
        let source = Source::new(pipe, fifo, Policy::Drop, StreamId(id), Arc::clone(&self.book), number);
        let source = Arc::new(source);
        let command = Command::Resume(StreamId(id), key, self.request(name), Arc::clone(&source), hand);
        self.writer.tell(command);
        source
    }

    /// What a killed daemon had in hand.
    fn full_hand(&mut self, id: u64, bytes: &[u8]) -> Hand {
        let mut hand = self.hand();
        hand.give_to(StreamId(id));
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        rustix::io::write(&writer, bytes).unwrap();
        hand.chunk_mut().fill(reader.as_fd(), ROOM).unwrap();
        hand
    }

    fn round(&mut self) {
        let now = self.now;
        self.thread.round(|| now, Some(AT_ONCE), &mut self.events);
    }

    /// A round as the thread has it: it waits until there is something, and it may rest.
    fn whole_round(&mut self) {
        let now = self.now;
        self.thread.round(|| now, None, &mut self.events);
    }

    fn reports(&self) -> Vec<Report> {
        std::iter::from_fn(|| self.writer.report()).collect()
    }

    fn log(&self, name: &str) -> String {
        std::fs::read_to_string(self.path("log").join(name)).unwrap_or_default()
    }
}

/// The model found it: the next daemon was told, at once, to end a log without patience. It closed it with what the killed one had
/// in hand, on a disk that was well.
#[test]
fn what_was_in_hand_is_written_before_a_log_ends() {
    let mut host = Host::new();
    host.give_hand();
    let (reader, _writer) = host.fifo("a");
    let hand = host.full_hand(1, b"in hand\n");
    host.resume(1, "a", reader, Some(hand));
    host.writer.tell(Command::End(StreamId(1), Patience::None));
    host.round();
    assert_eq!(host.log("a"), "in hand\n");
}

/// A daemon was killed while a disk was full. The next one took the log up with what was in hand, could not write it either, and
/// never said so: nobody relieved the log's writer.
#[test]
fn a_log_that_is_taken_up_in_trouble_is_reported_as_stuck() {
    let mut host = Host::new();
    host.give_hand();
    let (reader, _writer) = host.fifo("a");
    let hand = host.full_hand(1, b"in hand\n");
    std::fs::remove_dir(host.path("log")).unwrap();
    host.resume(1, "a", reader, Some(hand));
    host.round();
    host.round();
    let is_stuck = |reports: &[Report]| {
        let last = reports.iter().rev().find(|report| matches!(report, Report::Stuck(_) | Report::Well(_)));
        matches!(last, Some(Report::Stuck(StreamId(1))))
    };
    assert!(is_stuck(&host.reports()));
    std::fs::create_dir(host.path("log")).unwrap();
    host.now += Duration::from_secs(2);
    host.round();
    assert!(host.reports().iter().any(|report| matches!(report, Report::Well(StreamId(1)))));
    assert_eq!(host.log("a"), "in hand\n");
}

/// A log that nobody had open for writing waits for an edge. It came in a round whose last hand got stuck with another log, was
/// heard by nobody, and did not come again: the last words of a program stayed in its pipe.
#[test]
fn what_wakes_a_log_up_while_there_is_no_hand_is_not_forgotten() {
    let mut host = Host::new();
    let (reader, writer) = host.fifo("a");
    drop(writer);
    host.give_hand();
    host.round();
    host.resume(1, "a", reader, None);
    for _ in 0..3 {
        host.round();
    }
    assert!(host.thread.parked.contains(&StreamId(1)));
    let taken = std::mem::take(&mut host.thread.desk.hands);
    let writer = open(host.path("run/a"), OFlags::WRONLY | OFlags::NONBLOCK, Mode::empty()).unwrap();
    rustix::io::write(&writer, b"last words\n").unwrap();
    drop(writer);
    assert_eq!(host.thread.turn(StreamId(1), host.now), 0);
    // What epoll has to say of it, it says once.
    epoll::wait(&host.thread.epoll, rustix::buffer::spare_capacity(&mut host.events), Some(&AT_ONCE)).unwrap();
    host.thread.desk.hands = taken;
    for _ in 0..3 {
        host.round();
    }
    assert_eq!(host.log("a"), "last words\n");
}

/// An eventfd is always readable and nothing can be taken from it, as from a pipe while the kernel has no memory: each round was
/// followed by the next one at once, and each said so in the daemon's log.
#[test]
fn a_pipe_that_cannot_be_read_is_left_alone_for_a_while() {
    let mut host = Host::new();
    host.give_hand();
    host.resume(1, "a", eventfd(1, EventfdFlags::NONBLOCK).unwrap(), None);
    host.round();
    host.round();
    assert!(host.events.is_empty(), "it is not listened to");
    assert!(host.reports().iter().any(|report| matches!(report, Report::Stuck(StreamId(1)))));
    host.now += Duration::from_secs(2);
    host.round();
    host.round();
    assert!(host.events.is_empty());
    assert_eq!(host.thread.paused.len(), 1, "and it is tried again");
}

/// With all hands stuck and no descriptors for one more, whoever wrote to the other logs waited, since neither they nor the writer
/// counted as stuck.
#[test]
fn a_writer_without_a_hand_is_late() {
    let mut host = Host::new();
    let begun = Instant::now();
    let pulse_during_wait = {
        let (writer, thread, events) = (&host.writer, &mut host.thread, &mut host.events);
        let calls = std::cell::Cell::new(0);
        // The clock is asked again only when the wait is over.
        let clock = || {
            calls.set(calls.get() + 1);
            assert!(calls.get() < 2 || writer.pulse().late(begun + LATE).is_some(), "it waits and nobody knows");
            begun
        };
        thread.round(clock, Some(AT_ONCE), events);
        calls.get()
    };
    assert_eq!(pulse_during_wait, 2);
    host.give_hand();
    host.round();
    assert!(host.writer.pulse().late(begun + 2 * LATE).is_none());
}

/// A log was relieved while its writer was late, and told to end before it was told to tell: the marker was missing.
#[test]
fn what_was_dropped_is_told_before_a_log_ends() {
    let mut host = Host::new();
    host.give_hand();
    let (reader, writer) = host.fifo("a");
    let source = host.resume(1, "a", reader, None);
    host.round();
    rustix::io::write(&writer, &[b'x'; 60_000]).unwrap();
    let (mut bin, null) = (host.hand(), std::fs::File::options().write(true).open("/dev/null").unwrap());
    assert_eq!(source.relieve(&mut bin, null.as_fd()), 60_000);
    host.writer.tell(Command::End(StreamId(1), Patience::None));
    host.round();
    assert!(host.log("a").contains("60000 bytes dropped"), "{}", host.log("a"));
}

/// What many guests say is written in bunches. Whoever fills another log has no part in that.
#[test]
fn the_daemons_own_logs_rest_after_a_round_and_others_do_not() {
    let mut host = Host::new();
    host.give_hand();
    let (reader, entry) = host.fifo("a");
    host.resume(1, "a", reader, None);
    let (reader, own) = host.fifo("b");
    host.resume_as(LogKey::Own(Own::Hypervisor), 2, "b", reader, None);
    host.round();
    rustix::io::write(&own, b"at once\n").unwrap();
    host.whole_round();
    assert_eq!(host.log("b"), "at once\n");
    rustix::io::write(&own, b"later\n").unwrap();
    rustix::io::write(&entry, b"at once\n").unwrap();
    host.whole_round();
    assert_eq!((host.log("a"), host.log("b")), ("at once\n".to_owned(), "at once\n".to_owned()));
    host.now = host.thread.own_rest.unwrap();
    host.whole_round();
    assert_eq!(host.log("b"), "at once\nlater\n");
    // And again; but the first line after a rest in which nothing came is not delayed.
    assert!(host.thread.own_rest.is_some_and(|until| until > host.now));
    host.now = host.thread.own_rest.unwrap();
    host.whole_round();
    assert_eq!(host.thread.own_rest, None);
    rustix::io::write(&own, b"at once\n").unwrap();
    host.whole_round();
    assert_eq!(host.log("b"), "at once\nlater\nat once\n");
}

#[test]
fn a_pipe_that_a_log_fills_is_made_as_large_as_a_move() {
    let mut host = Host::new();
    host.give_hand();
    let (reader, writer) = host.fifo("p");
    rustix::pipe::fcntl_setpipe_size(&writer, 16 << 10).unwrap();
    let source = host.resume(1, "p", reader, None);
    rustix::io::write(&writer, &[b'x'; 1000]).unwrap();
    host.round();
    assert_eq!(source.room(), 16 << 10, "a little is no reason");
    rustix::io::write(&writer, &[b'x'; 4096]).unwrap();
    host.round();
    assert_eq!((source.room(), source.waiting()), (ROOM, 0));
}

/// Thousands of logs were opened in one go: whoever had one already waited until all were open.
#[test]
fn pipes_have_their_turns_between_logs_that_are_opened() {
    let mut host = Host::new();
    host.give_hand();
    let (reader, writer) = host.fifo("a");
    host.resume(1, "a", reader, None);
    host.round();
    host.reports();
    let new = 2..500;
    for id in new.clone() {
        let key = EntryKey { owner: Owner::Host, name: format!("b{id}").into() }.into();
        host.writer.tell(Command::Open(StreamId(id), key, host.request(&format!("b{id}")), 0));
    }
    rustix::io::write(&writer, b"line\n").unwrap();
    host.round();
    let is_answer = |report: &Report| matches!(report, Report::Refused(..));
    let mut answered = host.reports().into_iter().filter(is_answer).count();
    assert_eq!(host.log("a"), "line\n");
    assert!(answered < new.clone().count() / 2, "{answered} before the line");
    for _ in new.clone() {
        host.whole_round();
        answered += host.reports().into_iter().filter(is_answer).count();
        if answered == new.clone().count() {
            return;
        }
    }
    panic!("{answered} of {} were answered", new.count());
}
