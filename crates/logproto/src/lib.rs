//! The per-domain logging protocol, version 1, as types: what a toolstack may write into xenstore, checked once and then
//! carried as values that cannot be wrong. No I/O. The contract itself is `docs/protocol.md`.
//!
//! [`Entry`] is one entry as its nodes stand in the store; [`Entry::check`] makes a [`Request`] of it or says why not, in a
//! [`Refusal`] whose text goes back into the store.

#![forbid(unsafe_code)]

mod claims;
pub mod config;
mod entry;
mod id;
mod number;
mod owner;
mod path;
mod refusal;
mod state;

pub use claims::Claims;
pub use config::{Bounds, Config, Defaults};
pub use entry::{Entry, NODES, Request, Rules};
pub use id::{DomId, LogId};
pub use number::{decimal, size};
pub use owner::{Change, EntryKey, Owner};
pub use path::{LogPath, PipePath, RootPath};
pub use refusal::{Code, Refusal};
pub use state::{Policy, Stamp, State};

/// The node by which a daemon says that it serves this protocol. Its value is [`DAEMON_VERSION`].
pub const DAEMON_NODE: &str = "/tool/xenconsoled/logging";

/// What stands in [`DAEMON_NODE`] while a daemon runs.
pub const DAEMON_VERSION: &str = "1";

/// The one store path to watch: it covers every domain's entries and the host's (`/libxl/logging`).
pub const WATCH_PATH: &str = "/libxl";
