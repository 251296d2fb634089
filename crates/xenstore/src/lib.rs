//! Xenstore for programs that must not hang: the wire protocol without I/O, clients, and an embedded store.
//!
//! * [`wire`], [`Request`], [`Reply`], [`Event`]: messages as bytes and back, no I/O.
//! * [`Connection`]: one non-blocking file descriptor for an event loop, requests pipelined.
//! * [`Session`]: a connection that comes back after it is lost, with its watches, for a daemon.
//! * [`Client`]: blocking calls, each with a deadline, and transactions.
//! * `server` (feature `server`): a store of its own, for trying and testing on a machine without Xen.
//!
//! Authority for the protocol: Xen's xen/include/public/io/xs_wire.h and docs/misc/xenstore.txt.
#![forbid(unsafe_code)]

mod address;
mod client;
mod connection;
mod errno;
mod error;
mod event;
mod inbox;
mod listing;
pub mod path;
mod perm;
mod reply;
mod request;
#[cfg(feature = "server")]
pub mod server;
mod session;
mod stream;
mod transaction;
mod watches;
pub mod wire;

pub use address::Address;
pub use client::Client;
pub use connection::{Connection, Incoming};
pub use errno::Errno;
pub use error::Error;
pub use event::Event;
pub use perm::{Access, Perm};
pub use reply::Reply;
pub use request::{Request, RequestId, TxId};
pub use session::{Session, SessionEvent};
pub use transaction::Transaction;
