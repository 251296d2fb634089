//! One writer a domain: the lock file of the stock client, so that `xl console` and we keep each other out.

use std::env;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use logproto::DomId;
use rustix::fs::{FlockOperation, OFlags, flock, major, minor};
use rustix::io::Errno;

use super::Error;

/// Where lock files are when nothing else is said; `XEN_LOCK_DIR` of Xen's build.
pub const LOCK_DIR: &str = "/var/lock";

/// Where lock files are: `XEN_LOCK_DIR` of the environment, else [`LOCK_DIR`].
pub fn lock_dir() -> PathBuf {
    env::var_os("XEN_LOCK_DIR").filter(|dir| !dir.is_empty()).map_or_else(|| LOCK_DIR.into(), PathBuf::from)
}

/// The right to write to a domain's consoles, until it is dropped or the process ends in whatever way.
#[derive(Debug)]
pub struct Lock {
    path: PathBuf,
    /// Closed after the name is gone, so that who opens the name next never waits behind a file without one.
    _file: File,
}

impl Lock {
    /// Takes it, or fails at once.
    ///
    /// # Errors
    /// [`Error::InUse`] or [`Error::Lock`].
    pub fn take(dir: &Path, domid: DomId) -> Result<Lock, Error> {
        let path = dir.join(format!("xenconsole.{domid}"));
        let failed = |source: io::Error| Error::Lock { path: path.clone(), source };
        loop {
            let file = File::options()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
                .open(&path)
                .map_err(failed)?;
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(Errno::INTR) => continue,
                Err(Errno::WOULDBLOCK) => return Err(Error::InUse { domid, holder: holder(&file) }),
                Err(errno) => return Err(failed(errno.into())),
            }
            // The one before us removes the name when it is done: a lock on a file without a name is nobody's.
            let identity = |found: &fs::Metadata| (found.dev(), found.ino());
            let locked = identity(&file.metadata().map_err(failed)?);
            match fs::symlink_metadata(&path) {
                Ok(named) if identity(&named) == locked => return Ok(Lock { path, _file: file }),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(failed(error)),
            }
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // A name that stays is no lock: that is the kernel's, and goes with the file.
        let _ = fs::remove_file(&self.path);
    }
}

/// Who holds a lock on this file, by the kernel's list (proc_locks(5)).
fn holder(file: &File) -> Option<String> {
    let found = file.metadata().ok()?;
    let name = format!("{:02x}:{:02x}:{}", major(found.dev()), minor(found.dev()), found.ino());
    let pid = pid(&fs::read_to_string("/proc/locks").ok()?, &name)?;
    let program = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    Some(format!("{} (process {pid})", program.trim_end().escape_debug()))
}

/// The process that has this file locked by flock(2). One of another process namespace has no number here.
fn pid(locks: &str, file: &str) -> Option<u32> {
    let of = |line: &str| match line.split_whitespace().collect::<Vec<_>>()[..] {
        [_, "FLOCK", _, _, pid, name, ..] if name == file => pid.parse().ok().filter(|&pid| pid > 0),
        _ => None,
    };
    locks.lines().find_map(of)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn held_once_and_free_again() {
        let dir = tempfile::tempdir().unwrap();
        let domid = "7".parse().unwrap();
        let first = Lock::take(dir.path(), domid).unwrap();
        let refused = Lock::take(dir.path(), domid).unwrap_err();
        assert!(matches!(&refused, Error::InUse { .. }), "{refused}");
        drop(Lock::take(dir.path(), "8".parse().unwrap()).unwrap());
        drop(first);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "no name is left");
        let second = Lock::take(dir.path(), domid).unwrap();
        // Somebody removed the name: it is no longer what others find.
        fs::remove_file(dir.path().join("xenconsole.7")).unwrap();
        drop(Lock::take(dir.path(), domid).unwrap());
        drop(second);
    }

    /// Who ends removes the name, and may do so between another's open and lock.
    #[test]
    fn never_held_twice() {
        use std::sync::atomic::{AtomicU32, Ordering};
        let dir = tempfile::tempdir().unwrap();
        let (held, taken) = (AtomicU32::new(0), AtomicU32::new(0));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    while taken.load(Ordering::SeqCst) < 2000 {
                        let Ok(lock) = Lock::take(dir.path(), "7".parse().unwrap()) else { continue };
                        assert_eq!(held.fetch_add(1, Ordering::SeqCst), 0);
                        std::thread::yield_now();
                        taken.fetch_add(1, Ordering::SeqCst);
                        held.fetch_sub(1, Ordering::SeqCst);
                        drop(lock);
                    }
                });
            }
        });
    }

    #[test]
    fn a_link_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(dir.path().join("elsewhere"), dir.path().join("xenconsole.7")).unwrap();
        let refused = Lock::take(dir.path(), "7".parse().unwrap()).unwrap_err();
        assert!(refused.to_string().contains("xenconsole.7"), "{refused}");
        assert!(!dir.path().join("elsewhere").exists());
    }

    #[test]
    fn the_kernels_list_names_the_holder() {
        let locks = "1: POSIX  ADVISORY  WRITE 11 00:1a:7 0 EOF\n\
                     2: FLOCK  ADVISORY  WRITE 12 00:1a:77 0 EOF\n\
                     2: -> FLOCK  ADVISORY  WRITE 14 00:1a:7 0 EOF\n\
                     3: FLOCK  ADVISORY  WRITE 13 00:1a:7 0 EOF\n";
        assert_eq!(pid(locks, "00:1a:7"), Some(13));
        assert_eq!(pid(locks, "00:1a:8"), None);
        assert_eq!(pid("1: FLOCK ADVISORY WRITE 0 00:1a:7 0 EOF\n", "00:1a:7"), None);
    }
}
