//! Messages that wait to be sent to one peer.

use std::collections::{HashSet, VecDeque};

use crate::wire::{self, Kind, Message};

/// A queue without bound, in which an event that waits already is not put again. (Special nodes' events are, as in
/// xenstored.)
#[derive(Debug, Default)]
pub(super) struct Outbox {
    queue: VecDeque<Queued>,
    waiting: HashSet<Vec<u8>>,
    /// Bytes of the first message that are sent.
    sent: usize,
}

#[derive(Debug)]
struct Queued {
    bytes: Vec<u8>,
    is_event: bool,
}

impl Outbox {
    pub(super) fn push_reply(&mut self, reply: &Message) {
        let mut bytes = Vec::new();
        // Replies are cut or refused before they come here; one that is too large all the same is not sent.
        if reply.encode(&mut bytes).is_ok() {
            self.queue.push_back(Queued { bytes, is_event: false });
        }
    }

    pub(super) fn push_event(&mut self, path: &str, token: &str) {
        let mut bytes = Vec::new();
        let parts = [path.as_bytes(), b"\0", token.as_bytes(), b"\0"];
        // As in xenstored, an event that does not fit into a message is not sent.
        if wire::encode(Kind::WATCH_EVENT, 0, 0, &parts, &mut bytes).is_err() {
            return;
        }
        let is_event = !path.starts_with('@');
        if !is_event || self.waiting.insert(bytes.clone()) {
            self.queue.push_back(Queued { bytes, is_event });
        }
    }

    /// What is to be sent next; empty when there is nothing.
    pub(super) fn front(&self) -> &[u8] {
        self.queue.front().map_or(&[], |first| &first.bytes[self.sent..])
    }

    /// Notes that `count` bytes of [`Outbox::front`] are sent.
    pub(super) fn advance(&mut self, count: usize) {
        self.sent += count;
        if self.queue.front().is_some_and(|first| self.sent >= first.bytes.len())
            && let Some(first) = self.queue.pop_front()
        {
            self.sent = 0;
            if first.is_event {
                self.waiting.remove(&first.bytes);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_waits_once_and_may_come_again() {
        let mut out = Outbox::default();
        out.push_event("/a", "t");
        out.push_event("/a", "t");
        let length = out.front().len();
        out.advance(length - 1);
        assert_eq!(out.front(), [0]);
        out.advance(1);
        assert!(out.front().is_empty());
        out.push_event("/a", "t");
        assert!(!out.front().is_empty());
    }

    #[test]
    fn events_of_special_nodes_are_all_sent() {
        let mut out = Outbox::default();
        out.push_event("@releaseDomain", "t");
        out.push_event("@releaseDomain", "t");
        assert_eq!(out.queue.len(), 2);
    }
}
