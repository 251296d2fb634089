//! What the daemon costs, as counts that are the same on every machine, busy or not: system calls a MiB, a line, an event of a
//! console; none while nothing happens; allocations, of which there are none once a log runs. Times are for benchmarks
//! (docs/benchmarks.md). These tests fail when a line costs one system call more, or moves are half as large.
//!
//! It is the real daemon, by the real protocol, on the real C xenstored; for consoles over the stand-in for the hypervisor. System
//! calls are those that strace(1) sees, which this daemon is started under; allocations are counted by a library in C that is
//! preloaded. What each thing cost when it was last looked at, and what it may cost, is in `bounds.rs`. What it costs now:
//!
//!     cargo nextest run -p xenconsoled --test costs --no-capture
//!
//! What would come out differently each time is not counted: what a thread does because a time has come, and calls that read a
//! clock. How much one move finds in a pipe is no matter of luck either: while a pipe is filled the daemon stands still between
//! two system calls ([`trace::Halt`]).
#![forbid(unsafe_code)]

mod bounds;
mod consoles;
mod crowd;
mod heap;
#[path = "../host/mod.rs"]
mod host;
mod idle;
mod lines;
mod scene;
mod stream;
mod table;
mod trace;
#[allow(dead_code, reason = "another suite uses more of it")]
#[path = "../drop_in/tty.rs"]
mod tty;
