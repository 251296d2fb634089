//! Where a daemon may be killed: behind each system call, and each store, that changes what outlives it. A test
//! ([`crate::model`]) kills it there.

#[cfg(test)]
pub use crate::model::crash::point;

/// A daemon may be killed here.
#[cfg(not(test))]
pub fn point() {}
