//! What the writer's thread does, round by round.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use logfile::Bounds;
use logproto::{Code, Refusal, Request};
use rustix::buffer::spare_capacity;
use rustix::event::{PollFd, PollFlags, Timespec, epoll, poll};
use rustix::io::Errno;

use super::rest::{Rest, WHOLE};
use super::{Command, Line, Places, Report, quiet, ring};
use crate::book::Book;
use crate::file::{File, LogDirs};
use crate::hand::Hand;
use crate::key::LogKey;
use crate::logs::{Patience, StreamId};
use crate::pipe;
use crate::source::Source;
use crate::stream::{Desk, Stream, Turn};

/// How soon a pipe is tried again that could not be waited for.
const LISTEN_AGAIN: Duration = Duration::from_secs(1);
const AT_ONCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };
/// Events of one round: few rests, where thousands have something.
pub(super) const EVENTS: usize = 1024;
/// Commands of one round: to open a log takes some 0.1 ms, and a writer must not be late for that.
const COMMANDS: usize = 32;
/// Empty hands that are kept ready: one is at work, and one takes its place when that gets stuck with its file.
const HANDS_READY: usize = 2;
const HANDS_MOST: usize = 8;
/// The event loop's words for a command and for the daemon's own logs; streams have theirs.
const COMMAND: u64 = u64::MAX;
pub(super) const OWN: u64 = u64::MAX - 1;

/// What runs in the thread.
#[derive(Debug)]
pub struct Thread {
    pub(super) epoll: OwnedFd,
    /// The pipes of the daemon's own logs, as one of those that the event loop waits for; and until when it does not.
    pub(super) own: OwnedFd,
    pub(super) own_rest: Option<Instant>,
    pub(super) line: Line,
    pub(super) places: Places,
    pub(super) desk: Desk,
    book: Arc<Book>,
    pub(super) kept: bool,
    /// Hands that were asked for and have not come yet.
    hands_wanted: usize,
    /// Commands that have to wait for a hand.
    pub(super) put_off: VecDeque<Command>,
    /// Boxed: a third of a tree's places is empty.
    pub(super) streams: BTreeMap<StreamId, Box<Stream>>,
    /// Streams that are open and must not be read yet, and how they are to end if that was asked meanwhile. What was taken from a
    /// pipe that nobody keeps would be lost with this process.
    pub(super) unread: BTreeMap<StreamId, Option<Patience>>,
    /// Streams that nobody has open for writing. EPOLLHUP would be told for ever, so they wait edge-triggered.
    pub(super) parked: HashSet<StreamId>,
    /// Streams whose entries are gone, and until when they read on; the earliest first.
    pub(super) ending: VecDeque<(Instant, StreamId)>,
    pub(super) stuck: Vec<StreamId>,
    /// Logs that have had their share, and until when.
    pub(super) paused: Vec<(Instant, StreamId)>,
    pub(super) stop: Option<Instant>,
    rest: Rest,
}

impl Thread {
    /// A thread that serves no log yet.
    pub(super) fn new(places: Places, book: Arc<Book>, kept: bool, line: Line) -> std::io::Result<Thread> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, &line.wake, epoll::EventData::new_u64(COMMAND), epoll::EventFlags::IN)?;
        let own = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, &own, epoll::EventData::new_u64(OWN), epoll::EventFlags::IN)?;
        Ok(Thread {
            epoll,
            own,
            own_rest: None,
            line,
            desk: Desk::new(LogDirs::new(&places.log, places.console.as_ref()))?,
            places,
            book,
            kept,
            hands_wanted: 0,
            put_off: VecDeque::new(),
            streams: BTreeMap::new(),
            unread: BTreeMap::new(),
            parked: HashSet::new(),
            ending: VecDeque::new(),
            stuck: Vec::new(),
            paused: Vec::new(),
            stop: None,
            rest: Rest::new(),
        })
    }

    pub(super) fn run(mut self) {
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
            self.line.pulse.begin(now);
            self.retry(now);
            self.line.pulse.end();
        }
        let is_due = !(self.ending.is_empty() && self.paused.is_empty() && self.put_off.is_empty());
        if is_due && !self.desk.hands.is_empty() {
            self.line.pulse.begin(now);
            self.obey(now);
            self.resume_paused(now);
            self.end_overdue(now);
            self.line.pulse.end();
        }
        self.count_hands();
        let timeout = most.or_else(|| self.timeout(clock()));
        events.clear();
        if self.desk.hands.is_empty() {
            // Nothing can be taken: it is waited for a command that brings one, and logs that hold one are tried. Whoever writes
            // must not wait as long: this is a round that may not end.
            self.line.pulse.begin(now);
            // Whatever it answers, what has come is seen.
            let _ = poll(&mut [PollFd::new(&self.line.wake, PollFlags::IN)], timeout.as_ref());
            events.push(epoll::Event { flags: epoll::EventFlags::IN, data: epoll::EventData::new_u64(COMMAND) });
        } else if let Err(why) = self.wait(now, &clock, most.is_none(), timeout, events) {
            // EBADF and EINVAL, the only others (epoll_wait(2)), would be bugs of this program.
            tracing::error!("cannot wait for pipes: {why}");
            return false;
        }
        let now = clock();
        self.line.pulse.begin(now);
        self.desk.careful = !self.stuck.is_empty();
        if self.own_rest.is_some_and(|until| until <= now) {
            if self.desk.hands.is_empty() {
                // They wait with all others.
                self.rest_own(None);
            } else {
                self.turn_own(now, most.is_none());
            }
        }
        let mut fullest = 0;
        for event in &*events {
            match event.data.u64() {
                COMMAND => self.obey(now),
                OWN => self.turn_own(now, most.is_none()),
                id => fullest = fullest.max(self.turn(StreamId(id), now)),
            }
        }
        if self.stop.is_some() {
            self.stop_all();
            return false;
        }
        self.line.pulse.end();
        self.rest.after(fullest);
        true
    }

    /// Waits until something happens. While rounds follow one another it is first looked whether it has happened already, and the
    /// alarm stays set, which saves two system calls a round.
    fn wait(
        &mut self,
        begin: Instant,
        clock: impl Fn() -> Instant,
        rests: bool,
        timeout: Option<Timespec>,
        events: &mut Vec<epoll::Event>,
    ) -> Result<(), Errno> {
        let rest = self.rest.take().filter(|_| rests);
        if !self.rest.expects_more() {
            self.line.pulse.pause();
        }
        if let Some(rest) = rest {
            std::thread::sleep(rest);
            if self.rest.expects_more() {
                wait_for(&self.epoll, events, Some(&AT_ONCE))?;
                if events.is_empty() {
                    self.line.pulse.pause();
                }
            }
        }
        if events.is_empty() {
            wait_for(&self.epoll, events, timeout.as_ref())?;
        }
        self.rest.waited(clock().duration_since(begin).saturating_sub(rest.unwrap_or_default()));
        Ok(())
    }

    fn timeout(&self, now: Instant) -> Option<Timespec> {
        let retry = self.stuck.iter().filter_map(|id| self.streams.get(id)?.retry_at()).min();
        let overdue = self.ending.front().map(|(deadline, _)| *deadline);
        let paused = self.paused.iter().map(|(until, _)| *until).min();
        // Without a hand they have to wait.
        let [overdue, paused] = [overdue, paused].map(|at| at.filter(|_| !self.desk.hands.is_empty()));
        let next = [retry, overdue, paused, self.own_rest].into_iter().flatten().min()?;
        next.saturating_duration_since(now).try_into().ok()
    }

    /// The next command that can be obeyed. Without a hand that is only one that brings a hand, or the end.
    fn command(&mut self) -> Option<Command> {
        let has_hand = !self.desk.hands.is_empty();
        if let Some(command) = self.put_off.pop_front_if(|_| has_hand) {
            return Some(command);
        }
        loop {
            let command = self.line.commands.try_recv().ok()?;
            if has_hand || matches!(command, Command::Hand(_) | Command::Stop(_)) {
                return Some(command);
            }
            self.put_off.push_back(command);
        }
    }

    /// Some of what was told: pipes have their turns between thousands of logs that are opened.
    fn obey(&mut self, now: Instant) {
        quiet(&self.line.wake);
        self.desk.dirs.begin_many();
        for told in 0.. {
            if told == COMMANDS {
                return ring(&self.line.wake);
            }
            let Some(command) = self.command() else { break };
            match command {
                Command::Open(id, key, request, account) => match self.open(id, &key, &request, account, now) {
                    Ok(source) => self.line.report(Report::Opened(id, source)),
                    Err(refusal) => self.line.report(Report::Refused(id, refusal)),
                },
                Command::Begin(id) => self.begin(id, now),
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
        self.desk.dirs.end_many();
    }

    fn open(
        &mut self,
        id: StreamId,
        key: &LogKey,
        request: &Request,
        account: u32,
        now: Instant,
    ) -> Result<Arc<Source>, Refusal> {
        let refuse = |code, node: &str, why: String| Refusal::new(code, format!("{}: {why}", key.node(node)));
        let located = pipe::locate(&self.places.run, &request.pipe)
            .map_err(|why| refuse(Code::PipeOpen, "pipe", why.to_string()))?;
        let file = File::open(request.file.clone(), bounds(request), self.desk.dirs.of(key), now)
            .map_err(|why| refuse(Code::FileOpen, "file", why.to_string()))?;
        let fifo = located.id();
        let pipe = located.open().map_err(|why| refuse(Code::PipeOpen, "pipe", why.to_string()))?;
        // It waits for nothing yet: to hear once that there is no writer cannot be helped.
        epoll::add(self.epoll_of(key), &pipe, epoll::EventData::new_u64(id.0), epoll::EventFlags::ET)
            .map_err(|why| refuse(Code::PipeOpen, "pipe", format!("cannot wait for it: {why}")))?;
        let source = Arc::new(Source::new(pipe, fifo, request.policy, id, Arc::clone(&self.book), account));
        source.set_rate(self.places.rate, now);
        self.streams.insert(id, Box::new(Stream::new(id, key.clone(), Arc::clone(&source), request, file)));
        self.unread.insert(id, None);
        Ok(source)
    }

    fn begin(&mut self, id: StreamId, now: Instant) {
        let Some(end) = self.unread.remove(&id) else { return };
        self.watch(id, epoll::EventFlags::IN);
        if let Some(patience) = end {
            self.end(id, patience, now);
        }
    }

    fn resume(
        &mut self,
        id: StreamId,
        key: LogKey,
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
            return self.line.report(Report::Stuck(id));
        }
        self.streams.insert(id, stream);
        self.listen(id, now);
    }

    /// Keeps some empty hands ready, and not too many.
    fn count_hands(&mut self) {
        while self.desk.hands.len() + self.hands_wanted < HANDS_READY {
            self.hands_wanted += 1;
            self.line.report(Report::WantsHand);
        }
        while self.desk.hands.len() > HANDS_MOST
            && let Some(hand) = self.desk.hands.pop()
        {
            self.line.report(Report::HandBack(hand));
        }
    }

    /// One log's turn: what its pipe holds, up to one chunk. Answers with the share of the pipe's room that it was, see [`WHOLE`].
    pub(super) fn turn(&mut self, id: StreamId, now: Instant) -> u32 {
        let Some(stream) = self.streams.get_mut(&id).filter(|_| !self.unread.contains_key(&id)) else { return 0 };
        let turn = stream.turn(&mut self.desk, now);
        match turn {
            Turn::Moved { bytes, is_most } => {
                let share = if is_most { WHOLE } else { stream.share(bytes) };
                if self.parked.remove(&id) {
                    self.watch(id, epoll::EventFlags::IN);
                }
                return share;
            }
            Turn::Empty => {}
            // As soon as there is one: what woke it up may have been heard for the last time (a parked one, a gap to be told).
            Turn::EmptyHanded => self.put_off.push_back(Command::Mark(id)),
            Turn::Ended => {
                if self.ending.iter().any(|(_, ending)| *ending == id) {
                    self.close(id, true);
                } else if self.parked.insert(id) {
                    self.watch(id, epoll::EventFlags::IN | epoll::EventFlags::ET);
                }
            }
            Turn::Paused(until, why) => {
                // Whoever may drop is relieved by the main thread meanwhile, who wants to wait waits.
                stream.source().set_trouble(Some(why));
                self.paused.push((until, id));
                self.parked.remove(&id);
                self.ignore(id);
                self.line.report(Report::Stuck(id));
            }
            Turn::Stuck => {
                if !self.stuck.contains(&id) {
                    self.stuck.push(id);
                    self.desk.careful = true;
                    // When it is well again it waits anew, and not as a parked one.
                    self.parked.remove(&id);
                    self.ignore(id);
                    self.line.report(Report::Stuck(id));
                }
            }
        }
        0
    }

    fn watch(&self, id: StreamId, flags: epoll::EventFlags) {
        if let Some(stream) = self.streams.get(&id) {
            // A stream is registered as long as it is not stuck; changing that needs no memory (epoll_ctl(2)).
            let data = epoll::EventData::new_u64(id.0);
            let _ = epoll::modify(self.epoll_of(stream.key()), stream.source().pipe(), data, flags);
        }
    }

    fn retry(&mut self, now: Instant) {
        for id in std::mem::take(&mut self.stuck) {
            let Some(stream) = self.streams.get_mut(&id) else { continue };
            if stream.retry_at().is_none_or(|at| at <= now) && stream.retry(&mut self.desk, now) {
                self.listen(id, now);
            } else {
                self.stuck.push(id);
            }
        }
    }

    fn resume_paused(&mut self, now: Instant) {
        let due: Vec<(Instant, StreamId)> = self.paused.extract_if(.., |(until, _)| *until <= now).collect();
        for (_, id) in due {
            if let Some(stream) = self.streams.get(&id) {
                stream.source().set_trouble(None);
                self.listen(id, now);
            }
        }
    }

    /// Listens to a pipe that was not listened to.
    fn listen(&mut self, id: StreamId, now: Instant) {
        let Some(stream) = self.streams.get(&id) else { return };
        let data = epoll::EventData::new_u64(id.0);
        if let Err(why) = epoll::add(self.epoll_of(stream.key()), stream.source().pipe(), data, epoll::EventFlags::IN) {
            // For want of memory, or of watches (epoll_ctl(2)). Whoever may drop is relieved meanwhile.
            tracing::warn!("{}: cannot wait for its pipe: {why}; trying again", stream.key());
            stream.source().set_trouble(Some("its pipe cannot be waited for"));
            self.paused.push((now + LISTEN_AGAIN, id));
            return self.line.report(Report::Stuck(id));
        }
        self.line.report(Report::Well(id));
        // What was dropped meanwhile is told at once, also where nothing follows it.
        self.turn(id, now);
    }
}

fn wait_for(epoll: &OwnedFd, events: &mut Vec<epoll::Event>, timeout: Option<&Timespec>) -> Result<(), Errno> {
    match epoll::wait(epoll, spare_capacity(events), timeout) {
        Err(Errno::INTR) => Ok(()),
        waited => waited.map(drop),
    }
}

fn bounds(request: &Request) -> Bounds {
    Bounds { limit: request.limit, copies: request.copies }
}
