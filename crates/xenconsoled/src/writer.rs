//! The writer: one thread that moves bytes from the pipes of all its logs into their files. It is the only one that touches
//! log files, so when a disk stands still, only this thread does.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use logfile::{Bounds, Listings, LogFile, Root};
use logproto::{Code, EntryKey, Refusal, Request, RootPath};
use rustix::buffer::spare_capacity;
use rustix::event::{EventfdFlags, Timespec, epoll, eventfd};

use crate::logs::{FifoId, Patience, StreamId};
use crate::pipe;
use crate::stream::{Buffers, Stream, Turn};

/// A round in which no log had more than that is followed by a short rest: lines written one by one then come in bunches,
/// which costs a quarter of the CPU (measured at one line a write), and the first line after a silence is not delayed.
const SMALL: usize = 16 << 10;
const REST: Duration = Duration::from_micros(300);
/// Events of one round.
const EVENTS: usize = 256;
/// The event loop's word for a command; streams have theirs.
const COMMAND: u64 = u64::MAX;

/// What the writer is told.
#[derive(Debug)]
pub enum Command {
    /// Open a log; answered with [`Report::Opened`] or [`Report::Refused`].
    Open(StreamId, EntryKey, Request),
    /// Go on with other bounds.
    Adjust(StreamId, Request),
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
    Opened(StreamId, FifoId),
    /// They cannot be.
    Refused(StreamId, Refusal),
    /// They are closed.
    Ended(StreamId),
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
    /// How long a log whose entry is gone is read on.
    pub drain: Duration,
}

/// The writer as others see it.
#[derive(Debug)]
pub struct Writer {
    commands: Sender<Command>,
    wake: Arc<OwnedFd>,
    reports: Receiver<Report>,
    reported: Arc<OwnedFd>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Starts the thread.
    pub fn start(places: Places) -> std::io::Result<Writer> {
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        let (wake, reported) = (Arc::new(eventfd(0, flags)?), Arc::new(eventfd(0, flags)?));
        let (commands, received) = channel();
        let (reports, to_read) = channel();
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, &wake, epoll::EventData::new_u64(COMMAND), epoll::EventFlags::IN)?;
        let thread = Thread {
            epoll,
            wake: Arc::clone(&wake),
            commands: received,
            reports,
            reported: Arc::clone(&reported),
            places,
            root: None,
            streams: BTreeMap::new(),
            parked: HashSet::new(),
            ending: VecDeque::new(),
            stuck: Vec::new(),
            buffers: Buffers::new()?,
            stop: None,
        };
        let thread = std::thread::Builder::new().name("writer".into()).spawn(move || thread.run())?;
        Ok(Writer { commands, wake, reports: to_read, reported, thread: Some(thread) })
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

fn ring(fd: &OwnedFd) {
    // It fails only when the count is near 2^64: then it rings anyway.
    let _ = rustix::io::write(fd, &1u64.to_ne_bytes());
}

fn quiet(fd: &OwnedFd) {
    // EAGAIN: it did not ring.
    let _ = rustix::io::read(fd, &mut [0; 8]);
}

struct Thread {
    epoll: OwnedFd,
    wake: Arc<OwnedFd>,
    commands: Receiver<Command>,
    reports: Sender<Report>,
    reported: Arc<OwnedFd>,
    places: Places,
    root: Option<Root>,
    /// Boxed: a third of a tree's places is empty.
    streams: BTreeMap<StreamId, Box<Stream>>,
    /// Streams that nobody has open for writing. EPOLLHUP would be told for ever, so they wait edge-triggered.
    parked: HashSet<StreamId>,
    /// Streams whose entries are gone, and until when they read on; the earliest first.
    ending: VecDeque<(Instant, StreamId)>,
    stuck: Vec<StreamId>,
    buffers: Buffers,
    stop: Option<Instant>,
}

impl Thread {
    fn run(mut self) {
        let mut events = Vec::with_capacity(EVENTS);
        let mut rest = None;
        loop {
            let now = Instant::now();
            self.retry(now);
            self.end_overdue(now);
            let timeout = self.timeout(Instant::now());
            events.clear();
            if let Some(rest) = rest.take() {
                std::thread::sleep(rest);
            }
            if let Err(why) = epoll::wait(&self.epoll, spare_capacity(&mut events), timeout.as_ref())
                && why != rustix::io::Errno::INTR
            {
                // EBADF and EINVAL, the only others (epoll_wait(2)), would be bugs of this program.
                tracing::error!("cannot wait for pipes: {why}");
                return;
            }
            let now = Instant::now();
            let mut largest = 0;
            for event in &events {
                match event.data.u64() {
                    COMMAND => self.obey(now),
                    id => largest = largest.max(self.turn(StreamId(id), now)),
                }
            }
            if self.stop.is_some() {
                self.stop_all();
                return;
            }
            rest = (1..SMALL).contains(&largest).then_some(REST);
        }
    }

    fn report(&self, report: Report) {
        // Nobody listens any more when the daemon is about to end.
        if self.reports.send(report).is_ok() {
            ring(&self.reported);
        }
    }

    fn timeout(&self, now: Instant) -> Option<Timespec> {
        let retry = self.stuck.iter().filter_map(|id| self.streams.get(id)?.retry_at()).min();
        let overdue = self.ending.front().map(|(deadline, _)| *deadline);
        let next = [retry, overdue].into_iter().flatten().min()?;
        next.saturating_duration_since(now).try_into().ok()
    }

    fn obey(&mut self, now: Instant) {
        quiet(&self.wake);
        // Opening a log reads its directory: once for all that are opened now, not once for each of thousands.
        let mut listings = Listings::new();
        while let Ok(command) = self.commands.try_recv() {
            match command {
                Command::Open(id, key, request) => match self.open(id, &key, &request, &mut listings, now) {
                    Ok(fifo) => self.report(Report::Opened(id, fifo)),
                    Err(refusal) => self.report(Report::Refused(id, refusal)),
                },
                Command::Adjust(id, request) => {
                    if let Some(stream) = self.streams.get_mut(&id)
                        && let Err(why) = stream.set(&request)
                    {
                        tracing::warn!("{}: {why}", stream.key());
                    }
                }
                Command::End(id, patience) => self.end(id, patience, now),
                Command::Reopen => {
                    for stream in self.streams.values_mut() {
                        if let Err(why) = stream.reopen(&mut listings) {
                            tracing::warn!("{}: cannot open its file again: {why}", stream.key());
                        }
                    }
                }
                Command::Stop(deadline) => self.stop = Some(deadline),
            }
        }
    }

    fn open(
        &mut self,
        id: StreamId,
        key: &EntryKey,
        request: &Request,
        listings: &mut Listings,
        now: Instant,
    ) -> Result<FifoId, Refusal> {
        let refuse = |code, node: &str, why: String| Refusal::new(code, format!("{}: {why}", key.node(node)));
        let located = pipe::locate(&self.places.run, &request.pipe)
            .map_err(|why| refuse(Code::PipeOpen, "pipe", why.to_string()))?;
        let bounds = Bounds { limit: request.limit, copies: request.copies };
        let log = self
            .root()
            .and_then(|root| root.entry(request.file.relative()))
            .and_then(|(dir, name)| LogFile::open_with(&dir, &name, bounds, listings))
            .map_err(|why| refuse(Code::FileOpen, "file", why.to_string()))?;
        let fifo = located.id();
        let pipe = located.open().map_err(|why| refuse(Code::PipeOpen, "pipe", why.to_string()))?;
        let data = epoll::EventData::new_u64(id.0);
        epoll::add(&self.epoll, &pipe, data, epoll::EventFlags::IN)
            .map_err(|why| refuse(Code::PipeOpen, "pipe", format!("cannot wait for it: {why}")))?;
        self.streams.insert(id, Box::new(Stream::new(key.clone(), pipe, fifo, log, request, now)));
        Ok(fifo)
    }

    /// The log directory, opened again when its path leads elsewhere by now.
    fn root(&mut self) -> Result<&Root, logfile::Error> {
        let root = match self.root.take().filter(Root::is_current) {
            Some(root) => root,
            None => Root::open(self.places.log.path())?,
        };
        Ok(self.root.insert(root))
    }

    /// One log's turn: what its pipe holds, up to one chunk. Answers with the bytes that moved.
    fn turn(&mut self, id: StreamId, now: Instant) -> usize {
        let Some(stream) = self.streams.get_mut(&id) else { return 0 };
        let turn = stream.turn(&mut self.buffers, now);
        match turn {
            Turn::Moved(bytes) => {
                if self.parked.remove(&id) {
                    self.watch(id, epoll::EventFlags::IN);
                }
                return bytes;
            }
            Turn::Empty => {}
            Turn::Ended => {
                if self.ending.iter().any(|(_, ending)| *ending == id) {
                    self.close(id, true);
                } else if self.parked.insert(id) {
                    self.watch(id, epoll::EventFlags::IN | epoll::EventFlags::ET);
                }
            }
            Turn::Stuck => {
                if !self.stuck.contains(&id) {
                    self.stuck.push(id);
                    // When it is well again it waits anew, and not as a parked one.
                    self.parked.remove(&id);
                    let _ = epoll::delete(&self.epoll, stream.pipe());
                }
            }
        }
        0
    }

    fn watch(&self, id: StreamId, flags: epoll::EventFlags) {
        if let Some(stream) = self.streams.get(&id) {
            // A stream is registered as long as it is not stuck; changing that needs no memory (epoll_ctl(2)).
            let _ = epoll::modify(&self.epoll, stream.pipe(), epoll::EventData::new_u64(id.0), flags);
        }
    }

    fn retry(&mut self, now: Instant) {
        for id in std::mem::take(&mut self.stuck) {
            let Some(stream) = self.streams.get_mut(&id) else { continue };
            let well = stream.retry_at().is_none_or(|at| at <= now) && stream.retry(&mut self.buffers, now);
            let data = epoll::EventData::new_u64(id.0);
            if !well || epoll::add(&self.epoll, stream.pipe(), data, epoll::EventFlags::IN).is_err() {
                self.stuck.push(id);
            }
        }
    }

    fn end(&mut self, id: StreamId, patience: Patience, now: Instant) {
        if !self.streams.contains_key(&id) {
            // It was never opened, or has ended already.
            return self.report(Report::Ended(id));
        }
        self.ending.retain(|(_, ending)| *ending != id);
        let deadline = match patience {
            Patience::None | Patience::Handover => {
                self.empty(id, now);
                return self.close(id, patience == Patience::None);
            }
            Patience::Drain => now + self.places.drain,
            // Thirty years: as good as endless, and Instant cannot overflow.
            Patience::Endless => now + Duration::from_secs(1 << 30),
        };
        let at = self.ending.partition_point(|(other, _)| *other <= deadline);
        self.ending.insert(at, (deadline, id));
        // A pipe that never had a writer tells nothing to epoll: see for ourselves.
        self.turn(id, now);
    }

    fn end_overdue(&mut self, now: Instant) {
        while let Some((deadline, id)) = self.ending.front().copied()
            && deadline <= now
        {
            self.ending.pop_front();
            self.empty(id, now);
            // One that is stuck says more when it gives up.
            if let Some(stream) = self.streams.get(&id).filter(|stream| stream.retry_at().is_none()) {
                tracing::warn!("{}: closed while something still has its pipe open", stream.key());
            }
            self.close(id, true);
        }
    }

    /// Writes what the pipe holds now. A writer that goes on meanwhile does not prolong it.
    fn empty(&mut self, id: StreamId, now: Instant) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let mut there = rustix::io::ioctl_fionread(stream.pipe()).unwrap_or(0);
        while there > 0 {
            match stream.turn(&mut self.buffers, now) {
                Turn::Moved(bytes) => there = there.saturating_sub(bytes as u64),
                _ => break,
            }
        }
    }

    fn close(&mut self, id: StreamId, unlink: bool) {
        let Some(mut stream) = self.streams.remove(&id) else { return };
        stream.give_up(&mut self.buffers);
        self.ending.retain(|(_, ending)| *ending != id);
        self.stuck.retain(|stuck| *stuck != id);
        self.parked.remove(&id);
        if unlink {
            pipe::unlink(&self.places.run, &stream.pipe_path, stream.fifo);
        }
        drop(stream);
        self.report(Report::Ended(id));
    }

    fn stop_all(&mut self) {
        let deadline = self.stop.unwrap_or_else(Instant::now);
        for id in self.streams.keys().copied().collect::<Vec<_>>() {
            let now = Instant::now();
            if now >= deadline {
                break;
            }
            self.empty(id, now);
        }
        for stream in self.streams.values_mut() {
            stream.give_up(&mut self.buffers);
        }
        self.streams.clear();
        self.report(Report::Stopped);
    }
}
