//! logfile.
