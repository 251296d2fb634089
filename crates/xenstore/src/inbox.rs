//! What has come in and was not taken yet.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::Event;

/// A queue of events and of other things (`T`, such as replies) in the order in which they came. It has no bound, so
/// no event is ever lost and none holds a reply back; an event that is still in it when it comes again is kept once,
/// in its newest place: whoever takes it then looks at the node later than the last change, and later than every
/// reply that was sent before that change.
#[derive(Debug)]
pub(crate) struct Inbox<T> {
    queue: BTreeMap<u64, Item<T>>,
    /// A tree, as the queue is one: it gives back what a storm of events has taken.
    events: BTreeMap<Arc<Event>, u64>,
    next: u64,
}

#[derive(Debug)]
enum Item<T> {
    Event(Arc<Event>),
    Other(T),
}

impl<T> Inbox<T> {
    pub(crate) fn new() -> Self {
        Inbox { queue: BTreeMap::new(), events: BTreeMap::new(), next: 0 }
    }

    pub(crate) fn push_event(&mut self, event: Event) {
        let place = self.place();
        let event = match self.events.remove_entry(&event) {
            Some((event, old_place)) => {
                self.queue.remove(&old_place);
                event
            }
            None => Arc::new(event),
        };
        self.events.insert(event.clone(), place);
        self.queue.insert(place, Item::Event(event));
    }

    pub(crate) fn push(&mut self, other: T) {
        let place = self.place();
        self.queue.insert(place, Item::Other(other));
    }

    /// Takes the oldest: an event as `Err`, anything else as `Ok`.
    pub(crate) fn pop(&mut self) -> Option<Result<T, Event>> {
        match self.queue.pop_first()?.1 {
            Item::Other(other) => Some(Ok(other)),
            Item::Event(event) => {
                self.events.remove(&event);
                Some(Err(Arc::unwrap_or_clone(event)))
            }
        }
    }

    fn place(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(path: &str) -> Event {
        Event { path: path.into(), token: "t".into() }
    }

    #[test]
    fn a_repeated_event_is_kept_once_and_behind_the_replies_before_it() {
        let mut inbox = Inbox::new();
        inbox.push_event(event("/a"));
        inbox.push_event(event("/b"));
        inbox.push("reply");
        inbox.push_event(event("/a"));
        assert_eq!(inbox.pop(), Some(Err(event("/b"))));
        assert_eq!(inbox.pop(), Some(Ok("reply")));
        assert_eq!(inbox.pop(), Some(Err(event("/a"))));
        assert_eq!(inbox.pop(), None);
    }

    #[test]
    fn an_event_that_was_taken_comes_again() {
        let mut inbox = Inbox::<()>::new();
        for _ in 0..3 {
            inbox.push_event(event("/a"));
            assert_eq!(inbox.pop(), Some(Err(event("/a"))));
            assert_eq!(inbox.pop(), None);
        }
    }

    #[test]
    fn token_tells_events_apart() {
        let mut inbox = Inbox::<()>::new();
        inbox.push_event(event("/a"));
        inbox.push_event(Event { path: "/a".into(), token: "other".into() });
        assert!(inbox.pop().is_some() && inbox.pop().is_some() && inbox.pop().is_none());
    }

    #[test]
    fn a_flood_of_one_event_takes_no_memory() {
        let mut inbox = Inbox::<()>::new();
        for _ in 0..100_000 {
            inbox.push_event(event("/a"));
        }
        assert_eq!((inbox.queue.len(), inbox.events.len()), (1, 1));
    }
}
