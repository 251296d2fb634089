//! The daemon's own logs, which rest after each round: what many guests say is so written in bunches.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};

use super::Thread;
use super::thread::{EVENTS, OWN};
use crate::key::LogKey;
use crate::logs::StreamId;

/// Their pipes have room for all that guests may write in that time (62 rings in two periods of `consoles::rate`, 124 KiB of
/// `inlet::ROOM`), so nothing waits for it and nothing is dropped.
const REST: Duration = Duration::from_millis(50);

impl Thread {
    /// Waits for this log's pipe no more.
    pub(super) fn ignore(&self, id: StreamId) {
        if let Some(stream) = self.streams.get(&id) {
            let _ = epoll::delete(self.epoll_of(stream.key()), stream.source().pipe());
        }
    }

    /// What waits for a log's pipe.
    pub(super) fn epoll_of(&self, key: &LogKey) -> &OwnedFd {
        if key.entry().is_some() { &self.epoll } else { &self.own }
    }

    /// The turns of the daemon's own logs.
    pub(super) fn turn_own(&mut self, now: Instant, rests: bool) {
        let mut events = Vec::with_capacity(EVENTS);
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        // Without an answer they are asked again in the next round.
        let _ = epoll::wait(&self.own, spare_capacity(&mut events), Some(&at_once));
        for event in &events {
            self.turn(StreamId(event.data.u64()), now);
        }
        if rests && (1..EVENTS).contains(&events.len()) {
            self.rest_own(Some(now + REST));
        }
    }

    /// Until then the event loop does not wait for them; none: it does.
    pub(super) fn rest_own(&mut self, until: Option<Instant>) {
        self.own_rest = until;
        let flags = if until.is_some() { epoll::EventFlags::empty() } else { epoll::EventFlags::IN };
        // It is registered, and changing that needs no memory (epoll_ctl(2)).
        let _ = epoll::modify(&self.epoll, &self.own, epoll::EventData::new_u64(OWN), flags);
    }
}
