//! The Xen console and log daemon.

#![forbid(unsafe_code)]

mod dirty;
mod logs;
