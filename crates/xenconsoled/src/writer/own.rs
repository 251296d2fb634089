//! The daemon's own logs, which rest after each round: what many guests say is so written in bunches.

use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

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
        let mut room = [MaybeUninit::uninit(); EVENTS];
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        // Without an answer they are asked again in the next round.
        let events = epoll::wait(&self.own, &mut room, Some(&at_once)).map_or(&mut [][..], |(events, _)| events);
        for event in &*events {
            self.turn(StreamId(event.data.u64()), now);
        }
        // Where there may be more the next round comes at once. After a rest in which nothing came they are waited for again.
        let until = if events.len() < EVENTS { now + REST } else { now };
        self.rest_own((rests && !events.is_empty()).then_some(until));
    }

    /// Until then the event loop does not wait for them; none: it does.
    pub(super) fn rest_own(&mut self, until: Option<Instant>) {
        let was_resting = std::mem::replace(&mut self.own_rest, until).is_some();
        if was_resting != until.is_some() {
            let flags = if until.is_some() { epoll::EventFlags::empty() } else { epoll::EventFlags::IN };
            // It is registered, and changing that needs no memory (epoll_ctl(2)).
            let _ = epoll::modify(&self.epoll, &self.own, epoll::EventData::new_u64(OWN), flags);
        }
    }
}
