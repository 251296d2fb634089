//! Logs for toolstacks and people: asks the log daemon for a log by the per-domain logging protocol (docs/protocol.md)
//! and gives the write end of its pipe.
//!
//! [`OpenOptions`] says what is wanted. [`OpenOptions::open`] blocks, with one deadline over everything;
//! [`OpenOptions::start`] gives an [`Opening`] for an event loop. Both end with a [`Log`] or an [`Error`] that tells
//! apart that no daemon runs, that it refused, and that it did not answer in time; a [`Fallback`] says what takes a
//! log's place then, so that starting a program never hangs on logging.
//!
//! [`logs`] tells what logs there are, [`counters`] what the daemon says of them, and [`console`] is what attaching to a
//! guest's console takes.

#![forbid(unsafe_code)]

mod answer;
mod asking;
mod connect;
pub mod console;
pub mod counters;
mod entry;
mod error;
mod fallback;
mod fifo;
mod held;
mod log;
pub mod logs;
mod opening;
mod options;
mod places;
mod unique;
mod wait;

pub use error::{Awaited, Error};
pub use fallback::Fallback;
pub use log::Log;
pub use opening::{CLEAN_UP, Opening};
pub use options::{DEFAULT_WAIT, OpenOptions, Output};
pub use places::{LOG_DIR, Places, RUN_DIR};
