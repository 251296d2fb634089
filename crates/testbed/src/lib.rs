//! What the tests run on: stores in private directories, any number side by side, gone with the test.
//!
//! Xen's own stores run as Debian ships them, over a stand-in for the hypervisor (rig/store/store.c), on any machine.
#![forbid(unsafe_code)]

mod lifeline;
mod shim;
mod store;
mod until;

pub use shim::preload;
pub use store::{Store, StoreKind};
pub use until::{PATIENCE, until};
