//! Our end of a console's pseudo terminal.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{FileType, Mode, OFlags, fstat, major, open};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};

use super::Error;

/// The devices that are slaves of pseudo terminals (Documentation/admin-guide/devices.txt of Linux: Unix98 PTY slaves).
const PTS_MAJORS: std::ops::RangeInclusive<u32> = 136..=143;

/// Our end of a console's pseudo terminal: raw, and never waiting.
#[derive(Debug)]
pub struct Tty {
    fd: OwnedFd,
    path: String,
}

impl Tty {
    /// Opens it. What is no pseudo terminal is not touched: merely opening some devices does something.
    ///
    /// # Errors
    /// [`Error::Tty`] or [`Error::NoTerminal`].
    pub fn open(path: &str) -> Result<Tty, Error> {
        let failed = |source: io::Error| Error::Tty { path: path.to_owned(), source };
        let name = CString::new(path).map_err(|_| Error::NoTerminal(path.to_owned()))?;
        let found = open(name, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).map_err(|errno| failed(errno.into()))?;
        let stat = fstat(&found).map_err(|errno| failed(errno.into()))?;
        let is_pts = FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice
            && PTS_MAJORS.contains(&major(stat.st_rdev));
        if !is_pts {
            return Err(Error::NoTerminal(path.to_owned()));
        }
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fd = open(format!("/proc/self/fd/{}", found.as_raw_fd()), flags, Mode::empty())
            .map_err(|errno| failed(errno.into()))?;
        // The daemon made it so; other clients may have left it otherwise.
        let mut mode = tcgetattr(&fd).map_err(|errno| failed(errno.into()))?;
        mode.make_raw();
        tcsetattr(&fd, OptionalActions::Now, &mode).map_err(|errno| failed(errno.into()))?;
        Ok(Tty { fd, path: path.to_owned() })
    }

    /// Its path, as the store has it.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Whether guest output is waiting to be read.
    pub fn is_any_waiting(&self) -> bool {
        rustix::io::ioctl_fionread(&self.fd).is_ok_and(|bytes| bytes > 0)
    }
}

impl AsFd for Tty {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_terminal_is_not_opened() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, "kept").unwrap();
        for path in [file.to_str().unwrap(), "/dev/null", "/dev/pts/ptmx", "/", "a\0b"] {
            let refused = Tty::open(path).unwrap_err();
            assert!(matches!(refused, Error::NoTerminal(_)), "{path}: {refused}");
        }
        assert!(matches!(Tty::open("/dev/pts/no"), Err(Error::Tty { .. })));
        assert!(matches!(Tty::open(""), Err(Error::Tty { .. })));
    }
}
