//! How the consoles are, for whoever asks.

use serde::Serialize;

use super::Consoles;
use crate::key::{ConsoleKey, Kind, Own};
use crate::status::Counters;

/// One console. Counts are bytes, where nothing else is said, since this daemon serves it.
#[derive(Debug, Serialize)]
pub struct ConsoleStatus {
    domid: u16,
    kind: &'static str,
    name: Option<String>,
    tty: Option<String>,
    file: Option<String>,
    /// Written by the guest.
    out: u64,
    /// Typed to it.
    r#in: u64,
    /// That waited for a reader of the pty and were dropped, since the pty was made.
    dropped: u64,
    /// That wait for one now.
    backlog: u64,
    /// Times its events were held back.
    held: u64,
    /// Looks at a ring with impossible indices.
    corrupt: u64,
    log: Option<Counters>,
}

impl Consoles {
    /// All of them. `log` tells of a log's file and account.
    pub fn status(&self, log: impl Fn(Own) -> Option<(String, Option<Counters>)>) -> Vec<ConsoleStatus> {
        let one = |(key, console): (&ConsoleKey, &super::Console)| {
            let counts = console.counts();
            let (file, log) = log(Own::Console(*key)).map_or((None, None), |(file, log)| (Some(file), log));
            ConsoleStatus {
                domid: key.domid.number(),
                kind: if key.kind == Kind::Pv { "pv" } else { "vuart" },
                name: console.name.as_ref().map(|name| String::from_utf8_lossy(name).into_owned()),
                tty: console.pty.as_ref().map(|pty| pty.name().to_owned()),
                file,
                out: counts.out,
                r#in: counts.typed,
                dropped: console.backlog.dropped() + counts.lost,
                backlog: console.backlog.len(),
                held: counts.held,
                corrupt: counts.corrupt,
                log,
            }
        };
        self.consoles.iter().map(one).collect()
    }
}
