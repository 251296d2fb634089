//! The daemon's own logs among the others: they share numbers, files and ends with them, and nobody asks for them in the store.

use logproto::{Claims, EntryKey, Request};

use super::{Action, Logs, Patience, StreamId};
use crate::key::{LogKey, Own};

/// One of the daemon's own logs.
#[derive(Debug)]
pub struct OwnLog {
    pub(super) stream: StreamId,
    pub(super) request: Request,
}

/// Why a log of the daemon's own cannot have its file now.
#[derive(Debug, PartialEq, Eq)]
pub enum Conflict {
    /// A log that is at its end has it: to be tried again when one has ended.
    Ending,
    /// Another of these has it.
    Own(Own),
    /// An entry in the store has it.
    Entry(EntryKey),
}

impl Logs {
    /// The files of the daemon's own logs are not below the log directory: they cannot meet those of others.
    pub fn set_own_apart(&mut self) {
        self.own_claims = Some(Claims::default());
    }

    pub(super) fn claims_of(&mut self, key: &LogKey) -> &mut Claims<StreamId> {
        match (key, &mut self.own_claims) {
            (LogKey::Own(_), Some(claims)) => claims,
            _ => &mut self.claims,
        }
    }

    /// The number that the next log will have.
    pub fn next_stream(&self) -> StreamId {
        StreamId(self.next)
    }

    /// Opens one of the daemon's own logs. One that it has already comes to its end.
    pub fn open_own(&mut self, own: Own, request: Request) -> Result<StreamId, Conflict> {
        self.end_own(own);
        let key = LogKey::Own(own);
        let holder = self.claims_of(&key).conflict(&request.file, request.copies).map(|(holder, _)| *holder);
        if let Some(holder) = holder {
            if self.ending.contains_key(&holder) {
                self.actions.push_back(Action::End(holder, Patience::None));
                return Err(Conflict::Ending);
            }
            return Err(match self.streams.get(&holder) {
                Some(LogKey::Own(own)) => Conflict::Own(*own),
                Some(LogKey::Entry(key)) => Conflict::Entry(key.clone()),
                // Nobody has it: there is no such log.
                None => Conflict::Ending,
            });
        }
        let stream = StreamId(self.next);
        self.next += 1;
        self.claims_of(&key).add(request.file.clone(), request.copies, stream);
        self.pipes.insert(request.pipe.clone(), stream);
        self.streams.insert(stream, key.clone());
        self.own.insert(own, OwnLog { stream, request: request.clone() });
        self.actions.push_back(Action::Open(stream, key, request));
        Ok(stream)
    }

    /// One of the daemon's own logs goes on with other bounds and in another manner; with as many copies as before where more would
    /// get in another's way.
    pub fn adjust_own(&mut self, own: Own, mut request: Request) {
        let Some(OwnLog { stream, request: old }) = self.own.get(&own) else { return };
        let (stream, old) = (*stream, old.clone());
        let claims = self.claims_of(&LogKey::Own(own));
        claims.remove(&old.file, &stream);
        if claims.conflict(&request.file, request.copies).is_some() {
            request.copies = old.copies;
        }
        claims.add(request.file.clone(), request.copies, stream);
        if request != old {
            self.own.insert(own, OwnLog { stream, request: request.clone() });
            self.actions.push_back(Action::Adjust(stream, request));
        }
    }

    /// What one of the daemon's own logs is written to, and its number.
    pub fn own(&self, own: Own) -> Option<(StreamId, &Request)> {
        self.own.get(&own).map(|log| (log.stream, &log.request))
    }

    /// Which of the daemon's own logs this is.
    pub fn own_of(&self, stream: StreamId) -> Option<Own> {
        match self.streams.get(&stream) {
            Some(LogKey::Own(own)) => Some(*own),
            _ => None,
        }
    }

    /// All of the daemon's own logs.
    pub fn all_own(&self) -> impl Iterator<Item = Own> {
        self.own.keys().copied()
    }

    /// One of the daemon's own logs comes to its end: when all that was written to its pipe is in its file.
    pub fn end_own(&mut self, own: Own) {
        if let Some(OwnLog { stream, request }) = self.own.remove(&own) {
            self.ending.insert(stream, request);
            self.actions.push_back(Action::End(stream, Patience::Drain));
        }
    }

    /// A stream is over that may be one of these.
    pub(super) fn release_own(&mut self, stream: StreamId) -> Option<Request> {
        let Some(LogKey::Own(own)) = self.streams.get(&stream) else { return None };
        let log = self.own.remove(own)?;
        if log.stream == stream {
            return Some(log.request);
        }
        self.own.insert(*own, log);
        None
    }
}
