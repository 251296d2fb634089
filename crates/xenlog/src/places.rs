//! Where the store, the FIFOs and the log files are.

use std::env;
use std::path::{Path, PathBuf};

use xenstore::Address;

/// Where FIFOs are made when nothing else is said; `XEN_RUN_DIR` of Xen's build, by its name on a systemd host.
pub const RUN_DIR: &str = "/run/xen";
/// Where log files are when nothing else is said; `XEN_LOG_DIR` of Xen's build.
pub const LOG_DIR: &str = "/var/log/xen";

/// Where the store, the FIFOs and the log files are. The two directories have to be those of the daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    /// Where to look for the store, first to last.
    pub store: Vec<Address>,
    /// The directory in which FIFOs are made. It is never created.
    pub run_dir: PathBuf,
    /// The directory below which log files are.
    pub log_dir: PathBuf,
}

impl Places {
    /// By the environment: `XENSTORED_PATH` and `XENSTORED_RUNDIR` (see [`Address::candidates`]), `XEN_RUN_DIR` and
    /// `XEN_LOG_DIR`, else [`RUN_DIR`] and [`LOG_DIR`].
    pub fn from_env() -> Places {
        let dir = |name: &str, default: &str| {
            env::var_os(name).filter(|value| !value.is_empty()).map_or_else(|| default.into(), PathBuf::from)
        };
        Places {
            store: Address::candidates(),
            run_dir: dir("XEN_RUN_DIR", RUN_DIR),
            log_dir: dir("XEN_LOG_DIR", LOG_DIR),
        }
    }

    /// The absolute path of a log file that is named absolutely, or relative to the log directory.
    pub fn log_file(&self, file: &Path) -> PathBuf {
        self.log_dir.join(file)
    }
}

impl Default for Places {
    /// Same as [`Places::from_env`].
    fn default() -> Places {
        Places::from_env()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relative_file_is_below_the_log_directory() {
        let places = Places { store: Vec::new(), run_dir: "/r".into(), log_dir: "/l".into() };
        assert_eq!(places.log_file(Path::new("sub/a.log")), Path::new("/l/sub/a.log"));
        assert_eq!(places.log_file(Path::new("/x/a.log")), Path::new("/x/a.log"));
    }
}
