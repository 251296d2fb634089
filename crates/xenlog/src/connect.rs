//! Connecting to the store without waiting.

use std::time::{Duration, Instant};

use xenstore::{Address, Connection, Error};

/// The wait between attempts to connect to a store whose queue of callers is full; Xen's own have room for one.
pub(crate) const AGAIN: Duration = Duration::from_millis(5);

/// A connection to the first store that takes one; `None` if one is there, and others are queueing before its door.
pub(crate) fn connect(store: &[Address]) -> Result<Option<Connection>, Error> {
    let mut errors = Vec::new();
    for address in store {
        match Connection::open(address) {
            Ok(connection) => return Ok(Some(connection)),
            Err(error) => errors.push(error),
        }
    }
    let is_busy = |error: &Error| match error {
        Error::Connect { source, .. } => *source == rustix::io::Errno::AGAIN,
        _ => false,
    };
    if errors.iter().any(is_busy) { Ok(None) } else { Err(Error::Unreachable(errors)) }
}

/// The same, waiting in the queue until `deadline`.
pub(crate) fn connect_until(store: &[Address], deadline: Instant) -> Result<Connection, Error> {
    let began = Instant::now();
    loop {
        if let Some(connection) = connect(store)? {
            return Ok(connection);
        }
        if Instant::now() >= deadline {
            let path = store.first().map(ToString::to_string).unwrap_or_default();
            return Err(Error::Timeout { request: "a connection at", path, waited: began.elapsed() });
        }
        std::thread::sleep(AGAIN);
    }
}
