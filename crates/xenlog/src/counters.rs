//! What the daemon counts of each log, asked from its status socket.

use std::collections::HashMap;
use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;

/// The socket's name in the run directory.
const NAME: &str = "xenlog.status";
/// How long the daemon may be silent.
const WAIT: Duration = Duration::from_secs(5);

/// The account of one log, in bytes since this daemon serves it; drops since the log was opened.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Counters {
    /// Taken out of the pipe.
    #[serde(rename = "in")]
    pub taken: u64,
    /// Of these, dropped.
    pub dropped: u64,
    /// The gaps in the log that these make, each with a marker.
    pub gaps: u64,
    /// In the pipe now.
    pub waiting: u64,
    /// Why the file cannot be written, or is not for now.
    pub trouble: Option<String>,
}

#[derive(Deserialize)]
struct Snapshot {
    logs: Vec<One>,
}

#[derive(Deserialize)]
struct One {
    path: String,
    #[serde(flatten)]
    counters: Counters,
}

/// The accounts of all logs that the daemon of a run directory serves, by the entry's path in the store.
///
/// # Errors
/// No daemon listens there, or what it says makes no sense.
pub fn all(run_dir: &Path) -> io::Result<HashMap<String, Counters>> {
    let mut stream = UnixStream::connect(run_dir.join(NAME))?;
    stream.set_read_timeout(Some(WAIT))?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let snapshot: Snapshot = serde_json::from_str(&text)?;
    Ok(snapshot.logs.into_iter().map(|one| (one.path, one.counters)).collect())
}
