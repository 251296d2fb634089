//! Waiting for a log to change.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::io::{Errno, read};

use crate::dir::Dir;
use crate::error::Error;

/// An inotify(7) descriptor that watches the file that is read, and the directory for a new live file.
#[derive(Debug)]
pub(super) struct Changes {
    fd: OwnedFd,
    file: Option<i32>,
}

impl Changes {
    pub(super) fn new(dir: &Dir) -> Result<Self, Error> {
        let failed = |errno| Error::io("watch", dir.path(), errno);
        let fd = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).map_err(failed)?;
        // A new live file counts only once it has its mark, which is an attribute.
        let new = WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::ATTRIB;
        inotify::add_watch(&fd, path(dir.as_fd()), new).map_err(failed)?;
        Ok(Self { fd, file: None })
    }

    /// Watches this file instead of the last one, for bytes and for a new mark.
    pub(super) fn watch(&mut self, file: BorrowedFd<'_>) -> Result<(), Errno> {
        if let Some(last) = self.file.take() {
            // Removed by the kernel already if the file is gone.
            let _ = inotify::remove_watch(&self.fd, last);
        }
        self.file = Some(inotify::add_watch(&self.fd, path(file), WatchFlags::MODIFY | WatchFlags::ATTRIB)?);
        Ok(())
    }

    /// Forgets what has changed so far. What changes later makes the descriptor readable again.
    pub(super) fn forget(&self) {
        // Room for many; one has at most 16 bytes and a name.
        let mut events = [0; 4096];
        while read(&self.fd, &mut events).is_ok_and(|len| len > 0) {}
    }
}

impl AsFd for Changes {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// inotify(7) goes by names; this one leads to what is open, whatever its name is by now.
fn path(fd: BorrowedFd<'_>) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}
