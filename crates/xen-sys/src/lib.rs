//! System calls and Xen's libraries, which need `unsafe`: everything else in the workspace forbids it, but for the C boundary of
//! `libxenlog`.

pub mod daemon;
pub mod listen;
pub mod memory;
pub mod shared;
pub mod signals;
pub mod spawn;
pub mod xen;
