//! The daemon's side of the store: which requests are under way, and what their replies mean.
//!
//! Entries are read so that each is seen as it was at one instant; answers are written in transactions that first read the entry again,
//! so that nothing is written where nobody asks any more. Requests are pipelined: a batch costs three or four round trips, however many
//! entries it has. The store has one processor for all its clients, and each request is 10 µs of it: a new log takes ten.

mod answers;
mod look;
mod tell;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::os::fd::BorrowedFd;
use std::time::Instant;

use logproto::{Change, DAEMON_NODE, DAEMON_VERSION, Entry, EntryKey, Owner, RootPath, State, WATCH_PATH};
use xenstore::{Address, Errno, Error, Reply, Request, RequestId, Session, SessionEvent, TxId};

use crate::asked::Asked;
use crate::dirty::Dirty;
use crate::logs::FifoId;
use answers::Answers;
use look::Look;
use tell::Tell;

/// The token of the one watch.
const TOKEN: &str = "xenlog";

/// Answers that are looked at, at once.
const ANSWERS: usize = 16;

/// Reads of the connection at once; each is bounded itself.
const PASSES: u32 = 4;

/// What came of the store.
#[derive(Debug)]
pub enum Finding {
    /// There is a connection, and everything is being looked at.
    Connected,
    /// There is none any more; it is tried again.
    Lost(Error),
    /// These owners have entries. Others that are known have none.
    Owners(Vec<Owner>),
    /// These are the names of an owner's entries.
    Names(Owner, Vec<String>),
    /// How an entry stood at one instant.
    Seen {
        /// Which.
        key: EntryKey,
        /// Its nodes.
        entry: Entry,
        /// The count at which its nodes were read.
        began: u64,
    },
    /// The answer stands in the store.
    Told {
        /// Whose answer.
        key: EntryKey,
        /// What was asked for.
        asked: Asked,
        /// The count at which it was written.
        at: u64,
    },
}

/// What a reply is for.
enum Purpose {
    Nothing,
    Owners,
    Names(Owner),
    Look(u64, look::Step),
    /// Whether there still is an answer to this entry.
    Answer(EntryKey),
    Tell(tell::Step),
}

/// The connection and everything that is under way on it.
pub struct Store {
    session: Session,
    /// Below this, pipes.
    run: RootPath,
    dirty: Dirty,
    pending: HashMap<RequestId, Purpose>,
    looks: BTreeMap<u64, Look>,
    next_look: u64,
    /// Entries that were changed while they were looked at, and how often in a row.
    torn: BTreeMap<EntryKey, u32>,
    /// When a look that failed is tried again.
    look_again: Option<Instant>,
    /// How many answers are looked at.
    answers_read: usize,
    /// Entries that may have an error from an earlier answer, which would belie a new one.
    errors: BTreeSet<EntryKey>,
    tell: Option<Tell>,
    answers: Answers,
    /// Orders looks and answers by when the store was sent their reads and commits, since it does what it is sent in that order.
    /// When replies and events arrive says less: xenstored leaves an event out while the same one waits to be sent, so that an
    /// event which is received before the reply to a commit may stand for a change after it.
    count: u64,
    findings: VecDeque<Finding>,
}

impl Store {
    /// A store at one of these addresses, whose entries name pipes below `run`. Nothing is connected before [`Store::process`].
    pub fn new(addresses: Vec<Address>, run: RootPath) -> Result<Store, Error> {
        let mut session = Session::new(addresses);
        session.watch(WATCH_PATH, TOKEN)?;
        Ok(Store {
            session,
            run,
            dirty: Dirty::default(),
            pending: HashMap::new(),
            looks: BTreeMap::new(),
            next_look: 0,
            torn: BTreeMap::new(),
            look_again: None,
            answers_read: 0,
            errors: BTreeSet::new(),
            tell: None,
            answers: Answers::default(),
            count: 0,
            findings: VecDeque::new(),
        })
    }

    /// Asks for one entry to be looked at.
    pub fn look_at(&mut self, change: Change) {
        self.dirty.add(change);
    }

    /// Asks for an answer to be written, if the entry's pipe does not name another FIFO by then. One that waits for the same
    /// entry is replaced.
    pub fn answer(&mut self, key: EntryKey, asked: Asked, fifo: Option<FifoId>, state: State) {
        self.answers.remove(&key);
        if let Some(tell) = &mut self.tell {
            tell.replace(&key, asked, fifo, &state);
        }
        self.answers.add(key, asked, fifo, state);
    }

    /// Answers this entry no more: whatever has its name by now is something else.
    pub fn withdraw(&mut self, key: &EntryKey) {
        self.answers.remove(key);
        if let Some(tell) = &mut self.tell {
            tell.withdraw(key);
        }
    }

    /// What the event loop waits for: the descriptor, if there is one now, and whether it wants to write.
    pub fn fd(&self) -> Option<(BorrowedFd<'_>, bool)> {
        self.session.as_fd().map(|fd| (fd, self.session.wants_write()))
    }

    /// Which connection it is: another number, another descriptor.
    pub fn connection(&self) -> u64 {
        self.session.connections()
    }

    /// When [`Store::process`] wants to be called even if nothing happens.
    pub fn deadline(&self) -> Option<Instant> {
        let ready = self.session.is_connected() && self.tell.is_none();
        let answer = if ready { self.answers.due(Instant::now()) } else { None };
        [self.session.deadline(), self.look_again, answer].into_iter().flatten().min()
    }

    /// Does what can be done without waiting, and no more than some of it at once: a storm of events must not keep the caller
    /// from all else. False when there may be more to do at once.
    pub fn process(&mut self, now: Instant) -> bool {
        // What is asked may be answered at once, and what is answered may have to be asked about.
        for _ in 0..PASSES {
            if self.session.is_connected() {
                self.ask(now);
            }
            self.session.process(now);
            let mut idle = true;
            while let Some(event) = self.session.next() {
                idle = false;
                self.happened(event, now);
            }
            self.finish_looks(now);
            if idle {
                return true;
            }
        }
        false
    }

    fn happened(&mut self, event: SessionEvent, now: Instant) {
        match event {
            SessionEvent::Event(event) => {
                let change = Change::of(&event.path);
                self.looks.values_mut().for_each(|look| look.changed(&change));
                self.dirty.add(change);
            }
            SessionEvent::Reply { id, result } => self.reply(id, result, now),
            SessionEvent::Lost(why) => self.lost(why),
            SessionEvent::Rescan => {
                self.submit(TxId::NONE, daemon_node(), Purpose::Nothing);
                self.dirty.add(Change::Everything);
                self.findings.push_back(Finding::Connected);
            }
        }
    }

    /// Takes no more room than it needs.
    pub fn pack(&mut self) {
        self.pending.shrink_to_fit();
        self.findings.shrink_to_fit();
    }

    /// The next thing that was found.
    pub fn finding(&mut self) -> Option<Finding> {
        self.findings.pop_front()
    }

    /// Says in the store that no daemon serves any more, as far as that goes without waiting.
    pub fn say_goodbye(&mut self, now: Instant) {
        self.submit(TxId::NONE, Request::Rm { path: DAEMON_NODE }, Purpose::Nothing);
        self.session.process(now);
    }

    /// Whether everything that was asked has been answered.
    pub fn is_quiet(&self) -> bool {
        self.pending.is_empty()
    }

    fn ask(&mut self, now: Instant) {
        if self.dirty.take_everything() {
            self.submit(TxId::NONE, Request::Directory { path: WATCH_PATH }, Purpose::Owners);
        }
        while let Some(owner) = self.dirty.take_owner() {
            self.submit(TxId::NONE, Request::Directory { path: &owner.logging_path() }, Purpose::Names(owner));
        }
        if self.look_again.is_some_and(|at| at <= now) {
            self.look_again = None;
        }
        if self.look_again.is_none() {
            self.start_looks();
        }
        while self.answers_read < ANSWERS
            && let Some(key) = self.dirty.take_answer()
        {
            self.answers_read += 1;
            self.submit(TxId::NONE, Request::Read { path: &key.node("state") }, Purpose::Answer(key));
        }
        if self.tell.is_none() && self.answers.due(now).is_some_and(|due| due <= now) {
            self.start_tell(now);
        }
    }

    fn submit(&mut self, tx: TxId, request: Request<'_>, purpose: Purpose) {
        match self.session.submit(tx, request) {
            Ok(id) => {
                self.pending.insert(id, purpose);
            }
            // Without a connection there is nothing to remember: the next one starts with everything. A request that
            // cannot be put into words (a name that is too long for a path) is answered as the store would.
            Err(why) if self.session.is_connected() => self.route(purpose, Err(why), Instant::now()),
            Err(_) => {}
        }
    }

    fn reply(&mut self, id: RequestId, result: Result<Reply, Error>, now: Instant) {
        if let Some(purpose) = self.pending.remove(&id) {
            self.route(purpose, result, now);
        }
    }

    fn route(&mut self, purpose: Purpose, result: Result<Reply, Error>, now: Instant) {
        match purpose {
            Purpose::Nothing => {}
            Purpose::Owners => {
                let names = names(result);
                let host = names.iter().any(|name| name == "logging").then_some(Owner::Host);
                let domains = names.iter().filter_map(|name| name.parse().ok()).map(Owner::Domain);
                self.findings.push_back(Finding::Owners(host.into_iter().chain(domains).collect()));
            }
            Purpose::Names(owner) => {
                if let Ok(Reply::Names(there)) = &result
                    && !self.errors.is_empty()
                {
                    let there: BTreeSet<&str> = there.iter().map(String::as_str).collect();
                    self.errors.retain(|key| key.owner != owner || there.contains(&*key.name));
                }
                self.findings.push_back(Finding::Names(owner, names(result)));
            }
            Purpose::Look(id, step) => self.look_reply(id, step, result),
            Purpose::Answer(key) => {
                self.answers_read -= 1;
                // With an answer it asks for nothing new: whatever else changed in it is reported by itself.
                if !matches!(result, Ok(Reply::Value(_))) {
                    self.dirty.add(Change::Entry(key));
                }
            }
            Purpose::Tell(step) => self.tell_reply(&step, result, now),
        }
    }

    fn lost(&mut self, why: Error) {
        self.pending.clear();
        self.looks.clear();
        self.torn.clear();
        (self.look_again, self.answers_read) = (None, 0);
        self.tell = None;
        self.answers = Answers::default();
        self.findings.push_back(Finding::Lost(why));
    }
}

fn daemon_node() -> Request<'static> {
    Request::Write { path: DAEMON_NODE, value: DAEMON_VERSION.as_bytes() }
}

/// Whether no store has such a node, whatever happens: an entry's name can be so long that there is no room for a node's after
/// it. How long differs from store to store (quotas, and XENSTORE_ABS_PATH_MAX in xen/include/public/io/xs_wire.h).
fn is_impossible(why: &Error) -> bool {
    matches!(why, Error::Malformed { .. } | Error::TooLarge { .. } | Error::Store { errno: Errno::Einval, .. })
}

/// The names in a reply. A directory that cannot be listed has none to show, whatever the reason: it is listed again when
/// it changes.
fn names(result: Result<Reply, Error>) -> Vec<String> {
    match result {
        Ok(Reply::Names(names)) => names,
        _ => Vec::new(),
    }
}
