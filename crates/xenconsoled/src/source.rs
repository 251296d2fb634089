//! A log's pipe, as the writer and the main thread share it.
//!
//! The writer takes bytes out to write them. When it cannot, the main thread takes them out and throws them away, so that
//! whoever writes to the pipe never waits for a disk: both under one short lock, and never while a file is written, so that
//! what is missing stands in the log exactly where it is missing.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime};

use logproto::Policy;
use rustix::io::{Errno, ioctl_fionread};
use rustix::pipe::{fcntl_getpipe_size, fcntl_setpipe_size};

use crate::book::{Account, Book};
use crate::budget::{Budget, Rate};
use crate::chunk::Chunk;
use crate::gap::Gap;
use crate::hand::Hand;
use crate::logs::{FifoId, StreamId};

/// What is said of a gap when the writer did not come by in time.
const STALLED: &str = "log device stalled";

/// A pipe's room where the system does not say, in bytes (pipe(7)).
const DEFAULT_ROOM: usize = 64 << 10;

/// Until one is set.
const NO_BOUND: Rate = Rate { bytes: 0, burst: 0 };

/// The pipe of one log.
#[derive(Debug)]
pub struct Source {
    pipe: OwnedFd,
    fifo: FifoId,
    /// Where the drops are noted, so that they are told even if the daemon is killed.
    book: Arc<Book>,
    number: u32,
    /// Policy `drop`: relief is allowed.
    drops: AtomicBool,
    /// Whether its client knows that it is served.
    served: AtomicBool,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    account: Account,
    taken: u64,
    gaps: u64,
    /// What was thrown away since the writer last took something.
    gap: Option<Box<Gap>>,
    /// Why the file cannot be written, while it cannot.
    trouble: Option<String>,
    budget: Budget,
}

/// A log's account, in bytes since it was opened: what came in is what was taken to be written and what was dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// Taken out of the pipe to be written.
    pub taken: u64,
    /// Taken out of the pipe and thrown away.
    pub dropped: u64,
    /// Gaps that these make.
    pub gaps: u64,
}

/// What the writer takes.
#[derive(Debug, PartialEq, Eq)]
pub enum Take {
    /// Something is missing here; to be told before anything else is taken. With it, the drops since the log was opened that
    /// are then told, in bytes.
    Gap(Gap, u64),
    /// So many bytes.
    Bytes(usize),
    /// There is nothing now.
    Empty,
    /// There is nothing, and nobody has the pipe open for writing.
    Ended,
    /// The log has had its share: there is more for it then.
    OverBudget(Instant),
    /// It cannot be read.
    Failed(Errno),
}

impl Source {
    /// The pipe that was opened for a new log; its drops are noted in account `number` of the book.
    pub fn new(pipe: OwnedFd, fifo: FifoId, policy: Policy, stream: StreamId, book: Arc<Book>, number: u32) -> Source {
        let now = SystemTime::now();
        let account = Account { stream, dropped: 0, marked: 0, from: now, to: now };
        Source::with_account(pipe, fifo, policy, account, 0, book, number)
    }

    /// The pipe of a log that an earlier daemon served, with what it noted. Drops up to `told` are told by a marker that it was
    /// writing.
    pub fn recover(
        pipe: OwnedFd,
        fifo: FifoId,
        policy: Policy,
        stream: StreamId,
        book: Arc<Book>,
        number: u32,
        told: u64,
    ) -> Source {
        match book.account(number) {
            Ok(Some(account)) if account.stream == stream => {
                Source::with_account(pipe, fifo, policy, account, told, book, number)
            }
            _ => Source::new(pipe, fifo, policy, stream, book, number),
        }
    }

    fn with_account(
        pipe: OwnedFd,
        fifo: FifoId,
        policy: Policy,
        account: Account,
        told: u64,
        book: Arc<Book>,
        number: u32,
    ) -> Source {
        // That marker is not in the file yet, and may never be: the account says so until it is.
        let bytes = account.dropped.saturating_sub(account.marked.max(told));
        let gap =
            (bytes > 0).then(|| Box::new(Gap { bytes, from: account.from, to: account.to, why: STALLED.to_owned() }));
        let inner = Inner {
            account,
            taken: 0,
            gaps: u64::from(gap.is_some()),
            gap,
            trouble: None,
            budget: Budget::new(NO_BOUND, Instant::now()),
        };
        let source = Source {
            pipe,
            fifo,
            book,
            number,
            drops: AtomicBool::new(false),
            served: AtomicBool::new(false),
            inner: Mutex::new(inner),
        };
        source.note(&source.inner());
        source.set_policy(policy);
        source
    }

    /// The pipe, for an event loop and for the keeper.
    pub fn pipe(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }

    /// Which FIFO it is.
    pub fn fifo(&self) -> FifoId {
        self.fifo
    }

    /// What happens when the log cannot be written fast enough.
    pub fn set_policy(&self, policy: Policy) {
        self.drops.store(policy == Policy::Drop, Ordering::Relaxed);
    }

    /// How fast the log may be written, from now on.
    pub fn set_rate(&self, rate: Rate, now: Instant) {
        self.inner().budget = Budget::new(rate, now);
    }

    /// Its client knows that it is served: see [`Source::is_served`].
    pub fn set_served(&self) {
        self.served.store(true, Ordering::Relaxed);
    }

    /// Whether its client knows that it is served. Until then the FIFO may belong to a request that nobody has read yet, and its
    /// name is not to be touched.
    pub fn is_served(&self) -> bool {
        self.served.load(Ordering::Relaxed)
    }

    /// The account so far.
    pub fn ledger(&self) -> Ledger {
        let inner = self.inner();
        Ledger { taken: inner.taken, dropped: inner.account.dropped, gaps: inner.gaps }
    }

    /// Notes why the file cannot be written, or that it can.
    pub fn set_trouble(&self, why: Option<&str>) {
        self.inner().trouble = why.map(str::to_owned);
    }

    /// Why the file cannot be written, while it cannot.
    pub fn trouble(&self) -> Option<String> {
        self.inner().trouble.clone()
    }

    /// Takes what comes next: a gap, or up to `most` bytes into the chunk.
    pub fn take(&self, chunk: &mut Chunk, most: usize, now: Instant) -> Take {
        let mut inner = self.inner();
        if let Some(gap) = inner.gap.take() {
            return Take::Gap(*gap, inner.account.dropped);
        }
        let most = match inner.budget.allow(now) {
            Ok(allowed) => most.min(usize::try_from(allowed).unwrap_or(usize::MAX)),
            Err(until) => return Take::OverBudget(until),
        };
        match chunk.fill(self.pipe.as_fd(), most) {
            Ok(0) => Take::Ended,
            Ok(bytes) => {
                inner.budget.spend(bytes as u64);
                inner.taken += bytes as u64;
                Take::Bytes(bytes)
            }
            Err(Errno::AGAIN) => Take::Empty,
            Err(why) => Take::Failed(why),
        }
    }

    /// Whether something was dropped that is not told yet.
    pub fn has_gap(&self) -> bool {
        self.inner().gap.is_some()
    }

    /// Nothing is dropped any more: whatever is in the pipe is for whoever reads it next.
    pub fn close(&self) {
        let _inner = self.inner();
        self.drops.store(false, Ordering::Relaxed);
    }

    /// Nothing is dropped any more, and all that was is told: true. Or there is something to be told first.
    pub fn finish(&self) -> bool {
        let inner = self.inner();
        let is_told = inner.gap.is_none();
        if is_told {
            self.drops.store(false, Ordering::Relaxed);
        }
        is_told
    }

    /// A gap that was taken cannot be told yet.
    pub fn put_back(&self, gap: Gap) {
        let mut inner = self.inner();
        inner.gap = Some(Box::new(match inner.gap.take() {
            Some(newer) => Gap { bytes: gap.bytes + newer.bytes, to: newer.to, ..gap },
            None => gap,
        }));
    }

    /// The log tells of its drops up to `marked` bytes since it was opened.
    pub fn set_marked(&self, marked: u64) {
        let mut inner = self.inner();
        inner.account.marked = marked;
        self.note(&inner);
    }

    /// The pipe's room in bytes; never 0.
    pub fn room(&self) -> usize {
        fcntl_getpipe_size(&self.pipe).unwrap_or(DEFAULT_ROOM).max(1)
    }

    /// Makes the pipe at least so large, if that is granted (pipe(7), pipe-user-pages-soft). Answers with its room.
    pub fn enlarge(&self, bytes: usize) -> usize {
        let room = self.room();
        if room >= bytes {
            return room;
        }
        fcntl_setpipe_size(&self.pipe, bytes).unwrap_or(room).max(room)
    }

    /// Bytes in the pipe now.
    pub fn waiting(&self) -> u64 {
        ioctl_fionread(&self.pipe).unwrap_or(0)
    }

    /// Makes room for whoever writes to the pipe, if it is nearly full and dropping is allowed: what is in it is thrown away
    /// and counted. Answers with the bytes dropped. They pass through a hand, so that a daemon which is killed before it has
    /// counted them leaves them to the next one.
    pub fn relieve(&self, hand: &mut Hand, null: BorrowedFd<'_>) -> u64 {
        if !self.drops.load(Ordering::Relaxed) || !self.is_nearly_full() {
            return 0;
        }
        let mut inner = self.inner();
        if !self.drops.load(Ordering::Relaxed) {
            return 0;
        }
        let (mut gone, there) = (0, self.waiting());
        while gone < there {
            hand.begin_dropping(inner.account.stream, inner.account.dropped, 0);
            let most = usize::try_from(there - gone).unwrap_or(usize::MAX);
            // A pipe that is empty, or an error that no program without bugs could meet but ENOMEM: what is left stays there.
            let Ok(bytes) = hand.chunk_mut().fill(self.pipe.as_fd(), most) else { break };
            if bytes == 0 {
                break;
            }
            gone += bytes as u64;
            inner.count_dropped(bytes as u64);
            self.note(&inner);
            hand.finish_dropping(null);
        }
        gone
    }

    /// Gives up what a hand holds of this log, and counts it. Answers with the bytes. `peek` is an empty pipe.
    pub fn give_up(&self, hand: &mut Hand, peek: &mut Chunk) -> u64 {
        let mut inner = self.inner();
        let lost = hand.missing(peek);
        if lost > 0 {
            hand.begin_dropping(inner.account.stream, inner.account.dropped, lost);
            inner.taken = inner.taken.saturating_sub(lost);
            inner.count_dropped(lost);
            self.note(&inner);
        }
        hand.abandon();
        lost
    }

    /// A quarter: a page of a pipe that a write did not fill takes a place all the same, so a pipe can be full with little more
    /// than half its bytes (`pipe_write`, fs/pipe.c).
    fn is_nearly_full(&self) -> bool {
        let waiting = self.waiting();
        waiting > 0 && waiting >= fcntl_getpipe_size(&self.pipe).unwrap_or(usize::MAX) as u64 / 4
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // What is behind the lock is consistent after every statement.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, inner: &Inner) {
        self.book.note(self.book.set_account(self.number, &inner.account));
    }
}

impl Inner {
    fn count_dropped(&mut self, bytes: u64) {
        if bytes == 0 {
            return;
        }
        let now = SystemTime::now();
        self.account.count(bytes, now);
        match &mut self.gap {
            Some(gap) => (gap.bytes, gap.to) = (gap.bytes + bytes, now),
            None => {
                self.gaps += 1;
                let why = self.trouble.clone().unwrap_or_else(|| STALLED.to_owned());
                self.gap = Some(Box::new(Gap { bytes, from: now, to: now, why }));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::pipe::{PipeFlags, pipe_with};

    struct World {
        _dir: tempfile::TempDir,
        book: Arc<Book>,
        source: Source,
        writer: OwnedFd,
        null: OwnedFd,
        bin: Hand,
        chunk: Chunk,
    }

    fn world(policy: Policy) -> World {
        let dir = tempfile::tempdir().unwrap();
        let book = Arc::new(Book::open(dir.path()).unwrap());
        let (reader, writer) = pipe_with(PipeFlags::NONBLOCK).unwrap();
        let null = std::fs::File::options().write(true).open("/dev/null").unwrap().into();
        let fifo = FifoId { dev: 0, ino: 0, born: 0 };
        let source = Source::new(reader, fifo, policy, StreamId(3), Arc::clone(&book), 0);
        let bin = Hand::new(0, Chunk::new().unwrap(), Arc::clone(&book));
        World { _dir: dir, book, source, writer, null, bin, chunk: Chunk::new().unwrap() }
    }

    fn write_full(writer: &OwnedFd) -> u64 {
        let mut sum = 0;
        while let Ok(written) = rustix::io::write(writer, &[b'x'; 1000]) {
            sum += written as u64;
        }
        sum
    }

    #[test]
    fn a_full_pipe_is_relieved_and_every_byte_counted() {
        let World { source, writer, null, mut bin, mut chunk, .. } = world(Policy::Drop);
        rustix::io::write(&writer, b"a little").unwrap();
        assert_eq!(source.relieve(&mut bin, null.as_fd()), 0, "a little is kept");
        let full = 8 + write_full(&writer);
        source.set_trouble(Some("no space"));
        assert_eq!(source.relieve(&mut bin, null.as_fd()), full);
        let again = write_full(&writer);
        assert!(again > 0 && source.relieve(&mut bin, null.as_fd()) == again);
        rustix::io::write(&writer, b"after").unwrap();
        let Take::Gap(gap, marked) = source.take(&mut chunk, 1000, Instant::now()) else { panic!("no gap") };
        assert_eq!((gap.bytes, marked, &*gap.why), (full + again, full + again, "no space"));
        assert_eq!(source.take(&mut chunk, 1000, Instant::now()), Take::Bytes(5), "a gap is told once");
        assert_eq!(source.ledger(), Ledger { taken: 5, dropped: full + again, gaps: 1 });
    }

    #[test]
    fn a_pipe_is_made_larger_and_never_smaller() {
        let World { source, writer, .. } = world(Policy::Drop);
        fcntl_setpipe_size(&writer, 16 << 10).unwrap();
        assert_eq!((source.enlarge(8 << 10), source.room()), (16 << 10, 16 << 10));
        assert_eq!((source.enlarge(64 << 10), source.room()), (64 << 10, 64 << 10));
    }

    #[test]
    fn who_wants_to_wait_is_left_alone() {
        let World { source, writer, null, mut bin, .. } = world(Policy::Block);
        let full = write_full(&writer);
        assert_eq!((source.relieve(&mut bin, null.as_fd()), source.waiting()), (0, full));
    }

    #[test]
    fn a_pipe_of_half_filled_pages_counts_as_full() {
        let World { source, writer, null, mut bin, .. } = world(Policy::Drop);
        // Each takes a page of its own, since it does not fit behind the one before.
        while rustix::io::write(&writer, &[b'x'; 2100]).is_ok() {}
        assert!(source.relieve(&mut bin, null.as_fd()) > 0);
        rustix::io::write(&writer, &[b'x'; 2100]).unwrap();
    }

    #[test]
    fn drops_that_no_marker_tells_of_are_told_by_the_next_daemon() {
        let World { source, writer, null, book, mut bin, mut chunk, _dir } = world(Policy::Drop);
        let first = write_full(&writer);
        source.relieve(&mut bin, null.as_fd());
        let Take::Gap(_, marked) = source.take(&mut chunk, 1000, Instant::now()) else { panic!("no gap") };
        source.set_marked(marked);
        let second = write_full(&writer);
        source.relieve(&mut bin, null.as_fd());
        let pipe = source.pipe().try_clone_to_owned().unwrap();
        drop(source);
        let next = Source::recover(pipe, FifoId { dev: 0, ino: 0, born: 0 }, Policy::Drop, StreamId(3), book, 0, 0);
        let Take::Gap(gap, marked) = next.take(&mut chunk, 1000, Instant::now()) else { panic!("no gap") };
        assert_eq!((gap.bytes, marked), (second, first + second));
    }

    #[test]
    fn a_gap_that_cannot_be_told_yet_grows() {
        let World { source, writer, null, mut bin, mut chunk, .. } = world(Policy::Drop);
        let first = write_full(&writer);
        source.relieve(&mut bin, null.as_fd());
        let Take::Gap(gap, _) = source.take(&mut chunk, 1000, Instant::now()) else { panic!("no gap") };
        let second = write_full(&writer);
        source.relieve(&mut bin, null.as_fd());
        source.put_back(gap);
        let Take::Gap(gap, marked) = source.take(&mut chunk, 1000, Instant::now()) else { panic!("no gap") };
        assert_eq!((gap.bytes, marked), (first + second, first + second));
    }
}
