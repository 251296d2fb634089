//! A client that looks at events without guessing how long to wait for them.

use std::time::Instant;

use testbed::{PATIENCE, Store};
use xenstore::{Client, Event};

/// Watches, and tells exactly which events came: it changes a node that it watches as well, and what came before the
/// event of that change is all there was.
pub struct Watcher {
    pub client: Client,
    round: u32,
}

impl Watcher {
    pub fn new(store: &Store) -> Self {
        let mut watcher = Watcher { client: store.client(), round: 0 };
        watcher.client.watch("/marker", "marker").unwrap();
        let first = watcher.next();
        assert_eq!(first.token, "marker");
        watcher
    }

    /// Watches and takes the first event.
    pub fn watch(&mut self, path: &str, token: &str) {
        self.client.watch(path, token).unwrap();
        assert_eq!(self.next(), event(path, token), "the first event");
    }

    /// The next event; there has to be one.
    pub fn next(&mut self) -> Event {
        self.client.next_event(Instant::now() + PATIENCE).unwrap().expect("an event has to come")
    }

    /// Every event of changes that `writer` made before, as `path token`.
    pub fn events(&mut self, writer: &mut Client) -> Vec<String> {
        self.round += 1;
        writer.write("/marker", self.round.to_string().as_bytes()).unwrap();
        let mut events = Vec::new();
        loop {
            let event = self.next();
            if event.token == "marker" {
                return events;
            }
            events.push(format!("{} {}", event.path, event.token));
        }
    }
}

pub fn event(path: &str, token: &str) -> Event {
    Event { path: path.into(), token: token.into() }
}
