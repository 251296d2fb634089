//! xenstore.
