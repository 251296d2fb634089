//! Guests' consoles and the hypervisor's: which there are, and whose turn it is.
//!
//! All that is decided here is decided from what the store says now ([`store`]), held against what is connected. What the daemon has to
//! do elsewhere (a log, a descriptor to be kept) comes out as a [`Wish`].

mod backlog;
mod connect;
mod console;
pub mod hypervisor;
mod limit;
mod lull;
mod name;
mod overrun;
mod parting;
mod pty;
mod ptys;
mod rate;
mod scan;
mod status;
mod store;
pub mod token;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use logproto::{DomId, Policy, Stamp};
use rustix::event::epoll;
use xen_sys::xen::{EventChannels, Memory, XenError};
use xenstore::Address;

use crate::inlets::{Inlets, Wanted};
use crate::key::{ConsoleKey, Kind};
use crate::logs::StreamId;
use crate::said::Said;
use crate::waiting::Waiting;
use backlog::Backlog;
use console::{Blocked, Console, Io};
use limit::Limit;
use lull::Lull;
use name::FileName;
use parting::Partings;
use pty::Pty;
use rate::{Holds, Verdict};
use store::{Found, Nodes, Seen, Store};

pub use status::ConsoleStatus;

/// Ports of one read.
const PORTS: usize = 64;
/// How soon something is tried again that could not be had: a pty, a ring, a port.
const AGAIN: Duration = Duration::from_secs(1);

/// How consoles are served.
#[derive(Clone, Copy, Debug, Default)]
pub struct Manner {
    /// Whether they are logged.
    pub logs: bool,
    /// Whether lines get the time.
    pub stamps: bool,
    /// Whether escape characters are kept out of logs.
    pub replaces_escape: bool,
    /// Whether a guest waits when nobody reads its pty, instead of that output is dropped.
    pub keeps: bool,
}

/// What the daemon is to do for a console.
#[derive(Debug, PartialEq, Eq)]
pub enum Wish {
    /// Have a log.
    Log(ConsoleKey, Wanted),
    /// Have it no more.
    NoLog(ConsoleKey),
    /// Have its descriptors kept, and say so with [`Consoles::safe`].
    Keep(ConsoleKey),
    /// Have them kept no more.
    Forget(ConsoleKey),
    /// This one was looked at as [`Consoles::look_at`] wanted it, and is there.
    IsThere(ConsoleKey),
    /// All that there is has been told: what was kept for others is nobody's.
    Settled,
}

/// A pty and what waits for a reader of it, as somebody kept them.
#[derive(Debug)]
pub struct KeptConsole {
    /// The pty's master.
    pub master: OwnedFd,
    /// Its slave.
    pub slave: OwnedFd,
    /// What waits.
    pub backlog: OwnedFd,
}

/// All consoles.
pub struct Consoles {
    manner: Manner,
    epoll: Arc<OwnedFd>,
    events: Rc<EventChannels>,
    memory: Memory,
    store: Store,
    waiting: Waiting,
    consoles: BTreeMap<ConsoleKey, Console>,
    by_port: HashMap<u32, ConsoleKey>,
    /// When events are looked for, and whether the event loop waits for them.
    lull: Lull,
    waits_for_events: bool,
    /// How the event loop waits for each pty.
    interest: HashMap<ConsoleKey, (bool, bool)>,
    /// Ports that stay masked until their time is over.
    holds: Holds<u32>,
    /// Ptys of domains that are gone.
    partings: Partings,
    kept: BTreeMap<ConsoleKey, KeptConsole>,
    /// Domains whose name is to be looked at again for their logs, and those that somebody wants to know of.
    renames: BTreeSet<DomId>,
    doubts: BTreeSet<ConsoleKey>,
    /// Consoles that hold back because their logs are being opened.
    held_back: BTreeSet<ConsoleKey>,
    /// Why consoles cannot be connected.
    said: BTreeMap<ConsoleKey, Said>,
    /// What is tried again then.
    again: Option<Instant>,
    retry: BTreeSet<DomId>,
    is_lost: bool,
    wishes: VecDeque<Wish>,
}

/// Why there can be no consoles.
#[derive(Debug, thiserror::Error)]
pub enum ConsolesError {
    /// Xen's interfaces are not to be had.
    #[error("{0}")]
    Xen(#[from] XenError),
    /// The store's addresses or the watches make no sense.
    #[error("{0}")]
    Store(#[from] xenstore::Error),
    /// The event loop refuses them.
    #[error("cannot wait for event channels: {0}")]
    Wait(#[from] std::io::Error),
}

impl Consoles {
    /// None yet, but for what was kept. `epoll` is the event loop that they are part of.
    pub fn new(
        manner: Manner,
        addresses: Vec<Address>,
        epoll: Arc<OwnedFd>,
        kept: BTreeMap<ConsoleKey, KeptConsole>,
    ) -> Result<Consoles, ConsolesError> {
        let events = Rc::new(EventChannels::open()?);
        let memory = Memory::open()?;
        if let Some(why) = memory.without_grants() {
            tracing::debug!("rings are mapped without grants: {why}");
        }
        let data = epoll::EventData::new_u64(token::EVENTS);
        epoll::add(&*epoll, events.as_fd(), data, epoll::EventFlags::IN).map_err(std::io::Error::from)?;
        Ok(Consoles {
            manner,
            epoll,
            events,
            memory,
            store: Store::new(addresses)?,
            waiting: Waiting::new(token::STORE),
            consoles: BTreeMap::new(),
            by_port: HashMap::new(),
            lull: Lull::default(),
            waits_for_events: true,
            interest: HashMap::new(),
            holds: Holds::new(),
            partings: Partings::default(),
            kept,
            renames: BTreeSet::new(),
            doubts: BTreeSet::new(),
            held_back: BTreeSet::new(),
            said: BTreeMap::new(),
            again: None,
            retry: BTreeSet::new(),
            is_lost: false,
            wishes: VecDeque::new(),
        })
    }

    /// The handle of all event channels.
    pub fn events(&self) -> &Rc<EventChannels> {
        &self.events
    }

    /// The next thing that is to be done for a console.
    pub fn wish(&mut self) -> Option<Wish> {
        self.wishes.pop_front()
    }

    /// When [`Consoles::process`] wants to be called even if nothing happens.
    pub fn deadline(&self) -> Option<Instant> {
        [self.store.deadline(), self.partings.deadline(), self.again].into_iter().flatten().min()
    }

    /// Whether there is nothing that the daemon is to do for a console, and nobody waits for a log.
    pub fn is_settled(&self) -> bool {
        self.wishes.is_empty() && self.held_back.is_empty()
    }

    /// Does what is due. False when there may be more to do at once.
    pub fn process(&mut self, io: &mut World<'_>) -> bool {
        if self.again.is_some_and(|at| at <= io.now) {
            self.again = None;
            for domid in std::mem::take(&mut self.retry) {
                self.store.look_at(domid);
            }
        }
        let is_idle = self.store.process(io.now);
        // What is wished for comes first: a domain that is gone by then has had its log.
        while self.wishes.is_empty()
            && let Some(found) = self.store.found()
        {
            self.found(found, io);
        }
        self.partings.process(io.now);
        self.wait_for_store();
        is_idle
    }

    fn found(&mut self, found: Found, io: &mut World<'_>) {
        match found {
            Found::Domain(domid, seen) => {
                self.is_lost = false;
                self.seen(domid, &seen, io);
            }
            Found::There(domid) => {
                for kind in [Kind::Pv, Kind::Vuart] {
                    let key = ConsoleKey { domid, kind };
                    // One that is held is served when its time is over.
                    if self.consoles.get(&key).is_some_and(|console| !console.is_held && console.has_more()) {
                        self.serve(key, io);
                    }
                }
            }
            Found::Gone(domid) => {
                for kind in [Kind::Pv, Kind::Vuart] {
                    self.gone(ConsoleKey { domid, kind }, io);
                }
            }
            Found::Settled => {
                self.is_lost = false;
                // Those that could not be connected yet are tried again.
                let gone = self.kept.extract_if(.., |key, _| !self.retry.contains(&key.domid));
                self.wishes.extend(gone.map(|(key, _)| Wish::Forget(key)));
                self.wishes.push_back(Wish::Settled);
            }
            Found::Lost(why) => {
                if !std::mem::replace(&mut self.is_lost, true) {
                    tracing::warn!("consoles: {why}; those that are connected go on, trying again");
                }
            }
        }
    }

    fn seen(&mut self, domid: DomId, seen: &Seen, io: &mut World<'_>) {
        let rename = self.renames.remove(&domid);
        for (kind, nodes) in &seen.consoles {
            let key = ConsoleKey { domid, kind: *kind };
            if self.doubts.remove(&key) {
                self.wishes.push_back(Wish::IsThere(key));
            }
            self.console_seen(key, nodes, seen.name.as_deref(), io);
            if rename && self.consoles.contains_key(&key) {
                self.want_log(key, seen.name.as_deref());
            }
        }
    }

    fn console_seen(&mut self, key: ConsoleKey, nodes: &Nodes, name: Option<&[u8]>, io: &mut World<'_>) {
        // Whoever else is named serves it. One that is connected already stays as it is, as with stock.
        if nodes.r#type.as_ref().is_some_and(|r#type| r#type != b"xenconsoled") {
            return;
        }
        let ring_ref = nodes.ring_ref.as_deref().and_then(scan::ring_ref);
        let Some((ring_ref, remote)) = ring_ref.zip(nodes.port.as_deref().and_then(scan::port)) else { return };
        if self.consoles.get_mut(&key).is_some_and(|console| console.is_anothers(name)) {
            // Another domain has taken the id. Clients of the old one have no business with it.
            self.gone(key, io);
        }
        let was_linked = self.consoles.get(&key).is_some_and(|console| console.link().is_some());
        match self.connect(key, ring_ref, remote, io) {
            Ok(None) => {}
            Ok(Some(link)) => {
                // What was connected is no more, so this may be another domain.
                if self.consoles.get(&key).is_some_and(|console| console.name.as_deref() != name) {
                    self.gone(key, io);
                }
                if !self.consoles.contains_key(&key) && !self.add(key, nodes.limit.as_deref()) {
                    let _ = self.events.unbind(link.local());
                    return self.retry(key.domid, io.now);
                }
                self.by_port.insert(link.local(), key);
                if let Some(console) = self.consoles.get_mut(&key) {
                    console.set_link(Some(link));
                }
                self.want_log(key, name);
                // Whose port that was is seen by the next look: the id may have been given away since this one.
                self.store.look_at(key.domid);
                if self.said.remove(&key).is_some() {
                    tracing::info!("{key}: connected");
                }
            }
            Err(why) => {
                let what = if was_linked { "disconnected" } else { "cannot be connected" };
                self.say_once(key, &why.to_string(), |why| tracing::warn!("{key}: {what}: {why}; trying again"));
                self.retry(key.domid, io.now);
            }
        }
        if self.consoles.get(&key).is_some_and(|console| console.pty.is_none()) {
            self.renew_pty(key);
        }
        self.publish(key, nodes.tty.as_deref());
        self.attend(key);
    }

    /// Says why something of a console is not to be had, unless that was the last that was said of it.
    fn say_once(&mut self, key: ConsoleKey, why: &str, say: impl FnOnce(&str)) {
        if self.said.entry(key).or_default().is_news(why) {
            say(why);
        }
    }

    fn retry(&mut self, domid: DomId, now: Instant) {
        self.retry.insert(domid);
        self.again.get_or_insert(now + AGAIN);
    }

    /// A new console, with the pty that was kept for it or another.
    fn add(&mut self, key: ConsoleKey, limit: Option<&[u8]>) -> bool {
        let limit = Limit::of_node(limit);
        if limit.is_out_of_range {
            tracing::warn!("{}/limit: out of range; {} bytes may wait for a reader", key.path(), limit.bytes);
        }
        let kept = self.kept.remove(&key).and_then(|KeptConsole { master, slave, backlog }| {
            let pty = Pty::recover(master, slave).map_err(|why| tracing::warn!("{key}: {why}")).ok()?;
            let backlog = Backlog::recover(backlog).map_err(|why| tracing::warn!("{key}: {why}")).ok()?;
            Some((pty, backlog))
        });
        if let Some((pty, backlog)) = kept {
            let mut console = Console::new(key, Some(pty), backlog);
            (console.is_safe, console.is_published) = (true, true);
            self.consoles.insert(key, console);
            return true;
        }
        let backlog = match Backlog::new(limit.bytes) {
            Ok(backlog) => backlog,
            Err(why) => {
                let why = format!("no memory for what waits for a reader: {why}");
                self.say_once(key, &why, |why| tracing::error!("{key}: {why}; trying again"));
                return false;
            }
        };
        self.consoles.insert(key, Console::new(key, None, backlog));
        self.renew_pty(key);
        true
    }

    /// Whether this one could not be connected yet, and is tried again.
    pub fn is_tried_again(&self, key: ConsoleKey) -> bool {
        self.retry.contains(&key.domid)
    }

    /// Asks for a console's log, by the name that its domain has now.
    fn want_log(&mut self, key: ConsoleKey, name: Option<&[u8]>) {
        let Some(console) = self.consoles.get_mut(&key) else { return };
        console.name = name.map(<[u8]>::to_vec);
        if !self.manner.logs {
            return;
        }
        match name.and_then(|name| FileName::new(name, key.kind)) {
            Some(file) => {
                let other = file.with_domid(key.domid).to_string();
                let stamp = if self.manner.stamps { Stamp::Line } else { Stamp::None };
                let wanted = Wanted { file: file.to_string(), other, stamp, policy: Policy::Drop };
                self.wishes.push_back(Wish::Log(key, wanted));
            }
            None => self.wishes.push_back(Wish::NoLog(key)),
        }
    }

    /// All logs are opened again: by the names that domains have now.
    pub fn reopen(&mut self) {
        self.renames.extend(self.consoles.keys().map(|key| key.domid));
        self.store.look_at_all();
    }

    /// Somebody wants to know whether this one's domain is still there: [`Wish::IsThere`].
    pub fn look_at(&mut self, key: ConsoleKey) {
        self.doubts.insert(key);
        self.store.look_at(key.domid);
    }

    /// When [`Consoles::look`] wants to be called.
    pub fn next_look(&self) -> Option<Instant> {
        self.lull.until().into_iter().chain(self.holds.next()).min()
    }

    /// Serves guests whose time is over that they were held for, and looks for events where they are not waited for. Answers as
    /// [`Consoles::events_came`] does.
    pub fn look(&mut self, io: &mut World<'_>) -> std::io::Result<Vec<u32>> {
        while let Some(port) = self.holds.due(io.now) {
            // The port may be another's by now, who is not held then; or nobody's.
            if let Some(key) = self.by_port.get(&port).copied()
                && let Some(console) = self.consoles.get_mut(&key).filter(|console| console.is_held)
            {
                console.is_held = false;
                self.serve(key, io);
            }
        }
        if self.lull.until().is_some_and(|at| at <= io.now) { self.events_came(io) } else { Ok(Vec::new()) }
    }

    /// Takes events of event channels. Answers with ports that are no console's; with an error if there will be no more events.
    pub fn events_came(&mut self, io: &mut World<'_>) -> std::io::Result<Vec<u32>> {
        let (mut ports, mut others) = ([0; PORTS], Vec::new());
        let count = self.events.pending(&mut ports)?;
        let until = self.lull.looked(&ports[..count], PORTS, io.now);
        self.wait_for_events(until.is_none());
        for port in &ports[..count] {
            let Some(key) = self.by_port.get(port).copied() else {
                others.push(*port);
                continue;
            };
            let Some(console) = self.consoles.get_mut(&key) else { continue };
            if let Verdict::HoldUntil(until) = console.rate.event(io.now)
                && !console.is_held
            {
                console.hold();
                self.holds.hold(*port, until);
            }
            self.serve(key, io);
        }
        Ok(others)
    }

    /// Something happened to a pty.
    pub fn pty_event(&mut self, key: ConsoleKey, io: &mut World<'_>) {
        let Some(console) = self.consoles.get_mut(&key) else { return };
        let typed = console.type_in(&mut io.io(self.manner, &self.events));
        if typed == Ok(true) && self.lull.typed(io.now) {
            self.wait_for_events(true);
        }
        let Some(console) = self.consoles.get_mut(&key) else { return };
        match typed.and_then(|_| console.flush()) {
            Ok(true) => self.serve(key, io),
            Ok(false) => self.attend(key),
            Err(why) => self.broken(key, &why),
        }
    }

    /// Logs were opened, or took too long for that: consoles that hold back see whether they still have to.
    pub fn logs_moved(&mut self, io: &mut World<'_>) {
        for key in std::mem::take(&mut self.held_back) {
            self.serve(key, io);
        }
    }

    fn serve(&mut self, key: ConsoleKey, io: &mut World<'_>) {
        let Some(console) = self.consoles.get_mut(&key) else { return };
        let served = console.serve(&mut io.io(self.manner, &self.events));
        if console.blocked() == Some(Blocked::Log) {
            self.held_back.insert(key);
        }
        match served {
            Ok(()) => self.attend(key),
            Err(why) => self.broken(key, &why),
        }
    }

    /// A domain is gone: what is in its ring is the last of it.
    fn gone(&mut self, key: ConsoleKey, io: &mut World<'_>) {
        self.said.remove(&key);
        self.doubts.remove(&key);
        if self.kept.remove(&key).is_some() {
            self.wishes.extend([Wish::NoLog(key), Wish::Forget(key)]);
        }
        let Some(mut console) = self.consoles.remove(&key) else { return };
        // A pty that is broken now is gone either way.
        let _ = console.take(&mut io.io(self.manner, &self.events), true);
        if let Some(link) = console.set_link(None) {
            self.by_port.remove(&link.local());
            let _ = self.events.unbind(link.local());
        }
        self.interest.remove(&key);
        self.wishes.push_back(Wish::NoLog(key));
        self.wishes.push_back(Wish::Forget(key));
        if let Some(pty) = console.pty.take() {
            let _ = epoll::delete(&*self.epoll, pty.master());
            self.partings.add(pty, console.backlog, io.now);
        }
        tracing::debug!("{key}: gone");
    }

    /// Has the event loop wait for event channels, or not.
    fn wait_for_events(&mut self, waits: bool) {
        if std::mem::replace(&mut self.waits_for_events, waits) != waits {
            let flags = if waits { epoll::EventFlags::IN } else { epoll::EventFlags::empty() };
            // They are registered, and changing that needs no memory (epoll_ctl(2)).
            let _ = epoll::modify(&*self.epoll, self.events.as_fd(), epoll::EventData::new_u64(token::EVENTS), flags);
        }
    }

    fn wait_for_store(&mut self) {
        let fd = self.store.fd();
        // For want of memory (epoll_ctl(2)).
        if let Err(why) = self.waiting.wait(&self.epoll, self.store.connection(), fd) {
            tracing::error!("cannot wait for xenstore: {why}; trying again");
            self.again.get_or_insert(Instant::now() + AGAIN);
        }
    }
}

/// What the consoles need of the rest of the daemon while something is done.
pub struct World<'a> {
    /// The daemon's own logs.
    pub inlets: &'a mut Inlets,
    /// Makes room in a log's pipe, by dropping what is in it and counting that.
    pub make_room: &'a mut dyn FnMut(StreamId),
    /// The time.
    pub now: Instant,
}

impl World<'_> {
    fn io<'b>(&'b mut self, manner: Manner, events: &'b EventChannels) -> Io<'b> {
        let Manner { replaces_escape, keeps, .. } = manner;
        Io { events, inlets: self.inlets, make_room: self.make_room, now: self.now, replaces_escape, keeps }
    }
}
