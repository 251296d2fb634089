//! The writer: one thread that moves bytes from the pipes of all its logs into their files. It is the only one that touches
//! log files, so when a disk stands still, only this thread does.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use logfile::Bounds;
use logproto::{Code, EntryKey, Refusal, Request, RootPath};
use rustix::buffer::spare_capacity;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, epoll, eventfd, poll};

use crate::book::Book;
use crate::budget::Rate;
use crate::file::{File, LogDir};
use crate::hand::Hand;
use crate::logs::{Patience, StreamId};
use crate::pipe;
use crate::pulse::Pulse;
use crate::source::Source;
use crate::stream::{Desk, Stream, Turn};

/// A round in which no log had more than that is followed by a short rest: lines written one by one then come in bunches,
/// which costs a quarter of the CPU (measured at one line a write), and the first line after a silence is not delayed.
const SMALL: usize = 16 << 10;
const REST: Duration = Duration::from_micros(300);
/// Events of one round.
const EVENTS: usize = 256;
/// What is said of a gap that a log made itself.
const OVER_BUDGET: &str = "over its budget";
/// Empty hands that are kept ready: one is at work, and one takes its place when that gets stuck with its file.
const HANDS_READY: usize = 2;
const HANDS_MOST: usize = 8;
/// The event loop's word for a command; streams have theirs.
const COMMAND: u64 = u64::MAX;

/// What the writer is told.
#[derive(Debug)]
pub enum Command {
    /// Open a log, with this account in the book; answered with [`Report::Opened`] or [`Report::Refused`].
    Open(StreamId, EntryKey, Request, u32),
    /// Serve a log that an earlier daemon served, and first write what that had in hand.
    Resume(StreamId, EntryKey, Request, Arc<Source>, Option<Hand>),
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
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, &wake, epoll::EventData::new_u64(COMMAND), epoll::EventFlags::IN)?;
        let thread = Thread {
            epoll,
            wake: Arc::clone(&wake),
            commands: received,
            reports,
            reported: Arc::clone(&reported),
            pulse: Arc::clone(&pulse),
            desk: Desk::new(LogDir::new(&places.log))?,
            places,
            book,
            kept,
            hands_wanted: 0,
            put_off: VecDeque::new(),
            streams: BTreeMap::new(),
            parked: HashSet::new(),
            ending: VecDeque::new(),
            stuck: Vec::new(),
            paused: Vec::new(),
            stop: None,
            rest: None,
        };
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

fn bounds(request: &Request) -> Bounds {
    Bounds { limit: request.limit, copies: request.copies }
}

fn ring(fd: &OwnedFd) {
    // It fails only when the count is near 2^64: then it rings anyway.
    let _ = rustix::io::write(fd, &1u64.to_ne_bytes());
}

fn quiet(fd: &OwnedFd) {
    // EAGAIN: it did not ring.
    let _ = rustix::io::read(fd, &mut [0; 8]);
}

/// What runs in the thread.
#[derive(Debug)]
pub struct Thread {
    epoll: OwnedFd,
    wake: Arc<OwnedFd>,
    commands: Receiver<Command>,
    reports: Sender<Report>,
    reported: Arc<OwnedFd>,
    pulse: Arc<Pulse>,
    places: Places,
    desk: Desk,
    book: Arc<Book>,
    kept: bool,
    /// Hands that were asked for and have not come yet.
    hands_wanted: usize,
    /// Commands that have to wait for a hand.
    put_off: VecDeque<Command>,
    /// Boxed: a third of a tree's places is empty.
    streams: BTreeMap<StreamId, Box<Stream>>,
    /// Streams that nobody has open for writing. EPOLLHUP would be told for ever, so they wait edge-triggered.
    parked: HashSet<StreamId>,
    /// Streams whose entries are gone, and until when they read on; the earliest first.
    ending: VecDeque<(Instant, StreamId)>,
    stuck: Vec<StreamId>,
    /// Logs that have had their share, and until when.
    paused: Vec<(Instant, StreamId)>,
    stop: Option<Instant>,
    /// To be had before the next round.
    rest: Option<Duration>,
}

impl Thread {
    fn run(mut self) {
        let mut events = Vec::with_capacity(EVENTS);
        while self.round(Instant::now, None, &mut events) {}
    }

    /// Does what is due, waits until something happens, at most so long if that is given, and sees to it. False when it is over.
    /// `events` is room for what happened.
    pub fn round(
        &mut self,
        clock: impl Fn() -> Instant,
        most: Option<Timespec>,
        events: &mut Vec<epoll::Event>,
    ) -> bool {
        let now = clock();
        if !self.stuck.is_empty() {
            self.pulse.begin(now);
            self.retry(now);
            self.pulse.end();
        }
        let is_due = !(self.ending.is_empty() && self.paused.is_empty() && self.put_off.is_empty());
        if is_due && !self.desk.hands.is_empty() {
            self.pulse.begin(now);
            self.obey(now);
            self.resume_paused(now);
            self.end_overdue(now);
            self.pulse.end();
        }
        self.count_hands();
        let timeout = most.or_else(|| self.timeout(clock()));
        events.clear();
        if self.desk.hands.is_empty() {
            // Nothing can be taken: it is waited for a command that brings one, and logs that hold one are tried.
            // Whatever it answers, what has come is seen.
            let _ = poll(&mut [PollFd::new(&self.wake, PollFlags::IN)], timeout.as_ref());
            events.push(epoll::Event { flags: epoll::EventFlags::IN, data: epoll::EventData::new_u64(COMMAND) });
        } else {
            if let Some(rest) = self.rest.take().filter(|_| most.is_none()) {
                std::thread::sleep(rest);
            }
            if let Err(why) = epoll::wait(&self.epoll, spare_capacity(events), timeout.as_ref())
                && why != rustix::io::Errno::INTR
            {
                // EBADF and EINVAL, the only others (epoll_wait(2)), would be bugs of this program.
                tracing::error!("cannot wait for pipes: {why}");
                return false;
            }
        }
        let now = clock();
        self.pulse.begin(now);
        self.desk.careful = !self.stuck.is_empty();
        let mut largest = 0;
        for event in &*events {
            match event.data.u64() {
                COMMAND => self.obey(now),
                id => largest = largest.max(self.turn(StreamId(id), now)),
            }
        }
        if self.stop.is_some() {
            self.stop_all();
            return false;
        }
        self.pulse.end();
        self.rest = (1..SMALL).contains(&largest).then_some(REST);
        true
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
        let paused = self.paused.iter().map(|(until, _)| *until).min();
        // Without a hand they have to wait.
        let [overdue, paused] = [overdue, paused].map(|at| at.filter(|_| !self.desk.hands.is_empty()));
        let next = [retry, overdue, paused].into_iter().flatten().min()?;
        next.saturating_duration_since(now).try_into().ok()
    }

    /// The next command that can be obeyed. Without a hand that is only one that brings a hand, or the end.
    fn command(&mut self) -> Option<Command> {
        let has_hand = !self.desk.hands.is_empty();
        if let Some(command) = self.put_off.pop_front_if(|_| has_hand) {
            return Some(command);
        }
        loop {
            let command = self.commands.try_recv().ok()?;
            if has_hand || matches!(command, Command::Hand(_) | Command::Stop(_)) {
                return Some(command);
            }
            self.put_off.push_back(command);
        }
    }

    fn obey(&mut self, now: Instant) {
        quiet(&self.wake);
        self.desk.dir.begin_many();
        while let Some(command) = self.command() {
            match command {
                Command::Open(id, key, request, account) => match self.open(id, &key, &request, account, now) {
                    Ok(source) => self.report(Report::Opened(id, source)),
                    Err(refusal) => self.report(Report::Refused(id, refusal)),
                },
                Command::Resume(id, key, request, source, hand) => self.resume(id, key, &request, source, hand, now),
                Command::Hand(hand) => {
                    self.hands_wanted = self.hands_wanted.saturating_sub(1);
                    self.desk.hands.push(hand);
                }
                Command::Adjust(id, request) => {
                    if let Some(stream) = self.streams.get_mut(&id)
                        && let Err(why) = stream.set(&request)
                    {
                        tracing::warn!("{}: {why}", stream.key());
                    }
                }
                Command::Mark(id) => {
                    self.turn(id, now);
                }
                Command::End(id, patience) => self.end(id, patience, now),
                Command::Reopen => {
                    for stream in self.streams.values_mut() {
                        if let Err(why) = stream.reopen(&mut self.desk) {
                            tracing::warn!("{}: cannot open its file again: {why}", stream.key());
                        }
                    }
                }
                Command::Stop(deadline) => self.stop = Some(deadline),
            }
        }
        self.desk.dir.end_many();
    }

    fn open(
        &mut self,
        id: StreamId,
        key: &EntryKey,
        request: &Request,
        account: u32,
        now: Instant,
    ) -> Result<Arc<Source>, Refusal> {
        let refuse = |code, node: &str, why: String| Refusal::new(code, format!("{}: {why}", key.node(node)));
        let located = pipe::locate(&self.places.run, &request.pipe)
            .map_err(|why| refuse(Code::PipeOpen, "pipe", why.to_string()))?;
        let file = File::open(request.file.clone(), bounds(request), &mut self.desk.dir, now)
            .map_err(|why| refuse(Code::FileOpen, "file", why.to_string()))?;
        let fifo = located.id();
        let pipe = located.open().map_err(|why| refuse(Code::PipeOpen, "pipe", why.to_string()))?;
        epoll::add(&self.epoll, &pipe, epoll::EventData::new_u64(id.0), epoll::EventFlags::IN)
            .map_err(|why| refuse(Code::PipeOpen, "pipe", format!("cannot wait for it: {why}")))?;
        let source = Arc::new(Source::new(pipe, fifo, request.policy, id, Arc::clone(&self.book), account));
        source.set_rate(self.places.rate, now);
        self.streams.insert(id, Box::new(Stream::new(id, key.clone(), Arc::clone(&source), request, file)));
        Ok(source)
    }

    fn resume(
        &mut self,
        id: StreamId,
        key: EntryKey,
        request: &Request,
        source: Arc<Source>,
        hand: Option<Hand>,
        now: Instant,
    ) {
        let file = File::later(request.file.clone(), bounds(request), now);
        source.set_rate(self.places.rate, now);
        let mut stream = Box::new(Stream::new(id, key, source, request, file));
        if let Some(hand) = hand {
            // Until that is written nothing more is taken.
            stream.recover(hand, now);
            self.stuck.push(id);
            self.streams.insert(id, stream);
            return;
        }
        let data = epoll::EventData::new_u64(id.0);
        if let Err(why) = epoll::add(&self.epoll, stream.source().pipe(), data, epoll::EventFlags::IN) {
            tracing::error!("{}: cannot wait for its pipe: {why}", stream.key());
        }
        self.streams.insert(id, stream);
        // Something may be missing that nothing follows.
        self.turn(id, now);
    }

    /// Keeps some empty hands ready, and not too many.
    fn count_hands(&mut self) {
        while self.desk.hands.len() + self.hands_wanted < HANDS_READY {
            self.hands_wanted += 1;
            self.report(Report::WantsHand);
        }
        while self.desk.hands.len() > HANDS_MOST
            && let Some(hand) = self.desk.hands.pop()
        {
            self.report(Report::HandBack(hand));
        }
    }

    /// One log's turn: what its pipe holds, up to one chunk. Answers with the bytes that moved.
    fn turn(&mut self, id: StreamId, now: Instant) -> usize {
        let Some(stream) = self.streams.get_mut(&id) else { return 0 };
        let turn = stream.turn(&mut self.desk, now);
        match turn {
            Turn::Moved(bytes) => {
                if self.parked.remove(&id) {
                    self.watch(id, epoll::EventFlags::IN);
                }
                return bytes;
            }
            // Without a hand: when there is one, what is in the pipe makes itself heard.
            Turn::Empty | Turn::EmptyHanded => {}
            Turn::Ended => {
                if self.ending.iter().any(|(_, ending)| *ending == id) {
                    self.close(id, true);
                } else if self.parked.insert(id) {
                    self.watch(id, epoll::EventFlags::IN | epoll::EventFlags::ET);
                }
            }
            Turn::Paused(until) => {
                // Whoever may drop is relieved by the main thread meanwhile, who wants to wait waits.
                stream.source().set_trouble(Some(OVER_BUDGET));
                self.paused.push((until, id));
                self.parked.remove(&id);
                let _ = epoll::delete(&self.epoll, stream.source().pipe());
                self.report(Report::Stuck(id));
            }
            Turn::Stuck => {
                if !self.stuck.contains(&id) {
                    self.stuck.push(id);
                    self.desk.careful = true;
                    // When it is well again it waits anew, and not as a parked one.
                    self.parked.remove(&id);
                    let _ = epoll::delete(&self.epoll, stream.source().pipe());
                    self.report(Report::Stuck(id));
                }
            }
        }
        0
    }

    fn watch(&self, id: StreamId, flags: epoll::EventFlags) {
        if let Some(stream) = self.streams.get(&id) {
            // A stream is registered as long as it is not stuck; changing that needs no memory (epoll_ctl(2)).
            let _ = epoll::modify(&self.epoll, stream.source().pipe(), epoll::EventData::new_u64(id.0), flags);
        }
    }

    fn retry(&mut self, now: Instant) {
        for id in std::mem::take(&mut self.stuck) {
            let Some(stream) = self.streams.get_mut(&id) else { continue };
            let well = stream.retry_at().is_none_or(|at| at <= now) && stream.retry(&mut self.desk, now);
            let data = epoll::EventData::new_u64(id.0);
            if !well || epoll::add(&self.epoll, stream.source().pipe(), data, epoll::EventFlags::IN).is_err() {
                self.stuck.push(id);
                continue;
            }
            self.report(Report::Well(id));
            // What was dropped meanwhile is told at once, also where nothing follows it.
            self.turn(id, now);
        }
    }

    fn resume_paused(&mut self, now: Instant) {
        let due: Vec<(Instant, StreamId)> = self.paused.extract_if(.., |(until, _)| *until <= now).collect();
        for (_, id) in due {
            let Some(stream) = self.streams.get(&id) else { continue };
            stream.source().set_trouble(None);
            let data = epoll::EventData::new_u64(id.0);
            if epoll::add(&self.epoll, stream.source().pipe(), data, epoll::EventFlags::IN).is_err() {
                // For want of memory: tried again.
                self.paused.push((now + REST, id));
                continue;
            }
            self.report(Report::Well(id));
            self.turn(id, now);
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
        // The last of it is no more than a pipe holds, and nobody could count it later.
        stream.source().set_rate(Rate { bytes: 0, burst: 0 }, now);
        let mut there = stream.source().waiting();
        while there > 0 {
            match stream.turn(&mut self.desk, now) {
                Turn::Moved(bytes) => there = there.saturating_sub(bytes as u64),
                _ => break,
            }
        }
    }

    fn close(&mut self, id: StreamId, unlink: bool) {
        let Some(mut stream) = self.streams.remove(&id) else { return };
        self.desk.hands.extend(stream.give_up());
        self.ending.retain(|(_, ending)| *ending != id);
        self.stuck.retain(|stuck| *stuck != id);
        self.paused.retain(|(_, paused)| *paused != id);
        self.parked.remove(&id);
        if unlink && stream.source().is_served() {
            pipe::unlink(&self.places.run, stream.pipe_path(), stream.source().fifo());
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
        // What is in hand stays there for the next daemon, if somebody keeps it.
        if !self.kept {
            for stream in self.streams.values_mut() {
                stream.give_up();
            }
        }
        self.streams.clear();
        self.report(Report::Stopped);
    }
}
