//! What the store says of domains and their consoles: a connection of its own, so that a guest which rewrites its nodes without end
//! holds up no log's answer.
//!
//! Level-triggered, as all else: an event says which domain is to be looked at again, and a look reads all that counts. A domain has
//! so many looks in so long, and then waits.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::os::fd::BorrowedFd;
use std::time::{Instant, SystemTime};

use logproto::DomId;
use xenstore::{Address, Error, Reply, Request, RequestId, Session, SessionEvent, TxId};

use super::rate::{Rate, Verdict};
use crate::key::{ConsoleKey, Kind};

/// Reads of the connection at once; each is bounded itself.
const PASSES: u32 = 4;
/// Domains that are looked at together at most.
const LOOKS: usize = 32;
/// Where domains have their nodes.
const DOMAINS: &str = "/local/domain";
/// Says which store it is: another one, or one that was started anew and empty, does not have it.
const MARK: &str = "/tool/xenconsoled/consoles";
/// The watches of domains coming and going, and of one domain's consoles.
const INTRODUCED: &str = "@introduceDomain";
const RELEASED: &str = "@releaseDomain";
const TOKEN: &str = "console";

/// The nodes of a console that count here, raw as they stand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Nodes {
    /// The guest's frame number of the ring.
    pub ring_ref: Option<Vec<u8>>,
    /// The guest's port.
    pub port: Option<Vec<u8>>,
    /// Who is to serve it.
    pub r#type: Option<Vec<u8>>,
    /// How many bytes may wait for a reader.
    pub limit: Option<Vec<u8>>,
    /// The pty as clients find it.
    pub tty: Option<Vec<u8>>,
}

const NODES: [&str; 5] = ["ring-ref", "port", "type", "limit", "tty"];
const KINDS: [Kind; 2] = [Kind::Pv, Kind::Vuart];

impl Nodes {
    fn set(&mut self, node: usize, value: Option<Vec<u8>>) {
        let nodes = [&mut self.ring_ref, &mut self.port, &mut self.r#type, &mut self.limit, &mut self.tty];
        if let Some(place) = nodes.into_iter().nth(node) {
            *place = value;
        }
    }
}

/// What one look at a domain found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Its name, raw.
    pub name: Option<Vec<u8>>,
    /// The nodes of its consoles.
    pub consoles: BTreeMap<Kind, Nodes>,
}

/// What came of the store.
#[derive(Debug)]
pub enum Found {
    /// A domain that the store serves, as it stood.
    Domain(DomId, Seen),
    /// Some domain has come to an end, and this one is there; it may have crashed.
    There(DomId),
    /// A domain is gone.
    Gone(DomId),
    /// Every domain that there was when the connection was made has been told.
    Settled,
    /// There is no connection any more; it is tried again.
    Lost(Error),
}

enum Purpose {
    Nothing(String),
    Domains,
    Mark,
    /// Only whether it is there.
    Check(DomId),
    Introduced(DomId),
    Name(DomId),
    Node(DomId, Kind, usize),
}

struct Look {
    /// Replies that have not come yet.
    open: usize,
    introduced: bool,
    seen: Seen,
}

/// The connection and what is under way on it.
pub struct Store {
    session: Session,
    pending: HashMap<RequestId, Purpose>,
    /// Domains that the store serves, with a watch each.
    known: BTreeSet<DomId>,
    /// Of these, those that a store which was started anew does not know: that says nothing of them.
    unseen: BTreeSet<DomId>,
    mark: String,
    dirty: BTreeSet<DomId>,
    looks: BTreeMap<DomId, Look>,
    /// How often each was looked at of late, and whose next look has to wait.
    rates: BTreeMap<DomId, Rate>,
    held: BTreeMap<DomId, Instant>,
    list: bool,
    listing: bool,
    /// Whether each known domain is to be asked for, and how many answers are open.
    check: bool,
    checks: usize,
    settled: bool,
    found: VecDeque<Found>,
}

impl Store {
    /// A store at one of these addresses. Nothing is connected before [`Store::process`].
    pub fn new(addresses: Vec<Address>) -> Result<Store, Error> {
        let mut session = Session::new(addresses);
        session.watch(INTRODUCED, INTRODUCED)?;
        session.watch(RELEASED, RELEASED)?;
        Ok(Store {
            session,
            pending: HashMap::new(),
            known: BTreeSet::new(),
            unseen: BTreeSet::new(),
            mark: mark(),
            dirty: BTreeSet::new(),
            looks: BTreeMap::new(),
            rates: BTreeMap::new(),
            held: BTreeMap::new(),
            list: false,
            listing: false,
            check: false,
            checks: 0,
            settled: false,
            found: VecDeque::new(),
        })
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
        self.held.values().copied().chain(self.session.deadline()).min()
    }

    /// Asks for a domain to be looked at again.
    pub fn look_at(&mut self, domid: DomId) {
        self.dirty.insert(domid);
    }

    /// Looks at every domain that is known.
    pub fn look_at_all(&mut self) {
        self.dirty.extend(&self.known);
    }

    /// The next thing that was found.
    pub fn found(&mut self) -> Option<Found> {
        self.found.pop_front()
    }

    /// Writes a console's `tty`: the name of its pty.
    pub fn publish(&mut self, key: ConsoleKey, tty: &str) {
        let path = format!("{}/tty", key.path());
        self.submit(Request::Write { path: &path, value: tty.as_bytes() }, Purpose::Nothing(path.clone()));
    }

    /// Does what can be done without waiting, and no more than some of it at once. False when there may be more to do at once.
    pub fn process(&mut self, now: Instant) -> bool {
        // What is asked may be answered at once, and what is answered may have to be asked about.
        for _ in 0..PASSES {
            self.ask(now);
            self.session.process(now);
            let mut idle = true;
            while let Some(event) = self.session.next() {
                idle = false;
                self.happened(event);
            }
            if idle {
                return true;
            }
        }
        false
    }

    fn happened(&mut self, event: SessionEvent) {
        match event {
            SessionEvent::Event(event) => match event.token.as_str() {
                INTRODUCED => self.list = true,
                // Who went is not said.
                RELEASED => (self.list, self.check) = (true, true),
                _ => self.dirty.extend(domain_of(&event.path).filter(|domid| self.known.contains(domid))),
            },
            SessionEvent::Reply { id, result } => {
                if let Some(purpose) = self.pending.remove(&id) {
                    self.reply(purpose, result);
                }
            }
            SessionEvent::Lost(why) => {
                self.pending.clear();
                self.looks.clear();
                (self.list, self.listing, self.check, self.settled) = (false, false, false, false);
                self.checks = 0;
                self.found.push_back(Found::Lost(why));
            }
            SessionEvent::Rescan => {
                // Answers come in the order of the requests: which store it is is known before what it says of domains.
                self.submit(Request::Read { path: MARK }, Purpose::Mark);
                (self.list, self.check, self.settled) = (true, true, false);
                self.look_at_all();
            }
        }
    }

    fn ask(&mut self, now: Instant) {
        // Also while there is no connection: a time that is over must not be a deadline.
        self.held.retain(|_, until| *until > now);
        if !self.session.is_connected() {
            return;
        }
        if self.list && !self.listing {
            (self.list, self.listing) = (false, true);
            self.submit(Request::Directory { path: DOMAINS }, Purpose::Domains);
        }
        // One round of questions at a time: of many domains that end at once each says so.
        if self.checks == 0 && std::mem::take(&mut self.check) {
            self.known.clone().into_iter().for_each(|domid| self.check(domid));
        }
        self.dirty.retain(|domid| self.known.contains(domid));
        let mut next = DomId::new(0);
        while self.looks.len() < LOOKS
            && let Some(from) = next
            && let Some(domid) = self.dirty.range(from..).next().copied()
        {
            next = DomId::new(domid.number() + 1);
            // One that is being looked at is looked at again afterwards.
            if self.looks.contains_key(&domid) || self.held.contains_key(&domid) {
                continue;
            }
            self.dirty.remove(&domid);
            if let Verdict::HoldUntil(until) = self.rates.entry(domid).or_default().event(now) {
                self.held.insert(domid, until);
            }
            self.look(domid);
        }
        let is_asking = self.checks > 0 || self.check || self.listing || self.list;
        let is_idle = self.dirty.is_empty() && self.looks.is_empty() && !is_asking;
        if is_idle && !std::mem::replace(&mut self.settled, true) {
            self.found.push_back(Found::Settled);
        }
    }

    fn check(&mut self, domid: DomId) {
        self.checks += 1;
        self.submit(Request::IsDomainIntroduced { domid: number(domid) }, Purpose::Check(domid));
    }

    fn look(&mut self, domid: DomId) {
        let open = 2 + KINDS.len() * NODES.len();
        self.looks.insert(domid, Look { open, introduced: false, seen: Seen::default() });
        self.submit(Request::IsDomainIntroduced { domid: number(domid) }, Purpose::Introduced(domid));
        for kind in KINDS {
            for (at, node) in NODES.iter().enumerate() {
                let path = format!("{}/{node}", ConsoleKey { domid, kind }.path());
                self.submit(Request::Read { path: &path }, Purpose::Node(domid, kind, at));
            }
        }
        // Last: where another domain has taken the id meanwhile, a port of the new one must not come with the name of the old one.
        let name = format!("{DOMAINS}/{domid}/name");
        self.submit(Request::Read { path: &name }, Purpose::Name(domid));
    }

    fn submit(&mut self, request: Request<'_>, purpose: Purpose) {
        // Without a connection there is nothing to remember: the next one starts with everything.
        if let Ok(id) = self.session.submit(TxId::NONE, request) {
            self.pending.insert(id, purpose);
        }
    }

    fn reply(&mut self, purpose: Purpose, result: Result<Reply, Error>) {
        // A store that does not answer, as one that has gone.
        let is_cut_off = result.as_ref().is_err_and(|why| why.errno().is_none());
        if let Purpose::Introduced(domid) | Purpose::Name(domid) | Purpose::Node(domid, ..) = purpose
            && is_cut_off
        {
            // That says nothing of the domain, least of all that it is gone. Replies to the rest of the look find none.
            if self.looks.remove(&domid).is_some() {
                self.dirty.insert(domid);
            }
            return;
        }
        let value = |result| match result {
            Ok(Reply::Value(value)) => Some(value),
            _ => None,
        };
        match purpose {
            Purpose::Nothing(what) => {
                if let Err(why) = result {
                    tracing::warn!("{what}: cannot be written: {why}");
                }
            }
            Purpose::Mark => {
                if !is_cut_off && value(result).as_deref() != Some(self.mark.as_bytes()) {
                    self.unseen.clone_from(&self.known);
                    let mark = self.mark.clone();
                    let write = Request::Write { path: MARK, value: mark.as_bytes() };
                    self.submit(write, Purpose::Nothing(MARK.to_owned()));
                }
            }
            Purpose::Domains => {
                self.listing = false;
                self.listed(result);
            }
            Purpose::Check(domid) => {
                self.checks -= 1;
                match result {
                    Ok(Reply::Flag(true)) => self.is_there(domid),
                    Ok(_) => self.is_not_there(domid),
                    // It is asked again when the store is back.
                    Err(_) => {}
                }
            }
            Purpose::Introduced(domid) => match result {
                Ok(answer) => self.answered(domid, |look| look.introduced = answer == Reply::Flag(true)),
                Err(_) => drop(self.looks.remove(&domid)),
            },
            Purpose::Name(domid) => {
                let name = value(result);
                self.answered(domid, |look| look.seen.name = name);
            }
            Purpose::Node(domid, kind, node) => {
                let value = value(result);
                self.answered(domid, |look| look.seen.consoles.entry(kind).or_default().set(node, value));
            }
        }
    }

    fn listed(&mut self, result: Result<Reply, Error>) {
        let Ok(Reply::Names(names)) = result else { return };
        let domids = names.iter().filter_map(|name| name.parse::<DomId>().ok()).filter(|domid| domid.number() != 0);
        let new: Vec<DomId> = domids.filter(|domid| !self.known.contains(domid)).collect();
        new.into_iter().for_each(|domid| self.check(domid));
    }

    fn is_not_there(&mut self, domid: DomId) {
        if !self.unseen.contains(&domid) {
            self.gone(domid);
        }
    }

    fn is_there(&mut self, domid: DomId) {
        self.unseen.remove(&domid);
        if self.known.insert(domid) {
            for path in watched(domid) {
                // A path of ours is never malformed.
                let _ = self.session.watch(&path, TOKEN);
            }
            // The watches come first, so what changes after this look is told.
            self.dirty.insert(domid);
        } else {
            self.found.push_back(Found::There(domid));
        }
    }

    fn answered(&mut self, domid: DomId, note: impl FnOnce(&mut Look)) {
        let Some(look) = self.looks.get_mut(&domid) else { return };
        note(look);
        look.open -= 1;
        if look.open > 0 {
            return;
        }
        let Some(look) = self.looks.remove(&domid) else { return };
        if look.introduced {
            self.found.push_back(Found::Domain(domid, look.seen));
        } else {
            self.is_not_there(domid);
        }
    }

    fn gone(&mut self, domid: DomId) {
        self.rates.remove(&domid);
        self.held.remove(&domid);
        if self.known.remove(&domid) {
            watched(domid).iter().for_each(|path| self.session.unwatch(path, TOKEN));
            self.found.push_back(Found::Gone(domid));
            // Another may have its number by now.
            self.list = true;
        }
    }
}

/// What no other daemon writes there.
fn mark() -> String {
    let time = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    format!("{}-{}", std::process::id(), time.as_nanos())
}

fn number(domid: DomId) -> u32 {
    domid.number().into()
}

fn watched(domid: DomId) -> [String; 2] {
    KINDS.map(|kind| ConsoleKey { domid, kind }.path())
}

/// The domain that an event is about.
fn domain_of(path: &str) -> Option<DomId> {
    path.strip_prefix(DOMAINS)?.strip_prefix('/')?.split('/').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const DOMID: DomId = DomId::MAX;

    /// A store that knows one domain and is not connected.
    fn store() -> Store {
        let mut store = Store::new(Vec::new()).unwrap();
        store.known.insert(DOMID);
        store
    }

    fn lost<T>() -> Result<T, Error> {
        Err(Error::Disconnected("the store was killed".into()))
    }

    /// A connection that was lost while a domain was being looked at ended its console: what was asked is answered by an error first.
    #[test]
    fn a_look_that_is_cut_off_is_not_the_end_of_a_domain() {
        for answered in 0..=1 {
            let mut store = store();
            let open = 2 + KINDS.len() * NODES.len();
            store.looks.insert(DOMID, Look { open, introduced: false, seen: Seen::default() });
            let introduced = if answered == 1 { Ok(Reply::Flag(true)) } else { lost() };
            store.reply(Purpose::Introduced(DOMID), introduced);
            for (kind, node) in KINDS.into_iter().flat_map(|kind| (0..NODES.len()).map(move |node| (kind, node))) {
                store.reply(Purpose::Node(DOMID, kind, node), lost());
            }
            store.reply(Purpose::Name(DOMID), lost());
            assert!(store.found().is_none() && store.looks.is_empty(), "{answered} answered");
            assert!(store.known.contains(&DOMID) && store.dirty.contains(&DOMID), "{answered} answered");
        }
    }

    /// A connection that was lost as soon as it was made was taken for one to an empty store: domains that ended meanwhile were kept, and
    /// their pages mapped, for ever.
    #[test]
    fn a_connection_that_is_lost_at_once_says_nothing_of_the_store() {
        let mut store = store();
        store.reply(Purpose::Mark, lost());
        store.checks = 1;
        store.reply(Purpose::Check(DOMID), Ok(Reply::Flag(false)));
        assert!(matches!(store.found(), Some(Found::Gone(DOMID))));
    }

    /// A domain that had to wait for its next look when the store went kept the main loop busy until the store was back.
    #[test]
    fn without_a_store_nobody_is_in_a_hurry() {
        let (mut store, now) = (store(), Instant::now());
        store.held.insert(DOMID, now);
        let later = now + Duration::from_secs(1);
        store.process(later);
        assert!(store.deadline().is_none_or(|due| due > later), "it would be called again and again");
    }
}
