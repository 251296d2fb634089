//! libxenlog.
