//! A directory held open, so that what is checked once stays what is used.

use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{Mode, OFlags, fstat};
use rustix::io::Errno;

use crate::error::Error;

/// A directory in which logs are. Cheap to clone: the clones share one file descriptor, and thousands of logs in one
/// directory cost one descriptor for it.
///
/// Two are equal when they are the same directory on disk.
#[derive(Clone)]
pub struct Dir {
    shared: Arc<Held>,
}

/// What the clones of a [`Dir`] share.
pub(crate) struct Held {
    fd: OwnedFd,
    path: PathBuf,
    identity: (u64, u64),
}

impl Dir {
    /// Opens a directory by a trusted path: symbolic links in it are followed. For a path that is not trusted use
    /// [`Root::dir`](crate::Root::dir).
    ///
    /// # Errors
    /// [`Error::DirectoryGone`], [`Error::NotADirectory`] or [`Error::Io`].
    pub fn open(path: &Path) -> Result<Self, Error> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(path, flags, Mode::empty()).map_err(|errno| match errno {
            Errno::NOENT => Error::DirectoryGone { path: path.to_owned() },
            Errno::NOTDIR => Error::NotADirectory { path: path.to_owned() },
            errno => Error::io("open directory", path, errno),
        })?;
        Self::from_fd(fd, path.to_owned())
    }

    /// Takes a directory that is already open; `path` is only for the text of errors.
    pub(crate) fn from_fd(fd: OwnedFd, path: PathBuf) -> Result<Self, Error> {
        let stat = fstat(&fd).map_err(|errno| Error::io("look at directory", &path, errno))?;
        Ok(Self { shared: Arc::new(Held { fd, path, identity: (stat.st_dev, stat.st_ino) }) })
    }

    pub(crate) fn from_shared(shared: Arc<Held>) -> Self {
        Self { shared }
    }

    pub(crate) fn shared(&self) -> &Arc<Held> {
        &self.shared
    }

    /// The path that the directory was opened by. It may have been renamed since.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.shared.path
    }

    /// True when the directory was removed: nothing can be made in it any more, and a new directory of the same name
    /// is another one. The logs in it have to be opened again by whoever opened them.
    ///
    /// # Errors
    /// [`Error::Io`] when the directory cannot even be looked at.
    pub fn is_gone(&self) -> Result<bool, Error> {
        let stat = fstat(self).map_err(|errno| Error::io("look at directory", self.path(), errno))?;
        Ok(stat.st_nlink == 0)
    }

    /// Device and inode.
    pub(crate) fn identity(&self) -> (u64, u64) {
        self.shared.identity
    }
}

impl AsFd for Dir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.shared.fd.as_fd()
    }
}

impl PartialEq for Dir {
    fn eq(&self, other: &Self) -> bool {
        self.identity() == other.identity()
    }
}

impl Eq for Dir {}

impl fmt::Debug for Dir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Dir").field(&self.path()).finish()
    }
}
