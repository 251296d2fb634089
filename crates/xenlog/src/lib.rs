//! xenlog.
