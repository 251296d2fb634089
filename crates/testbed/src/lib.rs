//! What the tests run on: a hypervisor, guests and stores in private directories, any number side by side, gone with the test.
//!
//! Xen's own programs run as Debian ships them, on any machine. A [`Machine`] is a host without Xen: a [`Hypervisor`], a
//! [`Store`] over it, and what a toolstack does to [`Guest`]s. A [`Store`] alone needs no hypervisor.
#![forbid(unsafe_code)]

mod guest;
mod hypervisor;
mod lifeline;
mod machine;
pub mod programs;
mod shim;
mod store;
mod until;

pub use guest::{Console, Guest, Index};
pub use hypervisor::{Hypervisor, Shutdown};
pub use machine::{Machine, Node, console_nodes};
pub use shim::preload;
pub use store::{Store, StoreKind};
pub use until::{PATIENCE, until};
