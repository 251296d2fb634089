//! The Xen console and log daemon.
//!
//! Two threads. The main one ([`daemon`]) has the store, signals and every decision ([`logs`]); the writer ([`writer`]) has
//! every log: each is a pipe that ends in a rotating file ([`stream`]). They exchange commands and reports, and nothing else,
//! so that a disk that stands still holds up nothing but the writing.

#![forbid(unsafe_code)]

mod asked;
mod book;
mod budget;
mod chunk;
mod consoles;
mod crash;
mod daemon;
mod dirty;
mod file;
mod gap;
mod hand;
mod inlet;
mod inlets;
pub mod keeper;
mod kept;
mod key;
mod lock;
mod logs;
#[cfg(test)]
mod model;
mod mounts;
pub mod notify;
mod numbers;
mod options;
mod own_log;
mod pack;
mod pid_file;
mod pipe;
mod pulse;
mod relief;
mod roll;
mod said;
mod settings;
mod shares;
mod source;
mod stale;
mod stamp;
mod start;
mod status;
mod store;
mod stream;
mod turns;
mod waiting;
mod writer;
mod writers;

pub use start::main;

/// How properties are tested: with inputs that are the same in every run.
#[cfg(test)]
fn same_every_time() -> proptest::test_runner::Config {
    let rng_seed = proptest::test_runner::RngSeed::Fixed(1);
    proptest::test_runner::Config { failure_persistence: None, rng_seed, ..Default::default() }
}
