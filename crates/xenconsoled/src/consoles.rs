//! Guests' consoles and the hypervisor's: what they are made of.
//!
//! What stands here knows nothing of the main loop, the store or Xen: each file is one part with its own promise.

pub mod backlog;
pub mod limit;
pub mod name;
pub mod overrun;
pub mod pty;
pub mod rate;
pub mod scan;
