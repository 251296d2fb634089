//! What to do when no log is to be had.

use std::fs::OpenOptions;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use crate::Error;

/// What to do when no log is to be had. The choice is the caller's: whether a program may run with its output lost, or
/// kept in a file that nothing bounds, or rather not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fallback {
    /// Fail.
    Fail,
    /// Throw the output away.
    DevNull,
    /// Append to this file, without rotation or limit; made with mode 0640 if it is not there.
    File(PathBuf),
}

impl Fallback {
    /// What to write to in place of a log, and `why` back. Does not block.
    ///
    /// # Errors
    /// `why` itself for [`Fallback::Fail`]; [`Error::NoFallback`] if the file cannot be opened.
    pub fn open(&self, why: Error) -> Result<(OwnedFd, Error), Error> {
        let path = match self {
            Fallback::Fail => return Err(why),
            Fallback::DevNull => Path::new("/dev/null"),
            Fallback::File(path) => path,
        };
        match append_to(path) {
            Ok(end) => Ok((end, why)),
            Err(source) => Err(Error::NoFallback { why: why.into(), path: path.into(), source }),
        }
    }
}

/// Opens a file without waiting, even where it is a FIFO without a reader or a terminal without a carrier.
fn append_to(path: &Path) -> io::Result<OwnedFd> {
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits() as i32;
    let file = OpenOptions::new().append(true).create(true).mode(0o640).custom_flags(flags).open(path)?;
    rustix::fs::fcntl_setfl(&file, OFlags::APPEND)?;
    Ok(file.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn failing_gives_the_reason_back() {
        assert!(matches!(Fallback::Fail.open(Error::NoDaemon), Err(Error::NoDaemon)));
    }

    #[test]
    fn a_file_is_appended_to() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        for _ in 0..2 {
            let (end, why) = Fallback::File(path.clone()).open(Error::NoDaemon).unwrap();
            assert!(matches!(why, Error::NoDaemon));
            std::fs::File::from(end).write_all(b"line\n").unwrap();
        }
        assert_eq!(std::fs::read_to_string(path).unwrap(), "line\nline\n");
        let (end, _) = Fallback::DevNull.open(Error::NoDaemon).unwrap();
        std::fs::File::from(end).write_all(b"gone").unwrap();
    }

    #[test]
    fn a_file_that_would_block_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("fifo");
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        let error = Fallback::File(path.clone()).open(Error::NoDaemon).unwrap_err();
        assert!(matches!(&error, Error::NoFallback { why, .. } if matches!(**why, Error::NoDaemon)), "{error}");
        assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
    }
}
