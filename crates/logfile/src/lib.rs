//! The rotating file, and the reader that follows it.
//!
//! A log is `file`, and what was rotated away: `file.1` (newest) … `file.N`. [`LogFile`] writes it and promises:
//!
//! * At no instant is a file larger than the limit, or all of them together larger than limit × (N + 1). Only what
//!   others put there may be, until the next rotation.
//! * A line is not split between two files, unless its head is already written or it is longer than the limit.
//! * Interrupted between any two system calls, nothing is lost that retention would have kept, and there is nothing to
//!   repair: the next writer goes on from what it finds.
//! * A file that is removed, renamed, shortened or added to by others is noticed, and the log goes on.
//! * Nothing but a regular file with one name, owned by the user of this process, is ever written; no symbolic link is
//!   followed, wherever and whenever it is put. [`Root`] promises the same for the directories on the way.
//!
//! [`Follower`] reads a log across rotations. It goes by logical offsets, the number of bytes ever written before a
//! byte, and delivers each byte once, in order, or says how many are missing.
//!
//! ```
//! use logfile::{Bounds, Follower, LogFile, Next, Root, Start};
//!
//! # let held = tempfile::tempdir()?;
//! # let path = held.path();
//! # std::fs::create_dir(path.join("guests"))?;
//! let root = Root::open(path)?;
//! let (dir, name) = root.entry("guests/qemu-dm-5.log".as_ref())?;
//! let mut log = LogFile::open(&dir, &name, Bounds { limit: 10 << 20, copies: 5 })?;
//! log.append(b"started\n")?;
//!
//! let mut follower = Follower::open(&dir, &name, Start::Lines(10))?;
//! let mut buffer = [0; 4096];
//! assert_eq!(follower.read(&mut buffer)?, Next::Bytes(8));
//! assert_eq!(follower.read(&mut buffer)?, Next::UpToDate);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod append;
mod bounds;
mod copies;
mod dir;
mod error;
mod file;
mod follow;
#[cfg(test)]
mod interrupted;
mod listing;
mod mark;
mod regular;
mod root;
mod rotation;
mod scratch;
mod source;

pub use bounds::Bounds;
pub use dir::Dir;
pub use error::{AppendError, Error, Kind};
pub use file::LogFile;
pub use follow::{Follower, Next, Start};
pub use listing::Listings;
pub use root::Root;
pub use scratch::Scratch;
