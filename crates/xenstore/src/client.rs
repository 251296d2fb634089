//! Blocking calls, each with a deadline.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno as SystemErrno;

use crate::inbox::Inbox;
use crate::{Address, Connection, Error, Event, Incoming, Perm, Reply, Request, RequestId, Transaction, TxId};

/// How often a transaction is tried when others keep changing what it reads.
const TRANSACTION_ATTEMPTS: u32 = 30;
/// Wait after the first conflict of a transaction; doubled after each further one, up to [`BACKOFF_MAX`].
const BACKOFF_MIN: Duration = Duration::from_millis(1);
/// Longest wait between two attempts of a transaction.
const BACKOFF_MAX: Duration = Duration::from_millis(100);
/// More than any caller waits, and little enough to be added to any time.
const FOREVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
/// Wait before connecting again to a store whose queue of callers is full.
const CONNECT_AGAIN: Duration = Duration::from_millis(5);

/// A connection whose calls wait for their answer, each at most as long as the client's timeout. After an
/// [`Error::Timeout`] the client may be used on: a late answer is told from the next call's.
///
/// A client with watches has to take its events: oxenstored, once some 1000 of them wait, answers nobody any more who
/// causes further ones.
#[derive(Debug)]
pub struct Client {
    connection: Connection,
    events: Inbox<()>,
    timeout: Duration,
}

impl Client {
    /// Connects to the first of `addresses` that has a store (see [`Address::candidates`]). `timeout` is for this and
    /// for every later call.
    ///
    /// # Errors
    /// [`Error::Unreachable`], which says why each address did not do.
    pub fn connect(addresses: &[Address], timeout: Duration) -> Result<Self, Error> {
        let timeout = timeout.min(FOREVER);
        let deadline = Instant::now() + timeout;
        loop {
            let mut errors = Vec::new();
            for address in addresses {
                match Connection::open(address) {
                    Ok(connection) => return Ok(Client { connection, events: Inbox::new(), timeout }),
                    Err(error) => errors.push(error),
                }
            }
            let is_busy = errors.iter().any(|e| matches!(e, Error::Connect { source: SystemErrno::AGAIN, .. }));
            if !is_busy || Instant::now() >= deadline {
                return Err(Error::Unreachable(errors));
            }
            std::thread::sleep(CONNECT_AGAIN);
        }
    }

    /// Sets how long each later call may wait.
    pub fn set_timeout(&mut self, timeout: Duration) {
        self.timeout = timeout.min(FOREVER);
    }

    /// The value of a node.
    ///
    /// # Errors
    /// As for every call here: [`Error::Store`] with what the store answered, [`Error::Timeout`],
    /// [`Error::Disconnected`], and [`Error::Malformed`] or [`Error::TooLarge`] for what no store would take.
    pub fn read(&mut self, path: &str) -> Result<Vec<u8>, Error> {
        self.value(TxId::NONE, path)
    }

    /// Sets the value of a node; it and the nodes above it are made where missing.
    ///
    /// # Errors
    /// See [`Client::read`].
    pub fn write(&mut self, path: &str, value: &[u8]) -> Result<(), Error> {
        self.call(TxId::NONE, Request::Write { path, value }).map(drop)
    }

    /// Makes a node and the nodes above it where missing.
    ///
    /// # Errors
    /// See [`Client::read`].
    pub fn mkdir(&mut self, path: &str) -> Result<(), Error> {
        self.call(TxId::NONE, Request::Mkdir { path }).map(drop)
    }

    /// Removes a node and everything below it. No error if it is not there but the node above is.
    ///
    /// # Errors
    /// See [`Client::read`].
    pub fn rm(&mut self, path: &str) -> Result<(), Error> {
        self.call(TxId::NONE, Request::Rm { path }).map(drop)
    }

    /// The names of a node's children, however many.
    ///
    /// # Errors
    /// See [`Client::read`]; `EAGAIN` if the directory changed without end while it was read.
    pub fn directory(&mut self, path: &str) -> Result<Vec<String>, Error> {
        self.names(TxId::NONE, path)
    }

    /// The permissions of a node, the owner's entry first.
    ///
    /// # Errors
    /// See [`Client::read`].
    pub fn get_perms(&mut self, path: &str) -> Result<Vec<Perm>, Error> {
        self.perms(TxId::NONE, path)
    }

    /// Sets the permissions of a node.
    ///
    /// # Errors
    /// See [`Client::read`].
    pub fn set_perms(&mut self, path: &str, perms: &[Perm]) -> Result<(), Error> {
        self.call(TxId::NONE, Request::SetPerms { path, perms }).map(drop)
    }

    /// Watches a node and all below it, or a special node; [`Client::next_event`] gives what it reports.
    ///
    /// # Errors
    /// See [`Client::read`]; `EEXIST` if this path is watched with this token already.
    pub fn watch(&mut self, path: &str, token: &str) -> Result<(), Error> {
        self.call(TxId::NONE, Request::Watch { path, token }).map(drop)
    }

    /// Takes a watch back. Events that came before still come out of [`Client::next_event`].
    ///
    /// # Errors
    /// See [`Client::read`]; `ENOENT` if there is no such watch.
    pub fn unwatch(&mut self, path: &str, token: &str) -> Result<(), Error> {
        self.call(TxId::NONE, Request::Unwatch { path, token }).map(drop)
    }

    /// The home of a domain in the store, whether it exists or not.
    ///
    /// # Errors
    /// See [`Client::read`].
    pub fn get_domain_path(&mut self, domid: u32) -> Result<String, Error> {
        let request = Request::GetDomainPath { domid };
        match self.call(TxId::NONE, request)? {
            Reply::Path(path) => Ok(path),
            other => Err(unexpected(&request, &other)),
        }
    }

    /// Whether the store serves a domain.
    ///
    /// # Errors
    /// See [`Client::read`].
    pub fn is_domain_introduced(&mut self, domid: u32) -> Result<bool, Error> {
        let request = Request::IsDomainIntroduced { domid };
        match self.call(TxId::NONE, request)? {
            Reply::Flag(flag) => Ok(flag),
            other => Err(unexpected(&request, &other)),
        }
    }

    /// Tells the store of a new domain; it reports `@introduceDomain`.
    ///
    /// # Errors
    /// See [`Client::read`].
    pub fn introduce(&mut self, domid: u32, frame: u64, port: u32) -> Result<(), Error> {
        self.call(TxId::NONE, Request::Introduce { domid, frame, port }).map(drop)
    }

    /// Tells the store that a domain is gone; it reports `@releaseDomain`.
    ///
    /// # Errors
    /// See [`Client::read`].
    pub fn release(&mut self, domid: u32) -> Result<(), Error> {
        self.call(TxId::NONE, Request::Release { domid }).map(drop)
    }

    /// The oldest event that was not taken yet; waits until `deadline` for one, and gives `None` if none came.
    ///
    /// # Errors
    /// [`Error::Disconnected`] or [`Error::Protocol`] when the connection has ended and every event is taken.
    pub fn next_event(&mut self, deadline: Instant) -> Result<Option<Event>, Error> {
        loop {
            let processed = self.connection.process();
            self.collect(None);
            if let Some(Err(event)) = self.events.pop() {
                return Ok(Some(event));
            }
            processed?;
            if !self.wait(deadline) {
                return Ok(None);
            }
        }
    }

    /// Runs `body` in a transaction and commits it. When something it read was changed by others (`EAGAIN`), all of
    /// it is done again, with growing pauses, at most 30 times. When `body` fails or panics, nothing is changed.
    ///
    /// # Errors
    /// That of `body`; [`Error::Conflict`]; or see [`Client::read`]. After [`Error::Timeout`] and
    /// [`Error::Disconnected`] the commit may have happened.
    pub fn transaction<T>(
        &mut self,
        mut body: impl FnMut(&mut Transaction<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut pause = BACKOFF_MIN;
        for attempt in 1..=TRANSACTION_ATTEMPTS {
            let mut transaction = Transaction::start(self)?;
            let result = body(&mut transaction).and_then(|value| transaction.commit().map(|()| value));
            match result {
                Err(error) if error.errno() == Some(crate::Errno::Eagain) => {}
                result => return result,
            }
            if attempt < TRANSACTION_ATTEMPTS {
                std::thread::sleep(jittered(pause));
                pause = (pause * 2).min(BACKOFF_MAX);
            }
        }
        Err(Error::Conflict { attempts: TRANSACTION_ATTEMPTS })
    }

    /// Sends `request` and waits for its answer.
    pub(crate) fn call(&mut self, tx: TxId, request: Request<'_>) -> Result<Reply, Error> {
        let deadline = Instant::now() + self.timeout;
        let id = self.connection.submit(tx, request)?;
        loop {
            let processed = self.connection.process();
            if let Some(result) = self.collect(Some(id)) {
                return result;
            }
            processed?;
            if !self.wait(deadline) {
                let (request, path) = (request.name(), request.subject());
                return Err(Error::Timeout { request, path, waited: self.timeout });
            }
        }
    }

    /// Sends `request`, as far as that goes without waiting, and lets its answer go by.
    pub(crate) fn cast(&mut self, tx: TxId, request: Request<'_>) {
        if self.connection.submit(tx, request).is_ok() {
            // An error is kept by the connection and is the result of the next call.
            let _ = self.connection.process();
        }
    }

    pub(crate) fn value(&mut self, tx: TxId, path: &str) -> Result<Vec<u8>, Error> {
        let request = Request::Read { path };
        match self.call(tx, request)? {
            Reply::Value(value) => Ok(value),
            other => Err(unexpected(&request, &other)),
        }
    }

    pub(crate) fn names(&mut self, tx: TxId, path: &str) -> Result<Vec<String>, Error> {
        let request = Request::Directory { path };
        match self.call(tx, request)? {
            Reply::Names(names) => Ok(names),
            other => Err(unexpected(&request, &other)),
        }
    }

    pub(crate) fn perms(&mut self, tx: TxId, path: &str) -> Result<Vec<Perm>, Error> {
        let request = Request::GetPerms { path };
        match self.call(tx, request)? {
            Reply::Perms(perms) => Ok(perms),
            other => Err(unexpected(&request, &other)),
        }
    }

    /// Takes all that came in: events are kept, the reply to `wanted` is the result.
    fn collect(&mut self, wanted: Option<RequestId>) -> Option<Result<Reply, Error>> {
        let mut found = None;
        while let Some(incoming) = self.connection.next() {
            match incoming {
                Incoming::Event(event) => self.events.push_event(event),
                Incoming::Reply { id, result } if Some(id) == wanted => found = Some(result),
                // The start of a transaction that was given up waiting for: the store must not keep it open.
                Incoming::Reply { result: Ok(Reply::Transaction(tx)), .. } => {
                    self.cast(tx, Request::TransactionEnd { commit: false });
                }
                Incoming::Reply { .. } => {}
            }
        }
        found
    }

    /// Waits for the descriptor; false when `deadline` is over.
    fn wait(&self, deadline: Instant) -> bool {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        let mut events = PollFlags::IN;
        if self.connection.wants_write() {
            events |= PollFlags::OUT;
        }
        let timeout =
            Timespec { tv_sec: left.as_secs().min(i64::MAX as u64) as i64, tv_nsec: left.subsec_nanos().into() };
        // Whatever ends the wait, also a signal, process() finds out what there is to do.
        let _ = rustix::event::poll(&mut [PollFd::new(&self.connection, events)], Some(&timeout));
        true
    }
}

impl AsFd for Client {
    /// Readable when there may be something for [`Client::next_event`]; events that were read with the answer of a
    /// call do not make it so: take those before waiting.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.connection.as_fd()
    }
}

fn unexpected(request: &Request<'_>, reply: &Reply) -> Error {
    Error::Protocol(format!("{} {} was answered with {reply:?}", request.name(), request.subject()))
}

/// Between half of `pause` and all of it, at random: those who met in a conflict shall not meet again.
fn jittered(pause: Duration) -> Duration {
    use std::hash::{BuildHasher, RandomState};
    let random = RandomState::new().hash_one(0);
    pause.mul_f64(0.5 + (random % 1024) as f64 / 2048.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_are_between_half_and_all() {
        let pause = Duration::from_millis(100);
        let pauses: Vec<_> = (0..100).map(|_| jittered(pause)).collect();
        assert!(pauses.iter().all(|jittered| (pause / 2..=pause).contains(jittered)));
        assert!(pauses.iter().any(|jittered| *jittered != pauses[0]), "always the same");
    }

    #[test]
    fn nowhere_to_connect_is_told_at_once() {
        let error = Client::connect(&[], Duration::MAX).unwrap_err();
        assert_eq!(error, Error::Unreachable(Vec::new()));
        let missing = [Address::unix("/nonexistent/a"), Address::device("/nonexistent/b")];
        let error = Client::connect(&missing, Duration::MAX).unwrap_err();
        assert!(matches!(error, Error::Unreachable(errors) if errors.len() == 2));
    }
}
