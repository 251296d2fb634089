//! The rotating file, and the reader that follows it.
//!
//! A log is `file`, and what was rotated away: `file.1` (newest) … `file.N`. [`LogFile`] writes it and keeps it within
//! its [`Bounds`] at every instant; [`Follower`] reads it across rotations; [`Root`] sees to it that no path leads out of
//! the log directory.
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
