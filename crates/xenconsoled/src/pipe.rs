//! FIFOs below the run directory: found, told apart and opened without ever waiting, and never by anything but themselves.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use logfile::Root;
use logproto::{PipePath, RootPath};
use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, RenameFlags, Statx, StatxFlags, makedev, open, renameat_with, statx, unlinkat,
};

use crate::logs::FifoId;

/// Why a pipe cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum PipeError {
    /// It is not there, or not to be reached without leaving the run directory.
    #[error("{0}")]
    Root(#[from] logfile::Error),
    /// What is there is not a FIFO.
    #[error("{} is {kind}, not a FIFO", path.display())]
    NotAFifo {
        /// Where.
        path: PathBuf,
        /// What it is.
        kind: logfile::Kind,
    },
    /// It is a FIFO and still cannot be opened.
    #[error("cannot {what} {}: {why}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// The system's answer.
        why: rustix::io::Errno,
    },
}

/// A FIFO that was found and is not open yet: it has no reader by this.
#[derive(Debug)]
pub struct Located {
    fd: OwnedFd,
    path: PathBuf,
    id: FifoId,
}

/// Finds what `pipe` names and sees that it is a FIFO. Nothing is opened: a FIFO, device or socket does not notice.
pub fn locate(run: &RootPath, pipe: &PipePath) -> Result<Located, PipeError> {
    let root = Root::open(run.path())?;
    let fd = root.locate(pipe.relative())?;
    let path = pipe.below(run);
    let stat = look(&fd, Path::new(""), AtFlags::EMPTY_PATH).map_err(|why| PipeError::Io {
        what: "look at",
        path: path.clone(),
        why,
    })?;
    match FileType::from_raw_mode(stat.stx_mode.into()) {
        FileType::Fifo => Ok(Located { fd, path, id: id(&stat) }),
        kind => Err(PipeError::NotAFifo { path, kind: kind.into() }),
    }
}

/// Which FIFO the value of an entry's `pipe` names now, if it names one: also where what the entry asks for is refused for something
/// else.
pub fn named(run: &RootPath, pipe: Option<&[u8]>) -> Option<FifoId> {
    let path = PipePath::new(pipe?, run).ok()?;
    locate(run, &path).ok().map(|located| located.id())
}

impl Located {
    /// Which FIFO it is.
    pub fn id(&self) -> FifoId {
        self.id
    }

    /// Opens it for reading. What is opened is what was found, whatever the name leads to by now: it is opened through
    /// `/proc/self/fd` (proc(5)).
    pub fn open(self) -> Result<OwnedFd, PipeError> {
        let through = format!("/proc/self/fd/{}", self.fd.as_fd().as_raw_fd());
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
        open(Path::new(&through), flags, Mode::empty()).map_err(|why| PipeError::Io {
            what: "open",
            path: self.path,
            why,
        })
    }
}

/// Removes the name of a FIFO whose log is over, if it still is the name of that FIFO.
pub fn unlink(run: &RootPath, pipe: &PipePath, held: FifoId) {
    let Ok((dir, name)) = Root::open(run.path()).and_then(|root| root.entry(pipe.relative())) else { return };
    let is_held =
        |name: &OsStr| look(&dir, name.as_ref(), AtFlags::SYMLINK_NOFOLLOW).is_ok_and(|stat| id(&stat) == held);
    if !is_held(&name) {
        return;
    }
    // Its client may have put another in its place by now. So it is taken aside and looked at again: what is aside nobody replaces.
    // A daemon that is killed here leaves it to the rule for FIFOs of dead clients.
    let aside = OsString::from(format!("xenlog-gone-{}", held.ino));
    // Whoever removed it first did what was wanted.
    let Ok(()) = renameat_with(&dir, &name, &dir, &aside, RenameFlags::NOREPLACE) else { return };
    if is_held(&aside) || renameat_with(&dir, &aside, &dir, &name, RenameFlags::NOREPLACE).is_err() {
        let _ = unlinkat(&dir, &aside, AtFlags::empty());
    }
}

/// Which FIFO this is.
pub fn id_of(pipe: impl AsFd) -> Option<FifoId> {
    look(pipe, Path::new(""), AtFlags::EMPTY_PATH).ok().map(|stat| id(&stat))
}

/// Which file this is, by its path.
pub fn id_at(path: &Path) -> Option<FifoId> {
    look(rustix::fs::CWD, path, AtFlags::SYMLINK_NOFOLLOW).ok().map(|stat| id(&stat))
}

fn look(dir: impl AsFd, path: &Path, flags: AtFlags) -> rustix::io::Result<Statx> {
    statx(dir, path, flags, StatxFlags::BASIC_STATS | StatxFlags::BTIME)
}

fn id(stat: &Statx) -> FifoId {
    let is_told = StatxFlags::from_bits_retain(stat.stx_mask).contains(StatxFlags::BTIME);
    let nanos = stat.stx_btime.tv_sec.cast_unsigned().wrapping_mul(1_000_000_000);
    let born = if is_told { nanos.wrapping_add(stat.stx_btime.tv_nsec.into()) } else { 0 };
    FifoId { dev: makedev(stat.stx_dev_major, stat.stx_dev_minor), ino: stat.stx_ino, born }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{CWD, mkfifoat};

    fn run() -> (tempfile::TempDir, RootPath) {
        let dir = tempfile::tempdir().unwrap();
        let root = RootPath::new(dir.path());
        (dir, root)
    }

    fn pipe(run: &RootPath, name: &str) -> PipePath {
        PipePath::new(run.path().join(name).to_str().unwrap().as_bytes(), run).unwrap()
    }

    #[test]
    fn only_a_fifo_is_a_pipe() {
        let (dir, run) = run();
        let at = |name: &str| dir.path().join(name);
        std::fs::write(at("file"), "").unwrap();
        std::fs::create_dir(at("dir")).unwrap();
        mkfifoat(CWD, at("fifo"), Mode::RUSR | Mode::WUSR).unwrap();
        std::os::unix::fs::symlink(at("fifo"), at("link")).unwrap();
        std::os::unix::fs::symlink(dir.path(), at("linkdir")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
        for bad in ["file", "dir", "link", "socket", "missing", "linkdir/fifo", "dir/missing"] {
            let error = locate(&run, &pipe(&run, bad)).unwrap_err().to_string();
            assert!(error.contains(at(bad).to_str().unwrap()), "{error}");
        }
        locate(&run, &pipe(&run, "fifo")).unwrap().open().unwrap();
    }

    #[test]
    fn what_was_found_is_what_is_opened() {
        let (dir, run) = run();
        let path = dir.path().join("p");
        mkfifoat(CWD, &path, Mode::RUSR | Mode::WUSR).unwrap();
        let located = locate(&run, &pipe(&run, "p")).unwrap();
        let held = located.id();
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "a file in its place").unwrap();
        let fd = located.open().unwrap();
        assert_eq!(id_of(&fd), Some(held));
    }

    #[test]
    fn only_the_fifo_that_was_held_is_unlinked() {
        let (dir, run) = run();
        let path = dir.path().join("p");
        mkfifoat(CWD, &path, Mode::RUSR | Mode::WUSR).unwrap();
        let held = locate(&run, &pipe(&run, "p")).unwrap();
        // A successor of the same name, while the first one still lives.
        std::fs::remove_file(&path).unwrap();
        mkfifoat(CWD, &path, Mode::RUSR | Mode::WUSR).unwrap();
        unlink(&run, &pipe(&run, "p"), held.id());
        assert!(path.exists());
        let successor = locate(&run, &pipe(&run, "p")).unwrap();
        unlink(&run, &pipe(&run, "p"), successor.id());
        assert!(!path.exists());
    }

    /// A client had removed its FIFO and made another, which had the inode number of the first: what was still to be answered to the
    /// first request, that there is no such FIFO, was answered to the second.
    #[test]
    fn a_fifo_is_not_the_one_before_it_that_had_its_number() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("p");
        let mut seen = std::collections::HashMap::new();
        // There are file systems that give no number twice, and clocks that stand still for some milliseconds.
        for _ in 0..5000 {
            mkfifoat(CWD, &path, Mode::RUSR).unwrap();
            let id = id_at(&path).unwrap();
            std::fs::remove_file(&path).unwrap();
            if seen.insert((id.dev, id.ino), id).is_some_and(|before| before != id) {
                return;
            }
        }
        assert_eq!(seen.len(), 5000, "numbers that were given twice, and nothing that tells those FIFOs apart");
    }

    /// A log was over, and its client made another FIFO of that name between the daemon's look at the name and its removal: the new
    /// one was removed, and the next request was refused.
    #[test]
    fn what_a_client_puts_in_its_place_stays() {
        let dir = tempfile::tempdir().unwrap();
        let (run, path) = (RootPath::new(dir.path()), dir.path().join("p"));
        let pipe = PipePath::new(path.as_os_str().as_encoded_bytes(), &run).unwrap();
        for _ in 0..3000 {
            mkfifoat(CWD, &path, Mode::RUSR).unwrap();
            let old = locate(&run, &pipe).unwrap();
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    // The daemon may be first.
                    let _ = std::fs::remove_file(&path);
                    mkfifoat(CWD, &path, Mode::RUSR).unwrap();
                });
                unlink(&run, &pipe, old.id());
            });
            assert!(path.exists());
            std::fs::remove_file(&path).unwrap();
        }
    }
}
