//! A connection that comes back.

use std::collections::HashSet;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use crate::inbox::Inbox;
use crate::stream::Stream;
use crate::watches::Watches;
use crate::{Address, Connection, Errno, Error, Event, Incoming, Reply, Request, RequestId, TxId};

/// A connection for a daemon: it is made again when it is lost, with all its watches, and then says once
/// [`SessionEvent::Rescan`]. It never blocks, and never connects outside [`Session::process`].
///
/// The owner's loop: wait until [`Session::as_fd`] is readable (or writable, while [`Session::wants_write`]) or
/// [`Session::deadline`] is reached; call [`Session::process`]; take everything with [`Session::next`].
#[derive(Debug)]
pub struct Session {
    addresses: Vec<Address>,
    watches: Watches,
    state: State,
    inbox: Inbox<SessionEvent>,
    retry: Duration,
    silence: Duration,
    last_id: u64,
    connections: u64,
    ignored: u64,
    /// Whether `Lost` was said since the last `Rescan`, so that one outage is reported once.
    is_reported: bool,
}

#[derive(Debug)]
enum State {
    Down { retry_at: Option<Instant> },
    Up(Box<Up>),
}

#[derive(Debug)]
struct Up {
    connection: Connection,
    /// Requests of the session itself: setting and unsetting watches, and one to see whether the store answers.
    own: HashSet<RequestId>,
    /// When all watches were set and `Rescan` was said.
    ready_since: Option<Instant>,
}

impl Up {
    fn new(connection: Connection) -> Self {
        Up { connection, own: HashSet::new(), ready_since: None }
    }

    /// Sends a request whose answer is for the session itself.
    fn submit_own(&mut self, request: Request<'_>) {
        // What it holds was checked when the watch was given; that a connection has ended is found by process().
        if let Ok(id) = self.connection.submit(TxId::NONE, request) {
            self.own.insert(id);
        }
    }
}

/// What a session reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SessionEvent {
    /// The answer to a request, or why there will be none. There is exactly one for each request.
    Reply {
        /// What [`Session::submit`] gave.
        id: RequestId,
        /// [`Error::Disconnected`] if the connection was lost: whether the request was carried out is not known.
        result: Result<Reply, Error>,
    },
    /// A watch fired.
    Event(Event),
    /// The connection was lost, or none could be made. Said once for each outage.
    Lost(Error),
    /// There is a connection, the store answers, and every watch is set: whatever the owner knows may be old, it has
    /// to look at everything again. Transactions of the connection before are gone. Events from before are part of this one.
    Rescan,
}

impl Session {
    /// Wait before the first attempt to connect again; doubled after each, up to [`Session::RETRY_MAX`]. A connection
    /// that lasts as long as that begins anew with this.
    pub const RETRY_MIN: Duration = Duration::from_millis(10);
    /// Longest wait between two attempts to connect.
    pub const RETRY_MAX: Duration = Duration::from_secs(1);
    /// How long a store may owe answers and give none before the connection counts as lost, unless
    /// [`Session::set_silence`] says otherwise.
    pub const SILENCE_MAX: Duration = Duration::from_secs(30);

    /// A session that will look for a store at `addresses` (see [`Address::candidates`]) in the first call of
    /// [`Session::process`].
    pub fn new(addresses: Vec<Address>) -> Self {
        Session {
            addresses,
            watches: Watches::default(),
            state: State::Down { retry_at: None },
            inbox: Inbox::new(),
            retry: Self::RETRY_MIN,
            silence: Self::SILENCE_MAX,
            last_id: 0,
            connections: 0,
            ignored: 0,
            is_reported: false,
        }
    }

    /// Sets how long a store may owe answers and give none before the connection counts as lost, instead of
    /// [`Session::SILENCE_MAX`]; at most a day.
    pub fn set_silence(&mut self, silence: Duration) {
        self.silence = silence.min(Duration::from_secs(24 * 3600));
    }

    /// Watches `path` (a node or a special node) on this connection and every later one. A watch that is there
    /// already is left alone. A store that refuses a watch counts as lost: changes would go unseen.
    ///
    /// # Errors
    /// [`Error::Malformed`] and [`Error::TooLarge`] for what no store would take; the watch is not set then.
    pub fn watch(&mut self, path: &str, token: &str) -> Result<(), Error> {
        let request = Request::Watch { path, token };
        request.encode(1, TxId::NONE, &mut Vec::new())?;
        if self.watches.insert(path, token)
            && let State::Up(up) = &mut self.state
        {
            up.submit_own(request);
        }
        Ok(())
    }

    /// Takes a watch back. Events of it that are not taken yet still come.
    pub fn unwatch(&mut self, path: &str, token: &str) {
        if self.watches.remove(path, token)
            && let State::Up(up) = &mut self.state
        {
            up.submit_own(Request::Unwatch { path, token });
        }
    }

    /// Sends a request; its answer comes as [`SessionEvent::Reply`].
    ///
    /// # Errors
    /// [`Error::Disconnected`] at once while there is no connection, from `Lost` to the next `Rescan`;
    /// [`Error::Malformed`] and [`Error::TooLarge`] for what no store would take.
    pub fn submit(&mut self, tx: TxId, request: Request<'_>) -> Result<RequestId, Error> {
        match &mut self.state {
            State::Up(up) if up.ready_since.is_some() => up.connection.submit(tx, request),
            _ => Err(Error::Disconnected("waiting for the store to come back".into())),
        }
    }

    /// Does what there is to do at the time `now`: connect, set watches, send, receive, give up. Never blocks.
    pub fn process(&mut self, now: Instant) {
        if let State::Down { retry_at } = self.state
            && retry_at.is_none_or(|at| at <= now)
        {
            self.connect(now);
        }
        let State::Up(up) = &mut self.state else { return };
        let mut lost = up.connection.process().err();
        if let Some(error) = self.receive(now) {
            lost = lost.or(Some(error));
        }
        let State::Up(up) = &mut self.state else { return };
        if let Some(since) = up.connection.waiting_since()
            && since + self.silence <= now
        {
            lost = lost.or(Some(Error::Disconnected(format!("no answer within {} ms", self.silence.as_millis()))));
        }
        if let Some(error) = lost {
            self.lose(error, now);
        }
    }

    /// Takes what is to be told next.
    // Not an iterator: what is not there now may be there after the next process().
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Option<SessionEvent> {
        self.inbox.pop().map(|item| item.unwrap_or_else(SessionEvent::Event))
    }

    /// The descriptor to wait for; `None` without a connection. It changes with [`Session::connections`].
    pub fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        match &self.state {
            State::Up(up) => Some(up.connection.as_fd()),
            State::Down { .. } => None,
        }
    }

    /// How many connections were made. When it has changed, [`Session::as_fd`] is another descriptor, maybe of the
    /// same number: an epoll(7) has to be told anew.
    pub fn connections(&self) -> u64 {
        self.connections
    }

    /// Whether the descriptor is to be waited for until it can be written.
    pub fn wants_write(&self) -> bool {
        matches!(&self.state, State::Up(up) if up.connection.wants_write())
    }

    /// When [`Session::process`] is to be called even if the descriptor shows nothing.
    pub fn deadline(&self) -> Option<Instant> {
        match &self.state {
            // Not tried yet: at once.
            State::Down { retry_at } => Some(retry_at.unwrap_or_else(Instant::now)),
            State::Up(up) => up.connection.waiting_since().map(|since| since + self.silence),
        }
    }

    /// Whether there is a connection with every watch set.
    pub fn is_connected(&self) -> bool {
        matches!(&self.state, State::Up(up) if up.ready_since.is_some())
    }

    /// How many messages were ignored: odd ones, and events with a token that no watch has.
    pub fn ignored(&self) -> u64 {
        let now = if let State::Up(up) = &self.state { up.connection.ignored() } else { 0 };
        self.ignored + now
    }

    fn connect(&mut self, now: Instant) {
        let mut errors = Vec::new();
        for address in &self.addresses {
            match Stream::open(address) {
                Ok(stream) => {
                    self.connections += 1;
                    let mut up = Up::new(Connection::new(stream, self.last_id));
                    for (path, token) in self.watches.iter() {
                        up.submit_own(Request::Watch { path, token });
                    }
                    // Without watches too there has to be an answer before anyone builds on this connection: the
                    // kernel connects also to a store that hangs.
                    up.submit_own(Request::GetDomainPath { domid: 0 });
                    self.state = State::Up(Box::new(up));
                    return;
                }
                Err(error) => errors.push(error),
            }
        }
        self.give_up(Error::Unreachable(errors), now);
    }

    /// Takes what the connection has; gives the error of a watch that was refused.
    fn receive(&mut self, now: Instant) -> Option<Error> {
        let State::Up(up) = &mut self.state else { return None };
        let mut refused = None;
        while let Some(incoming) = up.connection.next() {
            match incoming {
                Incoming::Reply { id, result } if up.own.remove(&id) => match result {
                    Ok(_) => {}
                    // A watch that is set already, or gone already, is as it should be.
                    Err(error) if matches!(error.errno(), Some(Errno::Eexist | Errno::Enoent)) => {}
                    Err(error) => refused = refused.or(Some(error)),
                },
                Incoming::Reply { id, result } => self.inbox.push(SessionEvent::Reply { id, result }),
                Incoming::Event(event) => {
                    if up.ready_since.is_none() {
                        // What happened before Rescan is part of it.
                    } else if self.watches.explain(&event) {
                        self.inbox.push_event(event);
                    } else {
                        self.ignored += 1;
                    }
                }
            }
        }
        if refused.is_none() && up.ready_since.is_none() && up.own.is_empty() {
            up.ready_since = Some(now);
            self.is_reported = false;
            self.inbox.push(SessionEvent::Rescan);
        }
        refused
    }

    fn lose(&mut self, error: Error, now: Instant) {
        let State::Up(mut up) = std::mem::replace(&mut self.state, State::Down { retry_at: None }) else { return };
        self.last_id = up.connection.last_id();
        self.ignored += up.connection.ignored();
        for id in up.connection.take_pending() {
            if !up.own.contains(&id) {
                let result = Err(error.as_disconnected());
                self.inbox.push(SessionEvent::Reply { id, result });
            }
        }
        if up.ready_since.is_some_and(|since| since + Self::RETRY_MAX <= now) {
            self.retry = Self::RETRY_MIN;
        }
        self.give_up(error, now);
    }

    fn give_up(&mut self, error: Error, now: Instant) {
        self.state = State::Down { retry_at: Some(now + self.retry) };
        self.retry = (self.retry * 2).min(Self::RETRY_MAX);
        if !std::mem::replace(&mut self.is_reported, true) {
            self.inbox.push(SessionEvent::Lost(error));
        }
    }
}

#[cfg(test)]
mod tests;
