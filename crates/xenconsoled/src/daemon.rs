//! The main loop: the store, the writer's reports and signals. It never touches a log file and never waits for one.

mod consoles;
mod summary;

use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use logproto::{Change, Code, EntryKey, Owner, Refusal, Request};
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::consoles::hypervisor::Hypervisor;
use crate::consoles::{Consoles, ConsolesError};
use crate::inlets::Inlets;
use crate::kept::{Kept, Legacy, Resumed, Safe};
use crate::key::{LogKey, Own};
use crate::lock::{Lock, LockError};
use crate::logs::{Action, Logs, Seen, StreamId};
use crate::notify::Notify;
use crate::pipe;
use crate::relief::Relief;
use crate::roll::Line;
use crate::settings::Settings;
use crate::stale::Stale;
use crate::status::{self, HypervisorStatus, Status};
use crate::store::{Finding, Store};
use crate::waiting::Waiting;
use crate::writer::{Command, Report};
use crate::writers::{WriterId, Writers};
use summary::Summary;

/// How long a stop may take: pipes are emptied that long, and the goodbye waits that long for the store.
const STOP: Duration = Duration::from_secs(5);

/// How soon a pipe is tried to be made again.
const OWED: Duration = Duration::from_millis(100);
/// Findings, reports and actions of one round: some ms of work at most.
const ROUND: usize = 64;
/// How soon the keeper is tried again that did not take what it was told.
const KEEPER_FULL: Duration = Duration::from_millis(5);
/// So long after the last finding the store counts as settled. For thousands of entries there were thousands of events and replies
/// in memory for a moment: giving that back leaves three quarters of it.
const SETTLED: Duration = Duration::from_secs(1);

/// Events of one round.
const EVENTS: usize = 64;

const STORE: u64 = 0;
const WRITERS: u64 = 1;
const LEAVE: u64 = 2;
const REOPEN: u64 = 3;
const STATUS: u64 = 4;

/// Why the daemon ended without being told to.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The store's addresses or the watch make no sense.
    #[error("{0}")]
    Store(#[from] xenstore::Error),
    /// Another daemon has the run directory, or it cannot be used.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// Guests' consoles cannot be served.
    #[error("guests' consoles cannot be served: {0} (where there is no Xen, --no-hypervisor serves logs only)")]
    Consoles(#[from] ConsolesError),
    /// Event channels are no more: a new process may have better luck.
    #[error("the handle of all event channels is broken: {0}")]
    Events(std::io::Error),
    /// What is to outlive the daemon cannot be kept in the run directory.
    #[error("{run}: cannot keep account there: {why}")]
    Keep {
        /// The run directory.
        run: String,
        /// The system's answer.
        why: std::io::Error,
    },
    /// Nobody could ask how the logs are.
    #[error("{path}: cannot listen there for those who ask how the logs are: {why}")]
    Status {
        /// The socket.
        path: String,
        /// The system's answer.
        why: std::io::Error,
    },
    /// The system refuses what no daemon can do without.
    #[error("cannot {what}: {why}")]
    System {
        /// What was tried.
        what: &'static str,
        /// Its answer.
        why: std::io::Error,
    },
}

fn system<E: Into<std::io::Error>>(what: &'static str) -> impl FnOnce(E) -> DaemonError {
    move |why| DaemonError::System { what, why: why.into() }
}

/// The daemon while it runs.
pub struct Daemon {
    epoll: Arc<OwnedFd>,
    store: Store,
    waiting: Waiting,
    logs: Logs,
    inlets: Inlets,
    consoles: Option<Consoles>,
    hypervisor: Option<Hypervisor>,
    writers: Writers,
    relief: Relief,
    kept: Kept,
    status: Status,
    summary: Summary,
    stale: Stale,
    /// Logs that are being opened: with which account, whose and for what.
    opening: HashMap<StreamId, (u32, LogKey, Request)>,
    leave: UnixStream,
    reopen: UnixStream,
    /// Writers that want a hand; none: the relief.
    owed: Vec<Option<WriterId>>,
    /// Whether the loss of the store has been reported.
    is_lost: bool,
    /// Held as long as the daemon serves this run directory.
    _lock: Lock,
    /// When memory that was needed for a moment is given back.
    give_back: Option<Instant>,
}

impl Daemon {
    /// Makes ready to serve, with what the keeper has kept for it.
    pub fn new(
        settings: Settings,
        notify: Option<Notify>,
        received: Vec<(String, OwnedFd)>,
    ) -> Result<Daemon, DaemonError> {
        let epoll = Arc::new(epoll::create(epoll::CreateFlags::CLOEXEC).map_err(system("create an event loop"))?);
        let leave = signals(&[SIGTERM, SIGINT]).map_err(system("catch signals"))?;
        let reopen = signals(&[SIGHUP]).map_err(system("catch signals"))?;
        let run = settings.rules.run.path();
        let lock = Lock::take(run)?;
        let is_apart = settings.places.console.is_some();
        let inlets = Inlets::new(settings.keeping, settings.rules.clone(), is_apart);
        let kept = Kept::open(&settings.rules, notify, received);
        let (mut kept, mut legacy) = kept.map_err(|why| DaemonError::Keep { run: run.display().to_string(), why })?;
        let writers = Writers::start(settings.places, Arc::clone(kept.book()), kept.is_kept());
        let writers = writers.map_err(system("start a writer"))?;
        let add = |fd: &dyn AsFd, token| {
            let data = epoll::EventData::new_u64(token);
            epoll::add(&*epoll, fd.as_fd(), data, epoll::EventFlags::IN).map_err(system("wait for events"))
        };
        add(&writers.fd(), WRITERS)?;
        add(&leave, LEAVE)?;
        add(&reopen, REOPEN)?;
        let relief = Relief::new().map_err(system("open /dev/null"))?;
        let store = Store::new(xenstore::Address::candidates(), settings.rules.run.clone())?;
        let socket = |why| DaemonError::Status { path: run.join(status::NAME).display().to_string(), why };
        let status = Status::open(run).map_err(socket)?;
        status.listen(&epoll, STATUS).map_err(system("wait for events"))?;
        let mut logs = Logs::new(settings.rules);
        if is_apart {
            logs.set_own_apart();
        }
        let kept_consoles = std::mem::take(&mut legacy.consoles);
        if settings.consoles.is_none() {
            // Nobody will serve them, and clients that hold on to them shall notice.
            kept_consoles.keys().for_each(|key| kept.forget_console(*key));
        }
        let consoles = settings.consoles.map(|consoles| {
            Consoles::new(consoles.manner, xenstore::Address::candidates(), Arc::clone(&epoll), kept_consoles)
        });
        let consoles = consoles.transpose()?;
        let (is_lost, opening, owed) = (false, HashMap::new(), vec![None]);
        let mut daemon = Daemon {
            epoll,
            store,
            waiting: Waiting::new(STORE),
            logs,
            inlets,
            consoles,
            hypervisor: None,
            writers,
            relief,
            kept,
            status,
            summary: Summary::default(),
            stale: Stale::new(Instant::now()),
            opening,
            leave,
            reopen,
            owed,
            is_lost,
            give_back: None,
            _lock: lock,
        };
        daemon.take_over(legacy);
        daemon.begin_consoles(settings.consoles);
        Ok(daemon)
    }

    /// Goes on with what the last daemon left.
    fn take_over(&mut self, legacy: Legacy) {
        let Legacy { logs, hands, next, .. } = legacy;
        // The first writers to ask get them.
        self.kept.add_spare(hands);
        if !logs.is_empty() {
            tracing::info!("going on with {} logs", logs.len());
        }
        self.logs.begin_at(next);
        for Resumed { id, line, source, hand } in logs {
            let Line { key, mut request, fifo, ending, .. } = line;
            if key.entry().is_none() {
                // Their directory may be another by now.
                request.file = self.inlets.place(&request.file);
            }
            self.logs.resume(id, key.clone(), request.clone(), fifo, ending.is_some());
            self.relief.add(id, Arc::clone(&source));
            self.writers.resume(id, key, request, source, hand);
            if let Some(patience) = ending {
                self.writers.tell(id, Command::End(id, patience));
            }
        }
    }

    /// Serves until it is told to leave.
    pub fn run(mut self) -> Result<(), DaemonError> {
        let mut events = Vec::with_capacity(EVENTS);
        if let Some(notify) = self.kept.notify() {
            notify.ready();
        }
        // When all is looked after again, whatever happens until then.
        let mut due = Instant::now();
        loop {
            let now = Instant::now();
            if self.guests_due().is_some_and(|at| at <= now) && !self.look_for_guests(now)? {
                due = now;
            }
            if self.consoles_due(due) <= now {
                due = self.round()?;
            }
            let next = self.guests_due().into_iter().fold(self.consoles_due(due), Instant::min);
            let wait = next.saturating_duration_since(Instant::now());
            let timeout: Option<Timespec> = wait.try_into().ok();
            events.clear();
            match epoll::wait(&*self.epoll, spare_capacity(&mut events), timeout.as_ref()) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(why) => return Err(system("wait for events")(why)),
            }
            for event in &events {
                let is_done = match event.data.u64() {
                    LEAVE => {
                        self.stop();
                        return Ok(());
                    }
                    WRITERS => {
                        self.writers.look();
                        false
                    }
                    STATUS => {
                        self.status.come();
                        false
                    }
                    REOPEN => {
                        empty(&self.reopen);
                        tracing::info!("opening all files again");
                        self.writers.tell_all(|| Command::Reopen);
                        self.reopen_consoles();
                        false
                    }
                    other => self.console_event(other, event.flags)?,
                };
                if !is_done {
                    due = Instant::now();
                }
            }
        }
    }

    /// Looks after all that there is. Answers with when it has to be done again even if nothing happens.
    fn round(&mut self) -> Result<Instant, DaemonError> {
        let now = Instant::now();
        let more = (!self.work(now)).then_some(Duration::ZERO);
        self.wait_for_store()?;
        let now = Instant::now();
        let consoles = self.serve_consoles(now);
        let relief = self.relieve(now).map(|at| at.saturating_duration_since(now));
        let keeper = self.tell_keeper(now);
        let until = |at: Instant| at.saturating_duration_since(Instant::now());
        let [store, give_back] = [self.store.deadline(), self.give_back].map(|at| at.map(until));
        let status = self.answer_status(now);
        let stale = self.remove_stale(now);
        let owed = (!self.owed.is_empty()).then_some(OWED);
        let others = [more, relief, keeper, status, owed, store, give_back, consoles];
        Ok(Instant::now() + others.into_iter().flatten().fold(stale, Duration::min))
    }

    /// Does some of what can be done now: so little that full pipes are looked at in time, however much there is. False when there
    /// may be more.
    fn work(&mut self, now: Instant) -> bool {
        let mut idle = self.store.process(now);
        for _ in 0..ROUND {
            let Some(finding) = self.store.finding() else { break };
            idle = false;
            self.give_back = Some(now + SETTLED);
            self.found(finding);
        }
        for _ in 0..ROUND {
            let Some((writer, report)) = self.writers.report() else { break };
            idle = false;
            self.reported(writer, report);
        }
        self.make_hands();
        for _ in 0..ROUND {
            let Some(safe) = self.kept.safe() else { break };
            idle = false;
            match safe {
                Safe::Log(stream, source) => {
                    self.writers.tell(stream, Command::Begin(stream));
                    self.logs.opened(stream, source.fifo());
                    self.own_opened(stream, &source);
                    self.relief.add(stream, source);
                }
                Safe::Hand(Some(writer), hand) => self.writers.give(writer, hand),
                Safe::Hand(None, hand) => self.relief.set_hand(hand),
                Safe::Console(key) => self.consoles.iter_mut().for_each(|consoles| consoles.safe(key)),
            }
        }
        for _ in 0..ROUND {
            let Some(action) = self.logs.action() else { break };
            idle = false;
            self.act(action);
        }
        if self.give_back.is_some_and(|at| at <= now) {
            self.give_back = None;
            self.store.pack();
            self.opening.shrink_to_fit();
            self.logs.pack();
            self.kept.pack();
            self.relief.pack();
            self.writers.pack();
            xen_sys::memory::give_back();
        }
        idle
    }

    /// Sees to it that nobody waits for a writer that is stuck. While that is so, answers with when to do it again.
    fn relieve(&mut self, now: Instant) -> Option<Instant> {
        let writers = &self.writers;
        for stream in self.relief.take_to_mark(|stream| writers.is_late(stream, now)) {
            writers.tell(stream, Command::Mark(stream));
        }
        let any_late = writers.any_late(now);
        if self.relief.is_due(now) {
            self.relief.relieve(any_late, |stream| writers.is_late(stream, now));
        }
        self.relief.next(any_late, now)
    }

    /// Shows whoever keeps watch that this loop goes round. Answers with how long it may stand still at most.
    fn tell_keeper(&mut self, now: Instant) -> Option<Duration> {
        let counts = [self.logs.counts().0, self.relief.stuck(), self.kept.not_kept()];
        let notify = self.kept.notify()?;
        notify.alive(now);
        if let Some(line) = self.summary.news(counts, now) {
            notify.status(&line);
        }
        notify.process();
        let full = (notify.wants_write() || !notify.is_flushed()).then_some(KEEPER_FULL);
        let watchdog = notify.deadline().map(|at| at.saturating_duration_since(now));
        [full, watchdog, self.summary.due(counts, now)].into_iter().flatten().min()
    }

    /// Removes FIFOs that dead clients left. Answers with when to look again.
    fn remove_stale(&mut self, now: Instant) -> Duration {
        let (logs, run) = (&self.logs, self.logs.rules().run.path());
        self.stale.look(run, now, |fifo| logs.has_fifo(fifo));
        self.stale.due().saturating_duration_since(now)
    }

    /// Tells those who ask how the logs are.
    fn answer_status(&mut self, now: Instant) -> Option<Duration> {
        let (logs, relief) = (&self.logs, &self.relief);
        let (inlets, consoles, hypervisor) = (&self.inlets, &self.consoles, &self.hypervisor);
        let snapshot = || {
            let entries = logs.streams().filter_map(|(id, key)| Some((key.entry()?, relief.source(id)?)));
            let own = |own| consoles::account(inlets, relief, own);
            let consoles = consoles.as_ref().map(|consoles| consoles.status(own)).unwrap_or_default();
            let hypervisor = hypervisor.as_ref().and_then(|hypervisor| {
                let (file, counters) = own(Own::Hypervisor)?;
                Some(HypervisorStatus { file, counters: counters?, overrun: hypervisor.overrun() })
            });
            status::snapshot(entries, consoles, hypervisor)
        };
        self.status.process(now, snapshot)
    }

    fn found(&mut self, finding: Finding) {
        match finding {
            Finding::Connected => {
                self.is_lost = false;
                tracing::info!("connected to xenstore, serving logs");
            }
            Finding::Lost(why) => {
                if !self.is_lost {
                    tracing::warn!("{why}; running logs go on, trying again");
                }
                self.is_lost = true;
                self.logs.store_lost();
            }
            Finding::Owners(owners) => {
                let gone = |key: &&EntryKey| !owners.contains(&key.owner);
                let gone: Vec<EntryKey> = self.logs.entries().filter(gone).cloned().collect();
                gone.into_iter().for_each(|key| self.store.look_at(Change::Entry(key)));
                owners.into_iter().for_each(|owner| self.store.look_at(Change::Owner(owner)));
            }
            Finding::Names(owner, names) => self.listed(owner, names),
            Finding::Seen { key, entry, began } => {
                let fifo = pipe::named(&self.logs.rules().run, entry.nodes[0].as_deref());
                self.logs.seen(&key, &Seen { entry, fifo, began });
            }
            Finding::Told { key, asked, at } => self.logs.told(&key, asked, at),
        }
    }

    /// Every name that is listed or known is looked at: what is gone from the list, too.
    fn listed(&mut self, owner: Owner, names: Vec<String>) {
        let known: Vec<EntryKey> = self.logs.of_owner(owner).cloned().collect();
        let listed = names.into_iter().map(|name| EntryKey { owner, name: name.into() });
        listed.chain(known).for_each(|key| self.store.look_at(Change::Entry(key)));
    }

    fn reported(&mut self, writer: WriterId, report: Report) {
        match report {
            Report::Opened(stream, source) => {
                if let Some((account, key, request)) = self.opening.remove(&stream) {
                    self.kept.opened(stream, account, key, request, source);
                }
            }
            Report::Refused(stream, refusal) => {
                if let Some((account, ..)) = self.opening.remove(&stream) {
                    self.kept.give_account_back(account);
                }
                self.writers.forget(stream);
                self.refused(stream, refusal);
            }
            Report::Stuck(stream) => self.relief.set_stuck(stream, true),
            Report::Well(stream) => self.relief.set_stuck(stream, false),
            Report::Ended(stream) => {
                self.relief.remove(stream);
                self.writers.forget(stream);
                self.kept.ended(stream);
                self.logs.ended(stream);
                self.inlets.ended(Instant::now());
            }
            Report::WantsHand => self.owed.push(Some(writer)),
            Report::HandBack(hand) => self.kept.hand_back(&hand),
            // Only ever the answer to Stop.
            Report::Stopped => {}
        }
    }

    /// Makes the hands that are owed. Without descriptors for one it is tried again: meanwhile bytes wait in their own pipes.
    fn make_hands(&mut self) {
        while let Some(writer) = self.owed.last() {
            if let Err(why) = self.kept.make_hand(*writer) {
                tracing::debug!("cannot create a pipe: {why}; trying again");
                return;
            }
            self.owed.pop();
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Open(stream, key, request) => {
                tracing::debug!("{key}: opening {} for {}", request.file, request.pipe);
                let Some(account) = self.kept.take_account() else {
                    let why = format!("{}: no room in the book for one more log", key.path());
                    return self.refused(stream, Refusal::new(Code::TooMany, why));
                };
                self.opening.insert(stream, (account, key.clone(), request.clone()));
                self.writers.open(stream, key, request, account);
            }
            Action::LookAt(key) => self.store.look_at(Change::Entry(key)),
            Action::Adjust(stream, request) => {
                self.kept.adjusted(stream, &request);
                self.writers.tell(stream, Command::Adjust(stream, request));
            }
            Action::End(stream, patience) => {
                self.kept.ending(stream, patience);
                self.writers.tell(stream, Command::End(stream, patience));
            }
            Action::Answer(key, asked, fifo, state) => {
                match &state {
                    logproto::State::Error(refusal) => tracing::debug!("{key}: refused: {refusal}"),
                    logproto::State::Ready => tracing::debug!("{key}: ready"),
                }
                self.store.answer(key, asked, fifo, state);
            }
            Action::Withdraw(key) => self.store.withdraw(&key),
            Action::Served(stream) => {
                self.kept.served(stream);
                if let Some(source) = self.relief.source(stream) {
                    source.set_served();
                }
            }
        }
    }

    /// Keeps the event loop waiting for the right connection.
    fn wait_for_store(&mut self) -> Result<(), DaemonError> {
        let fd = self.store.fd();
        self.waiting.wait(&self.epoll, self.store.connection(), fd).map_err(system("wait for xenstore"))
    }

    /// Says goodbye in the store, so that no client waits for nothing; then what is in the pipes is written.
    fn stop(mut self) {
        let deadline = Instant::now() + STOP;
        let (live, ending) = self.logs.counts();
        tracing::info!("leaving: {live} logs, {ending} at their end");
        if let Some(notify) = self.kept.notify() {
            notify.stopping();
            notify.process();
        }
        if let Some(consoles) = &self.consoles {
            consoles.ignore();
        }
        self.store.say_goodbye(Instant::now());
        self.writers.tell_all(|| Command::Stop(deadline));
        let mut running = self.writers.ids().count();
        while Instant::now() < deadline && !(running == 0 && self.store.is_quiet()) {
            self.store.process(Instant::now());
            self.writers.look();
            while let Some((_, report)) = self.writers.report() {
                match report {
                    Report::Stuck(stream) => self.relief.set_stuck(stream, true),
                    Report::Stopped => running -= 1,
                    _ => {}
                }
            }
            // Nobody waits for a disk meanwhile either.
            let now = Instant::now();
            let relief = self.relieve(now).map(|at| at.saturating_duration_since(now));
            if self.wait_for_store().is_err() {
                break;
            }
            let wait = deadline.saturating_duration_since(Instant::now());
            let wait: Option<Timespec> = relief.map_or(wait, |relief| relief.min(wait)).try_into().ok();
            let mut events = Vec::with_capacity(16);
            if !(running == 0 && self.store.is_quiet())
                && epoll::wait(&*self.epoll, spare_capacity(&mut events), wait.as_ref())
                    .is_err_and(|why| why != Errno::INTR)
            {
                break;
            }
            empty(&self.leave);
            empty(&self.reopen);
        }
        self.remove_own_pipes();
        if running == 0 {
            self.writers.join();
        } else {
            tracing::error!("a log file could not be written within {} s; leaving all the same", STOP.as_secs());
        }
    }
}

/// A stream that becomes readable when one of these signals comes.
fn signals(which: &[i32]) -> std::io::Result<UnixStream> {
    let (reader, writer) = UnixStream::pair()?;
    reader.set_nonblocking(true)?;
    for signal in which {
        signal_hook::low_level::pipe::register(*signal, writer.try_clone()?)?;
    }
    Ok(reader)
}

fn empty(stream: &UnixStream) {
    while rustix::io::read(stream, &mut [0; 64]).is_ok_and(|read| read > 0) {}
}

#[cfg(test)]
mod tests;
