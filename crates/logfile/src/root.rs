//! The trusted directory that no path from the store leads out of.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use rustix::fs::{Mode, OFlags, ResolveFlags, openat2, stat};
use rustix::io::Errno;

use crate::dir::{Dir, Held};
use crate::error::Error;

/// openat2(2) gives up with EAGAIN when a directory on the way is being renamed. That often in a row means that
/// somebody renames on purpose.
const RENAMED_ON_THE_WAY: u32 = 64;

/// A trusted directory, opened once: XEN_LOG_DIR or XEN_RUN_DIR. Symbolic links in its own path are followed
/// (`/var/run/xen` is commonly `/run/xen`). Whatever is opened beneath it is resolved by the kernel (openat2(2),
/// `RESOLVE_BENEATH`, no symbolic links), so a link that is put in place after a check gains nothing.
#[derive(Debug)]
pub struct Root {
    dir: Dir,
    /// Directories beneath that somebody holds, so that the logs in one share its descriptor.
    open: Mutex<Vec<Weak<Held>>>,
}

impl Root {
    /// Opens the root.
    ///
    /// # Errors
    /// [`Error::DirectoryGone`], [`Error::NotADirectory`] or [`Error::Io`].
    pub fn open(path: &Path) -> Result<Self, Error> {
        let dir = Dir::open(path)?;
        let open = Mutex::new(vec![Arc::downgrade(dir.shared())]);
        Ok(Self { dir, open })
    }

    /// The path that the root was opened by.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// False when the path of the root leads somewhere else than at [`Root::open`], or nowhere: the directory was
    /// removed, renamed or mounted over. Then the root has to be opened again, and all that is beneath it.
    #[must_use]
    pub fn is_current(&self) -> bool {
        stat(self.path()).is_ok_and(|stat| (stat.st_dev, stat.st_ino) == self.dir.identity())
    }

    /// Opens a directory beneath the root; an empty path or `.` is the root itself. The same directory opened twice
    /// shares one descriptor.
    ///
    /// # Errors
    /// [`Error::SymlinkOnTheWay`], [`Error::LeadsOutside`], [`Error::NotADirectory`], [`Error::DirectoryGone`] when it
    /// is not there, or [`Error::Io`].
    pub fn dir(&self, relative: &Path) -> Result<Dir, Error> {
        let fd = self.resolve(relative, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC)?;
        let opened = Dir::from_fd(fd, self.join(relative))?;
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let known = open.iter().filter_map(Weak::upgrade).map(Dir::from_shared).find(|dir| *dir == opened);
        if let Some(known) = known {
            return Ok(known);
        }
        open.retain(|held| held.strong_count() > 0);
        open.push(Arc::downgrade(opened.shared()));
        Ok(opened)
    }

    /// Opens the directory of a file beneath the root and gives the name of the file in it. The file itself is not
    /// looked at.
    ///
    /// # Errors
    /// [`Error::BadName`] when the path does not end in a name; else as [`Root::dir`].
    pub fn entry(&self, relative: &Path) -> Result<(Dir, OsString), Error> {
        let Some(name) = relative.file_name() else {
            return Err(Error::BadName { name: relative.display().to_string() });
        };
        let dir = self.dir(relative.parent().unwrap_or(Path::new("")))?;
        Ok((dir, name.to_owned()))
    }

    /// Opens whatever is at a path beneath the root with `O_PATH`: it can be looked at (fstat(2)) and opened for real
    /// through `/proc/self/fd`, but this alone has no effect on a FIFO or a device.
    ///
    /// # Errors
    /// As [`Root::dir`]; [`Error::Io`] with `ENOENT` when nothing is there.
    pub fn locate(&self, relative: &Path) -> Result<OwnedFd, Error> {
        self.resolve(relative, OFlags::PATH | OFlags::CLOEXEC)
    }

    fn resolve(&self, relative: &Path, flags: OFlags) -> Result<OwnedFd, Error> {
        let path = if relative.as_os_str().is_empty() { Path::new(".") } else { relative };
        let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let mut tries = 0;
        let errno = loop {
            tries += 1;
            match openat2(&self.dir, path, flags, Mode::empty(), beneath) {
                Ok(fd) => return Ok(fd),
                Err(Errno::AGAIN | Errno::INTR) if tries < RENAMED_ON_THE_WAY => {}
                Err(errno) => break errno,
            }
        };
        let (path, root) = (self.join(relative), self.path().to_owned());
        Err(match errno {
            Errno::LOOP => Error::SymlinkOnTheWay { path, root },
            Errno::XDEV => Error::LeadsOutside { path, root },
            Errno::NOTDIR => Error::NotADirectory { path },
            Errno::NOENT if flags.contains(OFlags::DIRECTORY) => Error::DirectoryGone { path },
            errno => Error::io("open", path, errno),
        })
    }

    /// The path for the text of an error. An absolute one stays as it is: that is what is wrong with it.
    fn join(&self, relative: &Path) -> PathBuf {
        if relative.as_os_str().is_empty() { self.path().to_owned() } else { self.path().join(relative) }
    }
}
