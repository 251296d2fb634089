//! One connection to a store as one file descriptor for an event loop.

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Instant;

use rustix::io::Errno as SystemErrno;

use crate::inbox::Inbox;
use crate::listing::{Listing, Progress};
use crate::stream::Stream;
use crate::wire::{self, Decoder, Kind, Message};
use crate::{Address, Errno, Error, Event, Reply, Request, RequestId, TxId};

/// Bytes read in one call of [`Connection::process`] at most, so that a store that never stops cannot hold the caller.
const READ_MAX: usize = 1 << 20;
/// Written bytes are cut off the front of the output buffer when this many have gathered.
const COMPACT_AT: usize = 64 << 10;

/// A connection that never blocks. Any number of requests may be under way; replies and events are queued without
/// bound, each event (path and token) at most once, so that neither holds the other back and nothing is lost.
///
/// The owner waits until the descriptor can be read, or also written while [`Connection::wants_write`] (level-
/// triggered, as poll(2) and epoll(7) are unless told otherwise), calls [`Connection::process`], and then takes
/// everything out with [`Connection::next`]. After an error of `process` the queue still holds what came before it.
#[derive(Debug)]
pub struct Connection {
    stream: Stream,
    decoder: Decoder,
    output: Vec<u8>,
    /// Bytes at the front of `output` that are written.
    written: usize,
    pending: HashMap<u32, Pending>,
    inbox: Inbox<(RequestId, Result<Reply, Error>)>,
    next_id: u64,
    /// When the last reply came, or the first request was made that nothing came for yet.
    waiting_since: Instant,
    ignored: u64,
    broken: Option<Error>,
}

/// What came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incoming {
    /// The answer to a request.
    Reply {
        /// What [`Connection::submit`] gave.
        id: RequestId,
        /// [`Error::Store`] if the store refused it; [`Error::Protocol`] if what it sent is no answer to the request.
        result: Result<Reply, Error>,
    },
    /// A watch fired.
    Event(Event),
}

/// A request that is not answered yet.
#[derive(Debug)]
struct Pending {
    id: RequestId,
    kind: Kind,
    name: &'static str,
    subject: String,
    tx: TxId,
    /// Set once a directory is read in parts.
    listing: Option<Listing>,
}

impl Connection {
    /// Connects without waiting.
    ///
    /// # Errors
    /// [`Error::Connect`]; with `EAGAIN` the store is there, but others are queueing before its door.
    pub fn open(address: &Address) -> Result<Self, Error> {
        Ok(Self::new(Stream::open(address)?, 0))
    }

    /// Takes a connected stream. Request ids begin after `last_id`.
    pub(crate) fn new(stream: Stream, last_id: u64) -> Self {
        Connection {
            stream,
            decoder: Decoder::for_replies(),
            output: Vec::new(),
            written: 0,
            pending: HashMap::new(),
            inbox: Inbox::new(),
            next_id: last_id + 1,
            waiting_since: Instant::now(),
            ignored: 0,
            broken: None,
        }
    }

    /// Puts a request into the output queue. Never blocks and does no I/O: call [`Connection::process`] to send it.
    ///
    /// # Errors
    /// [`Error::Malformed`] and [`Error::TooLarge`] for a request no store would take; the error that ended the
    /// connection if it has ended.
    pub fn submit(&mut self, tx: TxId, request: Request<'_>) -> Result<RequestId, Error> {
        if let Some(error) = &self.broken {
            return Err(error.clone());
        }
        let (id, wire_id) = self.free_id();
        request.encode(wire_id, tx, &mut self.output)?;
        self.next_id = id.0 + 1;
        let (kind, name, subject) = (request.kind(), request.name(), request.subject());
        self.expect(wire_id, Pending { id, kind, name, subject, tx, listing: None });
        Ok(id)
    }

    /// Writes and reads all that goes without blocking, within a generous bound.
    ///
    /// # Errors
    /// [`Error::Disconnected`] or [`Error::Protocol`] when the connection has ended, for good.
    pub fn process(&mut self) -> Result<(), Error> {
        if let Some(error) = &self.broken {
            return Err(error.clone());
        }
        // A store that went away may have left answers behind: read even when writing fails.
        let wrote = self.write();
        let read = self.read();
        let result = wrote.and(read).and_then(|()| self.write());
        if let Err(error) = &result {
            self.broken = Some(error.clone());
        }
        result
    }

    /// Takes what came in first.
    // Not an iterator: what is not there now may be there after the next process().
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Option<Incoming> {
        self.inbox.pop().map(|item| match item {
            Ok((id, result)) => Incoming::Reply { id, result },
            Err(event) => Incoming::Event(event),
        })
    }

    /// Whether [`Connection::process`] waits for the descriptor to become writable.
    pub fn wants_write(&self) -> bool {
        self.has_output() && !self.stream.is_device()
    }

    /// Since when the store owes an answer and has given none; `None` if it owes none.
    pub fn waiting_since(&self) -> Option<Instant> {
        (!self.pending.is_empty()).then_some(self.waiting_since)
    }

    /// How many messages were ignored because they were neither a reply to a request nor a well-formed event.
    pub fn ignored(&self) -> u64 {
        self.ignored
    }

    /// The requests that are not answered, oldest first; they are forgotten.
    pub(crate) fn take_pending(&mut self) -> Vec<RequestId> {
        let mut ids: Vec<_> = self.pending.drain().map(|(_, pending)| pending.id).collect();
        ids.sort_unstable();
        ids
    }

    /// The highest id that was given away.
    pub(crate) fn last_id(&self) -> u64 {
        self.next_id - 1
    }

    fn has_output(&self) -> bool {
        self.written < self.output.len()
    }

    /// The next id whose number on the wire is neither 0 (watch events) nor in use.
    fn free_id(&self) -> (RequestId, u32) {
        let mut id = self.next_id;
        while id as u32 == 0 || self.pending.contains_key(&(id as u32)) {
            id += 1;
        }
        (RequestId(id), id as u32)
    }

    fn expect(&mut self, wire_id: u32, pending: Pending) {
        if self.pending.is_empty() {
            self.waiting_since = Instant::now();
        }
        self.pending.insert(wire_id, pending);
    }

    fn write(&mut self) -> Result<(), Error> {
        while self.has_output() {
            match self.stream.write(&self.output[self.written..]) {
                Ok(count) => self.written += count,
                Err(SystemErrno::AGAIN) => break,
                Err(error) => return Err(Error::Disconnected(format!("writing to the store failed: {error}"))),
            }
        }
        if !self.has_output() {
            self.output.clear();
            self.written = 0;
        } else if self.written >= COMPACT_AT {
            self.output.drain(..self.written);
            self.written = 0;
        }
        Ok(())
    }

    fn read(&mut self) -> Result<(), Error> {
        let mut buffer = [0; 16 << 10];
        let mut total = 0;
        while total < READ_MAX {
            let count = match self.stream.read(&mut buffer) {
                Ok(0) if self.decoder.is_inside() => {
                    return Err(Error::Disconnected("the store went away in the middle of a message".into()));
                }
                Ok(0) => return Err(Error::Disconnected("the store closed the connection".into())),
                Ok(count) => count,
                Err(SystemErrno::AGAIN) => break,
                Err(error) => return Err(Error::Disconnected(format!("reading from the store failed: {error}"))),
            };
            total += count;
            let mut input = &buffer[..count];
            while let Some(message) =
                self.decoder.next(&mut input).map_err(|error| Error::Protocol(error.to_string()))?
            {
                self.receive(message);
            }
        }
        Ok(())
    }

    fn receive(&mut self, message: Message) {
        if message.kind == Kind::WATCH_EVENT {
            match Event::decode(&message.payload) {
                Some(event) => self.inbox.push_event(event),
                None => self.ignored += 1,
            }
            return;
        }
        let Some(pending) = self.pending.remove(&message.request) else {
            self.ignored += 1;
            return;
        };
        self.waiting_since = Instant::now();
        match message.kind {
            Kind::ERROR => self.refused(pending, Errno::from_wire(&message.payload)),
            kind if kind == pending.kind => self.answered(pending, message.payload),
            kind => {
                let what = format!("it answered {} {} with type {}", pending.name, pending.subject, kind.0);
                self.inbox.push((pending.id, Err(Error::Protocol(what))));
            }
        }
    }

    fn refused(&mut self, mut pending: Pending, errno: Errno) {
        if pending.kind == Kind::DIRECTORY && errno == Errno::E2big {
            pending.kind = Kind::DIRECTORY_PART;
            pending.listing = Some(Listing::default());
            return self.ask_part(pending, 0);
        }
        let error = Error::Store { request: pending.name, path: pending.subject, errno };
        self.inbox.push((pending.id, Err(error)));
    }

    fn answered(&mut self, mut pending: Pending, payload: Vec<u8>) {
        let reply = match &mut pending.listing {
            None => Reply::decode(pending.kind, payload),
            Some(listing) => match listing.add(&payload) {
                Progress::Next { offset } => return self.ask_part(pending, offset),
                Progress::Whole(names) => Some(Reply::Names(names)),
                Progress::Restless => return self.refused(pending, Errno::Eagain),
                Progress::Malformed => None,
            },
        };
        let result = reply
            .ok_or_else(|| Error::Protocol(format!("its answer to {} {} is no answer", pending.name, pending.subject)));
        self.inbox.push((pending.id, result));
    }

    /// Asks for a part of a directory, on behalf of the request that `pending` began as.
    fn ask_part(&mut self, pending: Pending, offset: usize) {
        let (RequestId(id), wire_id) = self.free_id();
        self.next_id = id + 1;
        let offset = format!("{offset}\0");
        let parts = [pending.subject.as_bytes(), b"\0", offset.as_bytes()];
        match wire::encode(Kind::DIRECTORY_PART, wire_id, pending.tx.0, &parts, &mut self.output) {
            Ok(()) => self.expect(wire_id, pending),
            Err(error) => self.inbox.push((pending.id, Err(Error::Protocol(error.to_string())))),
        }
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

#[cfg(test)]
mod tests;
