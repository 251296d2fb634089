//! What this daemon promises of consoles beyond what the stock one does: they outlive it, and no guest waits for a disk.
#![forbid(unsafe_code)]

mod kills;
mod logs;
#[path = "../../../logfile/tests/scene/mount.rs"]
mod mount;
mod repeats;
mod scene;
#[allow(dead_code, reason = "the other suite uses more of it")]
#[path = "../drop_in/tty.rs"]
mod tty;
