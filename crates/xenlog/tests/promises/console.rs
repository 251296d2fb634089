//! `xenlog console`: both ways, one writer, any number of watchers, and the terminal as it was.

mod attach;
mod errors;
mod show;
mod watch;
mod writers;
