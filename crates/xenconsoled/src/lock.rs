//! The lock of a run directory: one daemon serves it, and whoever comes second is told who that is.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, Mode, OFlags, Stat, flock, fstat, major, minor, open};
use rustix::io::Errno;

/// Held as long as this lives, by this process alone.
#[derive(Debug)]
pub struct Lock {
    _file: OwnedFd,
}

/// Why it is not to be had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// A daemon is there.
    #[error("{}: another daemon{} serves this run directory; {}", .path.display(), process(*.holder), way_out(*.holder))]
    Held {
        /// The lock's file.
        path: PathBuf,
        /// That daemon's process id, where it can be seen.
        holder: Option<u32>,
    },
    /// The file cannot be opened or locked.
    #[error("{}: {why}{}", .path.display(), where_to(*.why))]
    System {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        why: Errno,
    },
}

impl Lock {
    /// Takes the lock of a run directory.
    pub fn take(run: &Path) -> Result<Lock, LockError> {
        let path = run.join("xenlog.lock");
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let file = match open(&path, flags, Mode::RUSR | Mode::WUSR) {
            Ok(file) => file,
            Err(why) => return Err(LockError::System { path, why }),
        };
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Lock { _file: file }),
            Err(Errno::WOULDBLOCK) => Err(LockError::Held { path, holder: holder(file.as_fd()) }),
            Err(why) => Err(LockError::System { path, why }),
        }
    }
}

fn where_to(why: Errno) -> &'static str {
    if why == Errno::NOENT {
        "; the run directory has to be there: --xen-run-dir or XEN_RUN_DIR says which it is"
    } else {
        ""
    }
}

fn process(holder: Option<u32>) -> String {
    holder.map_or_else(String::new, |id| format!(", process {id},"))
}

/// A daemon whose keeper was killed goes on, and is what is met most often by a second one.
fn way_out(holder: Option<u32>) -> String {
    let id = holder.map_or_else(|| "it".to_owned(), |id| id.to_string());
    format!(
        "to start anew, stop its keeper, or, if it has none any more, kill {id}: it writes what it holds and leaves"
    )
}

/// Who holds the lock, as the kernel shows it (proc_locks(5)).
fn holder(file: BorrowedFd<'_>) -> Option<u32> {
    let locks = std::fs::read_to_string("/proc/locks").ok()?;
    find(&locks, &fstat(file).ok()?)
}

fn find(locks: &str, file: &Stat) -> Option<u32> {
    let place = format!("{:02x}:{:02x}:{}", major(file.st_dev), minor(file.st_dev), file.st_ino);
    locks.lines().find_map(|line| {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        // With "->" behind the number it is somebody who waits. One in another pid namespace has no id here.
        match words[..] {
            [_, "FLOCK", _, _, id, at, ..] if at == place => id.parse().ok().filter(|id| *id > 0),
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_one_is_told_who_the_first_is_and_the_third_may_have_it() {
        let dir = tempfile::tempdir().unwrap();
        let first = Lock::take(dir.path()).unwrap();
        let why = Lock::take(dir.path()).unwrap_err();
        let own = std::process::id();
        assert!(matches!(why, LockError::Held { holder: Some(id), .. } if id == own), "{why:?}");
        let text = why.to_string();
        assert!(text.contains(&format!("another daemon, process {own},")) && text.contains(&format!("kill {own}:")));
        drop(first);
        Lock::take(dir.path()).unwrap();
        let why = Lock::take(&dir.path().join("no")).unwrap_err();
        assert!(
            matches!(why, LockError::System { why: Errno::NOENT, .. }) && why.to_string().contains("--xen-run-dir")
        );
    }

    #[test]
    fn only_who_holds_it_counts() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = fstat(std::fs::File::open(dir.path()).unwrap()).unwrap();
        (file.st_dev, file.st_ino) = (rustix::fs::makedev(0, 0x1a), 77);
        let locks = "1: POSIX  ADVISORY  WRITE 5 00:1a:77 0 EOF\n\
            2: FLOCK  ADVISORY  WRITE 6 00:1a:778 0 EOF\n\
            3: -> FLOCK  ADVISORY  WRITE 7 00:1a:77 0 EOF\n\
            4: FLOCK  ADVISORY  WRITE 8 00:1a:77 0 EOF\n";
        assert_eq!(find(locks, &file), Some(8));
        assert_eq!(find(&locks.replace(" 8 ", " 0 "), &file), None);
        assert_eq!(find("", &file), None);
    }
}
