//! The main loop: the store, the writer's reports and signals. It never touches a log file and never waits for one.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use logproto::{Change, EntryKey, Owner};
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::logs::{Action, Logs, Seen};
use crate::pipe;
use crate::settings::Settings;
use crate::store::{Finding, Store};
use crate::writer::{Command, Report, Writer};

/// How long a stop may take: pipes are emptied that long, and the goodbye waits that long for the store.
const STOP: Duration = Duration::from_secs(5);

/// So long after the last finding the store counts as settled. For thousands of entries there were thousands of events and replies
/// in memory for a moment: giving that back leaves three quarters of it.
const SETTLED: Duration = Duration::from_secs(1);

const STORE: u64 = 0;
const REPORTS: u64 = 1;
const LEAVE: u64 = 2;
const REOPEN: u64 = 3;

/// Why the daemon ended without being told to.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The store's addresses or the watch make no sense.
    #[error("{0}")]
    Store(#[from] xenstore::Error),
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
    epoll: OwnedFd,
    store: Store,
    /// Which of the store's connections the event loop waits for, and whether to write.
    waiting_for: Option<(u64, bool)>,
    logs: Logs,
    writer: Writer,
    leave: UnixStream,
    reopen: UnixStream,
    /// Whether the loss of the store has been reported.
    is_lost: bool,
    /// When memory that was needed for a moment is given back.
    give_back: Option<Instant>,
}

impl Daemon {
    /// Makes ready to serve.
    pub fn new(settings: Settings) -> Result<Daemon, DaemonError> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(system("create an event loop"))?;
        let leave = signals(&[SIGTERM, SIGINT]).map_err(system("catch signals"))?;
        let reopen = signals(&[SIGHUP]).map_err(system("catch signals"))?;
        let writer = Writer::start(settings.places).map_err(system("start the writer"))?;
        let add = |fd: &dyn AsFd, token| {
            let data = epoll::EventData::new_u64(token);
            epoll::add(&epoll, fd.as_fd(), data, epoll::EventFlags::IN).map_err(system("wait for events"))
        };
        add(&writer.fd(), REPORTS)?;
        add(&leave, LEAVE)?;
        add(&reopen, REOPEN)?;
        let store = Store::new(xenstore::Address::candidates())?;
        let logs = Logs::new(settings.rules);
        Ok(Daemon { epoll, store, waiting_for: None, logs, writer, leave, reopen, is_lost: false, give_back: None })
    }

    /// Serves until it is told to leave.
    pub fn run(mut self) -> Result<(), DaemonError> {
        let mut events = Vec::with_capacity(16);
        loop {
            let now = Instant::now();
            self.work(now);
            self.wait_for_store()?;
            let next = [self.store.deadline(), self.give_back].into_iter().flatten().min();
            let timeout = next.map(|at| at.saturating_duration_since(Instant::now()));
            let timeout: Option<Timespec> = timeout.and_then(|wait| wait.try_into().ok());
            events.clear();
            match epoll::wait(&self.epoll, spare_capacity(&mut events), timeout.as_ref()) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(why) => return Err(system("wait for events")(why)),
            }
            for event in &events {
                match event.data.u64() {
                    LEAVE => {
                        self.stop();
                        return Ok(());
                    }
                    REOPEN => {
                        empty(&self.reopen);
                        tracing::info!("opening all files again");
                        self.writer.tell(Command::Reopen);
                    }
                    _ => {}
                }
            }
        }
    }

    /// Does all that can be done now, until nothing new comes of it.
    fn work(&mut self, now: Instant) {
        loop {
            self.store.process(now);
            let mut idle = true;
            while let Some(finding) = self.store.finding() {
                idle = false;
                self.give_back = Some(now + SETTLED);
                self.found(finding);
            }
            while let Some(report) = self.writer.report() {
                idle = false;
                self.reported(report);
            }
            while let Some(action) = self.logs.action() {
                idle = false;
                self.act(action);
            }
            if idle {
                break;
            }
        }
        if self.give_back.is_some_and(|at| at <= now) {
            self.give_back = None;
            xen_sys::memory::give_back();
        }
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
                let fifo = self.named_fifo(&key, &entry);
                self.logs.seen(&key, Seen { entry, fifo, began });
            }
            Finding::Told { key, entry, at } => self.logs.told(&key, &entry, at),
        }
    }

    /// Every name that is listed or known is looked at: what is gone from the list, too.
    fn listed(&mut self, owner: Owner, names: Vec<String>) {
        let known: Vec<EntryKey> = self.logs.of_owner(owner).cloned().collect();
        let listed = names.into_iter().map(|name| EntryKey { owner, name });
        listed.chain(known).for_each(|key| self.store.look_at(Change::Entry(key)));
    }

    /// Which FIFO an entry's pipe names now.
    fn named_fifo(&self, key: &EntryKey, entry: &logproto::Entry) -> Option<crate::logs::FifoId> {
        let rules = self.logs.rules();
        let request = entry.check(key, rules).ok().flatten()?;
        pipe::locate(&rules.run, &request.pipe).ok().map(|located| located.id())
    }

    fn reported(&mut self, report: Report) {
        match report {
            Report::Opened(stream, fifo) => self.logs.opened(stream, fifo),
            Report::Refused(stream, refusal) => self.logs.refused(stream, refusal),
            Report::Ended(stream) => self.logs.ended(stream),
            // Only ever the answer to Stop.
            Report::Stopped => {}
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Open(stream, key, request) => {
                tracing::debug!("{key}: opening {} for {}", request.file, request.pipe);
                self.writer.tell(Command::Open(stream, key, request));
            }
            Action::LookAt(key) => self.store.look_at(Change::Entry(key)),
            Action::Adjust(stream, request) => self.writer.tell(Command::Adjust(stream, request)),
            Action::End(stream, patience) => self.writer.tell(Command::End(stream, patience)),
            Action::Answer(key, entry, state) => {
                match &state {
                    logproto::State::Error(refusal) => tracing::debug!("{key}: refused: {refusal}"),
                    logproto::State::Ready => tracing::debug!("{key}: ready"),
                }
                self.store.answer(key, entry, state);
            }
        }
    }

    /// Keeps the event loop waiting for the right connection.
    fn wait_for_store(&mut self) -> Result<(), DaemonError> {
        let connection = self.store.connection();
        let Some((fd, write)) = self.store.fd() else {
            // A descriptor that was closed is no longer waited for (epoll(7)).
            self.waiting_for = None;
            return Ok(());
        };
        let flags = if write { epoll::EventFlags::IN | epoll::EventFlags::OUT } else { epoll::EventFlags::IN };
        let data = epoll::EventData::new_u64(STORE);
        let done = match self.waiting_for {
            Some(now) if now == (connection, write) => Ok(()),
            Some((now, _)) if now == connection => epoll::modify(&self.epoll, fd, data, flags),
            _ => epoll::add(&self.epoll, fd, data, flags),
        };
        self.waiting_for = Some((connection, write));
        done.map_err(system("wait for xenstore"))
    }

    /// Says goodbye in the store, so that no client waits for nothing; then what is in the pipes is written.
    fn stop(mut self) {
        let deadline = Instant::now() + STOP;
        let (live, ending) = self.logs.counts();
        tracing::info!("leaving: {live} logs, {ending} at their end");
        self.store.say_goodbye(Instant::now());
        self.writer.tell(Command::Stop(deadline));
        let mut stopped = false;
        while Instant::now() < deadline && !(stopped && self.store.is_quiet()) {
            self.store.process(Instant::now());
            while let Some(report) = self.writer.report() {
                stopped |= matches!(report, Report::Stopped);
            }
            if self.wait_for_store().is_err() {
                break;
            }
            let wait: Option<Timespec> = deadline.saturating_duration_since(Instant::now()).try_into().ok();
            let mut events = Vec::with_capacity(16);
            if !(stopped && self.store.is_quiet())
                && epoll::wait(&self.epoll, spare_capacity(&mut events), wait.as_ref())
                    .is_err_and(|why| why != Errno::INTR)
            {
                break;
            }
            empty(&self.leave);
            empty(&self.reopen);
        }
        if stopped {
            self.writer.join();
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
