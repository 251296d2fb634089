//! Why a console cannot be had.

use std::io;
use std::path::PathBuf;

use logproto::DomId;

/// Why a console cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No such domain.
    #[error("{}: no such domain", .0.escape_debug())]
    NoDomain(String),
    /// A name that is not one domain's.
    #[error("{}: the name of {} domains; say which by its number: {}", .name.escape_debug(), .domids.len(), list(.domids))]
    SeveralDomains {
        /// The name.
        name: String,
        /// Who has it.
        domids: Vec<DomId>,
    },
    /// Domain 0, whose console is the machine's.
    #[error("domain 0 has no console that can be attached to")]
    Domain0,
    /// Another client is attached.
    #[error("domain {domid}'s console is in use{}; --read-only watches beside it", by(.holder.as_deref()))]
    InUse {
        /// Whose console.
        domid: DomId,
        /// The other client, if the system says who it is: its program's name and its process id.
        holder: Option<String>,
    },
    /// The lock file.
    #[error("cannot lock {}: {source}", .path.display())]
    Lock {
        /// Which.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The terminal cannot be opened.
    #[error("cannot open the terminal {}: {source}", .path.escape_debug())]
    Tty {
        /// Its path, from the store.
        path: String,
        /// The system's error.
        source: io::Error,
    },
    /// What the store names is not the end of a pseudo terminal.
    #[error("{} is no pseudo terminal", .0.escape_debug())]
    NoTerminal(String),
    /// The store.
    #[error(transparent)]
    Store(#[from] xenstore::Error),
}

fn list(domids: &[DomId]) -> String {
    domids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn by(holder: Option<&str>) -> String {
    holder.map_or(String::new(), |holder| format!(" by {holder}"))
}
