//! The writers: one thread for each file system that has logs, so that one which stands still holds up no other.

use std::collections::{BTreeMap, HashMap};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use logproto::Request;
use rustix::event::epoll;
use rustix::fs::{Mode, OFlags, open, readlink};

use crate::book::Book;
use crate::hand::Hand;
use crate::key::LogKey;
use crate::logs::StreamId;
use crate::mounts::Mounts;
use crate::pack::pack;
use crate::source::Source;
use crate::writer::{Command, Places, Report, Writer};

/// Threads at most. Only root makes file systems, so this is no protection, only a bound.
const MOST: u8 = 64;

/// Which writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WriterId(u8);

impl WriterId {
    /// The writer of the log directory's own file system.
    pub const FIRST: WriterId = WriterId(0);
}

/// All writers.
#[derive(Debug)]
pub struct Writers {
    places: Places,
    /// Where the log directory really is.
    log_dir: PathBuf,
    /// Where console logs really are, where that is not below it.
    console_dir: Option<PathBuf>,
    book: Arc<Book>,
    kept: bool,
    mounts: Mounts,
    by_mount: HashMap<PathBuf, WriterId>,
    all: Vec<Writer>,
    of: BTreeMap<StreamId, WriterId>,
    /// Readable when a writer has something to say.
    epoll: OwnedFd,
}

impl Writers {
    /// Starts the writer of the log directory's own file system.
    pub fn start(places: Places, book: Arc<Book>, kept: bool) -> std::io::Result<Writers> {
        let log_dir = real_path(places.log.path());
        let console_dir = places.console.as_ref().map(|dir| real_path(dir.path()));
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let (by_mount, all, of) = (HashMap::new(), Vec::new(), BTreeMap::new());
        let mounts = Mounts::new()?;
        let mut writers = Writers { places, log_dir, console_dir, book, kept, mounts, by_mount, all, of, epoll };
        let point = writers.mounts.of(&writers.log_dir);
        writers.add(point)?;
        Ok(writers)
    }

    fn add(&mut self, point: PathBuf) -> std::io::Result<WriterId> {
        let id = WriterId(self.count());
        let writer = Writer::start(self.places.clone(), Arc::clone(&self.book), self.kept)?;
        let data = epoll::EventData::new_u64(0);
        epoll::add(&self.epoll, writer.fd(), data, epoll::EventFlags::IN)?;
        epoll::add(&self.epoll, writer.pulse().alarm(), data, epoll::EventFlags::IN)?;
        self.all.push(writer);
        self.by_mount.insert(point, id);
        Ok(id)
    }

    /// The writer of a file's file system. Without a thread to be had, the first one's.
    fn for_file(&mut self, key: &LogKey, request: &Request) -> WriterId {
        let dir = self.console_dir.as_ref().filter(|_| key.entry().is_none()).unwrap_or(&self.log_dir);
        let path = dir.join(request.file.relative());
        let point = self.mounts.of(path.parent().unwrap_or(Path::new("/")));
        if let Some(id) = self.by_mount.get(&point) {
            return *id;
        }
        if self.count() >= MOST {
            return WriterId::FIRST;
        }
        self.add(point).unwrap_or_else(|why| {
            tracing::warn!("cannot start one more writer: {why}");
            WriterId::FIRST
        })
    }

    /// Opens a log, with this account in the book.
    pub fn open(&mut self, stream: StreamId, key: LogKey, request: Request, account: u32) {
        let writer = self.for_file(&key, &request);
        self.of.insert(stream, writer);
        self.tell(stream, Command::Open(stream, key, request, account));
    }

    /// Goes on with a log.
    pub fn resume(&mut self, stream: StreamId, key: LogKey, request: Request, source: Arc<Source>, hand: Option<Hand>) {
        let writer = self.for_file(&key, &request);
        self.of.insert(stream, writer);
        self.tell(stream, Command::Resume(stream, key, request, source, hand));
    }

    /// Takes no more room than it needs: see [`pack`].
    pub fn pack(&mut self) {
        pack(&mut self.of);
    }

    fn count(&self) -> u8 {
        // There are never more than `MOST`.
        u8::try_from(self.all.len()).unwrap_or(MOST)
    }

    /// A log is over.
    pub fn forget(&mut self, stream: StreamId) {
        self.of.remove(&stream);
    }

    /// Tells a log's writer something.
    pub fn tell(&self, stream: StreamId, command: Command) {
        // One that has no writer is over.
        if let Some(WriterId(writer)) = self.of.get(&stream) {
            self.all[usize::from(*writer)].tell(command);
        }
    }

    /// Gives a writer a hand.
    pub fn give(&self, writer: WriterId, hand: Hand) {
        self.all[usize::from(writer.0)].tell(Command::Hand(hand));
    }

    /// Tells all writers something.
    pub fn tell_all(&self, command: impl Fn() -> Command) {
        self.all.iter().for_each(|writer| writer.tell(command()));
    }

    /// Every writer.
    pub fn ids(&self) -> impl Iterator<Item = WriterId> + use<> {
        (0..self.count()).map(WriterId)
    }

    /// Readable when [`Writers::report`] has something, or [`Writers::look`] is due.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }

    /// The next report, and whose.
    pub fn report(&self) -> Option<(WriterId, Report)> {
        (0..).zip(&self.all).find_map(|(id, writer)| Some((WriterId(id), writer.report()?)))
    }

    /// Sees to the alarms that rang.
    pub fn look(&self) {
        self.all.iter().for_each(|writer| writer.pulse().look());
    }

    /// Whether any writer is late.
    pub fn any_late(&self, now: Instant) -> bool {
        self.all.iter().any(|writer| writer.pulse().late(now).is_some())
    }

    /// Whether a log's writer is late.
    pub fn is_late(&self, stream: StreamId, now: Instant) -> bool {
        self.of.get(&stream).is_some_and(|WriterId(id)| self.all[usize::from(*id)].pulse().late(now).is_some())
    }

    /// Waits for threads that have stopped.
    pub fn join(self) {
        self.all.into_iter().for_each(Writer::join);
    }
}

/// Where a path leads, as the kernel has it. A directory that is not there yet is where its path says.
fn real_path(path: &Path) -> PathBuf {
    let found = open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).ok().and_then(|fd| {
        use std::os::fd::AsRawFd;
        let link = readlink(format!("/proc/self/fd/{}", fd.as_raw_fd()), Vec::new()).ok()?;
        use std::os::unix::ffi::OsStringExt;
        Some(PathBuf::from(std::ffi::OsString::from_vec(link.into_bytes())))
    });
    found.unwrap_or_else(|| path.to_owned())
}
