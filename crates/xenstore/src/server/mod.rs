//! An embedded store.
