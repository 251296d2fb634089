//! The black-box torture: the real daemon on Xen's own store, real writers on real FIFOs, and everything that can
//! befall them. Whatever happens, each byte that was accepted from a writer is in the log's files, once and in order,
//! or counted by a marker where it is missing.
//!
//! Here it is short. By hand it is as long as the environment says, and prints a table:
//!
//!     XENLOG_TORTURE_KILLS=1000 cargo test -p xenconsoled --test torture -- --nocapture kills
//!
//! | variable | what | here |
//! |---|---|---|
//! | `XENLOG_TORTURE_SEED` | all that is random, to have a failure again | new each time, and printed |
//! | `XENLOG_TORTURE_KILLS` | times that the daemon is killed | 12 |
//! | `XENLOG_TORTURE_UPGRADES` | times that it is told to leave, or replaced | 6 |
//! | `XENLOG_TORTURE_FREEZE` | seconds for which the disk stands still | 2 |
//! | `XENLOG_TORTURE_WRITERS` | writers to `drop` logs on that disk | 200 |
//! | `XENLOG_TORTURE_FILLS` | times that the disk is full | 4 |
//! | `XENLOG_TORTURE_FAILURES` | times that it fails, and is another one | 3 |
//! | `XENLOG_TORTURE_NEIGHBOURS` | seconds of polite writers alone, and again with hostile ones | 2 |
//! | `XENLOG_TORTURE_LINE` | MiB of a line without an end | 64 |
//!
//! Frozen, full and failing disks are images on loop devices: for root only, in a mount namespace that ends with its
//! test.
#![forbid(unsafe_code)]

mod churn;
mod crowd;
mod disk;
mod follow;
mod freezes;
mod full_disks;
#[path = "../host/mod.rs"]
mod host;
mod kills;
mod knobs;
mod lost_disks;
mod manager;
mod neighbours;
mod no_daemon;
mod no_memory;
mod polite;
mod random;
mod report;
mod status;
mod text;
mod unit;
mod upgrades;
mod verdict;
mod writer;
