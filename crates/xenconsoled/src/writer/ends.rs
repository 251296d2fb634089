//! How a log comes to its end: what is in its pipe is written, and it is closed.

use std::time::{Duration, Instant};

use super::{Command, Report, Thread};
use crate::budget::Rate;
use crate::logs::{Patience, StreamId};
use crate::pipe;
use crate::stream::Turn;

/// Turns in which a log at its end only tells what is dropped meanwhile; then nothing more is.
const LAST_WORDS: u32 = 8;

impl Thread {
    pub(super) fn end(&mut self, id: StreamId, patience: Patience, now: Instant) {
        if !self.streams.contains_key(&id) {
            // It was never opened, or has ended already.
            return self.line.report(Report::Ended(id));
        }
        if let Some(end) = self.unread.get_mut(&id) {
            *end = Some(patience);
            return;
        }
        if self.desk.hands.is_empty() {
            // What its pipe holds could not be taken.
            return self.put_off.push_back(Command::End(id, patience));
        }
        self.ending.retain(|(_, ending)| *ending != id);
        let deadline = match patience {
            Patience::None | Patience::Handover => {
                self.empty(id, now);
                return self.close(id, patience == Patience::None);
            }
            Patience::Drain => now + self.places.drain,
            // Thirty years: as good as endless, and Instant cannot overflow.
            Patience::Endless => now + Duration::from_secs(1 << 30),
        };
        let at = self.ending.partition_point(|(other, _)| *other <= deadline);
        self.ending.insert(at, (deadline, id));
        // A pipe that never had a writer tells nothing to epoll: see for ourselves.
        self.turn(id, now);
    }

    pub(super) fn end_overdue(&mut self, now: Instant) {
        while let Some((deadline, id)) = self.ending.front().copied()
            && deadline <= now
            && !self.desk.hands.is_empty()
        {
            self.ending.pop_front();
            self.empty(id, now);
            // One that is stuck says more when it gives up.
            if let Some(stream) = self.streams.get(&id).filter(|stream| stream.retry_at().is_none()) {
                tracing::warn!("{}: closed while something still has its pipe open", stream.key());
            }
            self.close(id, true);
        }
    }

    /// Writes what is in hand and what the pipe holds now, and tells what is missing. A writer that goes on meanwhile does not
    /// prolong it.
    fn empty(&mut self, id: StreamId, now: Instant) {
        let Some(stream) = self.streams.get_mut(&id).filter(|_| !self.unread.contains_key(&id)) else { return };
        // The last of it is no more than a pipe holds, and nobody could count it later.
        stream.source().set_rate(Rate { bytes: 0, burst: 0 }, now);
        let mut there = stream.source().waiting();
        if !stream.retry(&mut self.desk, now) {
            return;
        }
        // Once at least: what was dropped may be all that there is.
        let mut last_words = 0;
        loop {
            let before = there;
            match stream.turn(&mut self.desk, now) {
                Turn::Moved { bytes, .. } => there = there.saturating_sub(bytes as u64),
                Turn::Empty | Turn::Ended => there = 0,
                Turn::EmptyHanded | Turn::Paused(..) | Turn::Stuck => break,
            }
            // What the main thread drops meanwhile is told, too.
            if there == 0 && stream.source().finish() {
                break;
            }
            last_words += u32::from(there == before);
            if last_words == LAST_WORDS {
                stream.source().close();
            }
        }
    }

    pub(super) fn close(&mut self, id: StreamId, unlink: bool) {
        let Some(mut stream) = self.streams.remove(&id) else { return };
        // The main thread has it until it hears of this end.
        stream.source().close();
        stream.give_up(&mut self.desk);
        self.ending.retain(|(_, ending)| *ending != id);
        self.stuck.retain(|stuck| *stuck != id);
        self.paused.retain(|(_, paused)| *paused != id);
        self.parked.remove(&id);
        if unlink && stream.source().is_served() {
            pipe::unlink(&self.places.run, stream.pipe_path(), stream.source().fifo());
        }
        drop(stream);
        self.line.report(Report::Ended(id));
    }

    pub(super) fn stop_all(&mut self) {
        let deadline = self.stop.unwrap_or_else(Instant::now);
        for id in self.streams.keys().copied().collect::<Vec<_>>() {
            let now = Instant::now();
            if now >= deadline {
                break;
            }
            self.empty(id, now);
        }
        // What is in hand stays there for the next daemon, if somebody keeps it.
        if !self.kept {
            for stream in self.streams.values_mut() {
                stream.give_up(&mut self.desk);
            }
        }
        self.streams.clear();
        self.line.report(Report::Stopped);
    }
}
