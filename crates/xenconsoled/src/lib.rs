//! The Xen console and log daemon.
//!
//! Two threads. The main one ([`daemon`]) has the store, signals and every decision ([`logs`]); the writer ([`writer`]) has
//! every log: each is a pipe that ends in a rotating file ([`stream`]). They exchange commands and reports, and nothing else,
//! so that a disk that stands still holds up nothing but the writing.

#![forbid(unsafe_code)]

mod asked;
mod chunk;
mod daemon;
mod dirty;
mod gap;
pub mod keeper;
mod logs;
pub mod notify;
mod options;
mod own_log;
mod pid_file;
mod pipe;
mod settings;
mod shares;
mod stamp;
mod start;
mod store;
mod stream;
mod turns;
mod writer;

pub use start::main;
