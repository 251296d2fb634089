//! What the client library and the programs promise, kept on Xen's own store and by the real daemon.

mod config;
mod console;
mod exec;
mod guest;
mod host;
mod list;
mod open;
mod qemu;
mod scripted;
mod tail;
mod trial;
