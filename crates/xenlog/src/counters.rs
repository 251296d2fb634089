//! What the daemon counts of its logs and consoles, asked from its status socket.

use std::collections::HashMap;
use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::console::{Console, Kind};

/// The socket's name in the run directory.
const NAME: &str = "xenlog.status";
/// How long the daemon may be silent.
const WAIT: Duration = Duration::from_secs(5);

/// The account of one log, in bytes since this daemon serves it; drops since the log was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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

/// The account of one guest console.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ConsoleCounters {
    /// Whose it is.
    pub domid: u16,
    /// `pv` or `vuart`.
    pub kind: String,
    /// The domain's name, if it has one.
    pub name: Option<String>,
    /// Its terminal, if it has one.
    pub tty: Option<String>,
    /// Its log file, if it has one.
    pub file: Option<String>,
    /// Bytes that the guest wrote.
    pub out: u64,
    /// Bytes that were typed to it.
    #[serde(rename = "in")]
    pub typed: u64,
    /// Bytes that waited for a reader of the terminal and were dropped.
    pub dropped: u64,
    /// Bytes that wait for one now.
    pub backlog: u64,
    /// How often its events were held back because they were too many.
    pub held: u64,
    /// How often its ring was found with indices that cannot be.
    pub corrupt: u64,
    /// The account of its log, if it has one.
    pub log: Option<Counters>,
}

impl ConsoleCounters {
    /// What it is called beside the ids of the domain's logs.
    pub fn id(&self) -> &'static str {
        if self.kind == Kind::Vuart.word() { "vuart" } else { "console" }
    }
}

/// The account of the hypervisor's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HypervisorCounters {
    /// The log file.
    pub file: String,
    /// The account of the log.
    #[serde(flatten)]
    pub log: Counters,
    /// Bytes that the hypervisor overwrote before they were read.
    #[serde(default)]
    pub overrun: u64,
}

/// All that the daemon says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// The logs that were asked for, by the entry's path in the store.
    pub logs: HashMap<String, Counters>,
    /// The consoles that the daemon serves; none with an older daemon, or one without the hypervisor.
    pub consoles: Vec<ConsoleCounters>,
    /// The hypervisor's log, if it is kept.
    pub hypervisor: Option<HypervisorCounters>,
}

impl Status {
    /// Asks the daemon of a run directory.
    ///
    /// # Errors
    /// No daemon listens there, or what it says makes no sense.
    pub fn ask(run_dir: &Path) -> io::Result<Status> {
        let mut stream = UnixStream::connect(run_dir.join(NAME))?;
        stream.set_read_timeout(Some(WAIT))?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        let Said { logs, consoles, hypervisor } = serde_json::from_str(&text)?;
        let logs = logs.into_iter().map(|log| (log.path, log.counters)).collect();
        Ok(Status { logs, consoles: consoles.unwrap_or_default(), hypervisor })
    }

    /// What is said of a console, if the daemon serves it.
    pub fn console(&self, console: Console) -> Option<&ConsoleCounters> {
        let is_it = |said: &&ConsoleCounters| said.domid == console.domid.number() && said.kind == console.kind.word();
        self.consoles.iter().find(is_it).filter(|_| console.is_daemons())
    }
}

#[derive(Deserialize)]
struct Said {
    logs: Vec<Log>,
    consoles: Option<Vec<ConsoleCounters>>,
    hypervisor: Option<HypervisorCounters>,
}

#[derive(Deserialize)]
struct Log {
    path: String,
    #[serde(flatten)]
    counters: Counters,
}
