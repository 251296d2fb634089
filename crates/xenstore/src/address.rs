//! Where a store is.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

/// Where a store is: a Unix socket, or the kernel's device (a store in a domain of its own, or we are in a guest).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Address {
    path: PathBuf,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Unix,
    Device,
    /// Looked at when it is opened.
    Either,
}

impl Address {
    /// A Unix socket.
    pub fn unix(path: impl Into<PathBuf>) -> Self {
        Address { path: path.into(), kind: Kind::Unix }
    }

    /// A device such as /dev/xen/xenbus.
    pub fn device(path: impl Into<PathBuf>) -> Self {
        Address { path: path.into(), kind: Kind::Device }
    }

    /// A path that a person gave: a device if there is one at the path when it is opened, else a Unix socket.
    pub fn either(path: impl Into<PathBuf>) -> Self {
        Address { path: path.into(), kind: Kind::Either }
    }

    /// Where to look for the store of this host, first to last, by the environment, as libxenstore does
    /// (tools/include/xen-tools/xenstore-common.h and tools/libs/store/xs.c): only XENSTORED_PATH if it is set, else
    /// XENSTORED_RUNDIR/socket or /run/xenstored/socket and then /dev/xen/xenbus.
    pub fn candidates() -> Vec<Address> {
        Self::candidates_from(std::env::var_os("XENSTORED_PATH"), std::env::var_os("XENSTORED_RUNDIR"))
    }

    fn candidates_from(path: Option<OsString>, run_dir: Option<OsString>) -> Vec<Address> {
        if let Some(path) = path {
            return vec![Address::either(path)];
        }
        let run_dir = run_dir.map_or_else(|| PathBuf::from("/run/xenstored"), PathBuf::from);
        vec![Address::unix(run_dir.join("socket")), Address::device("/dev/xen/xenbus")]
    }

    /// The path of the socket or device.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it is to be opened as a device.
    pub(crate) fn is_device(&self) -> bool {
        match self.kind {
            Kind::Unix => false,
            Kind::Device => true,
            Kind::Either => std::fs::metadata(&self.path).is_ok_and(|found| {
                use std::os::unix::fs::FileTypeExt;
                found.file_type().is_char_device()
            }),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path.display().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_explicit_path_is_the_only_candidate() {
        let found = Address::candidates_from(Some("/x/socket".into()), Some("/y".into()));
        assert_eq!(found, [Address::either("/x/socket")]);
    }

    #[test]
    fn run_directory_then_device() {
        let found = Address::candidates_from(None, Some("/y".into()));
        assert_eq!(found, [Address::unix("/y/socket"), Address::device("/dev/xen/xenbus")]);
        let found = Address::candidates_from(None, None);
        assert_eq!(found[0], Address::unix("/run/xenstored/socket"));
    }

    #[test]
    fn what_a_path_is_is_looked_at() {
        assert!(Address::either("/dev/null").is_device());
        assert!(!Address::either("/nonexistent").is_device());
        assert!(!Address::unix("/dev/null").is_device());
        assert!(Address::device("/nonexistent").is_device());
    }
}
