//! The FIFO that a log's bytes go through, from the writer's side.

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::Error;
use crate::unique::unique;

/// How large the pipe is made, where the system allows it: the default of /proc/sys/fs/pipe-max-size, pipe(7).
const PIPE_SIZE: usize = 1 << 20;
/// What a pipe has anyhow.
const PIPE_SIZE_MIN: usize = 64 << 10;
/// How many names are tried. One is enough, unless somebody else makes up the same 64 random bits.
const NAMES: u32 = 100;

/// A FIFO that we made. Dropping it removes it, unless another file has taken its name.
#[derive(Debug)]
pub(crate) struct Fifo {
    path: PathBuf,
    /// Device and inode.
    identity: (u64, u64),
    /// It stays when this value goes.
    is_left: bool,
}

impl Fifo {
    /// Makes a FIFO that only its owner may open, by a name in `dir` that nobody has. Makes nothing else.
    pub(crate) fn make(dir: &Path, stem: &str) -> Result<Fifo, Error> {
        let dir =
            std::path::absolute(dir).map_err(|source| Error::Fifo { action: "make", path: dir.into(), source })?;
        let mut tried = 0;
        loop {
            let path = dir.join(format!("xenlog-{stem}-{:016x}", unique()));
            let failed = |source: io::Error| Error::Fifo { action: "make", path: path.clone(), source };
            match rustix::fs::mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0) {
                Ok(()) => {
                    let made = fs::symlink_metadata(&path).map_err(failed)?;
                    return Ok(Fifo { identity: (made.dev(), made.ino()), path, is_left: false });
                }
                Err(Errno::EXIST) if tried < NAMES => tried += 1,
                Err(error) => return Err(failed(error.into())),
            }
        }
    }

    /// Its absolute path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the write end; `None` while nobody reads.
    ///
    /// It is opened for reading too, so that a reader that goes away is never EPIPE or SIGPIPE to the writer. Only
    /// that is why the reader is looked for first, by an end of another kind (fifo(7)).
    pub(crate) fn open(&self, blocking: bool) -> Result<Option<OwnedFd>, Error> {
        let flags = OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let probe = match self.open_as(OFlags::WRONLY | flags) {
            Err(Errno::NXIO) => return Ok(None),
            probe => probe,
        };
        let end = probe.and_then(|_probe| self.open_as(OFlags::RDWR | flags));
        let failed = |source: io::Error| Error::Fifo { action: "open", path: self.path.clone(), source };
        let end = end.map_err(|error| failed(error.into()))?;
        let found = rustix::fs::fstat(&end).map_err(|error| failed(error.into()))?;
        if (found.st_dev, found.st_ino) != self.identity {
            return Err(failed(io::Error::other("another file has taken its name")));
        }
        enlarge(&end);
        if blocking {
            rustix::fs::fcntl_setfl(&end, OFlags::RDWR).map_err(|error| failed(error.into()))?;
        }
        Ok(Some(end))
    }

    fn open_as(&self, flags: OFlags) -> rustix::io::Result<OwnedFd> {
        rustix::fs::open(&self.path, flags, Mode::empty())
    }

    /// Leaves the FIFO where it is.
    pub(crate) fn leave(mut self) {
        self.is_left = true;
    }
}

impl Drop for Fifo {
    fn drop(&mut self) {
        let still_ours = |found: &fs::Metadata| (found.dev(), found.ino()) == self.identity;
        if !self.is_left && fs::symlink_metadata(&self.path).is_ok_and(|found| still_ours(&found)) {
            // Whoever removed it meanwhile did what was to be done; other trouble leaves an empty FIFO, which does no
            // harm.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Makes the pipe as large as it may be: a privileged user's can have any size, another's up to pipe-max-size while
/// their pipes together stay below pipe-user-pages-soft (pipe(7)). A small pipe works too.
fn enlarge(end: &impl AsFd) {
    let mut size = PIPE_SIZE;
    while size > PIPE_SIZE_MIN && rustix::pipe::fcntl_setpipe_size(end, size).is_err() {
        size /= 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{FileTypeExt, PermissionsExt};

    fn reader(fifo: &Fifo) -> OwnedFd {
        fifo.open_as(OFlags::RDONLY | OFlags::NONBLOCK).unwrap()
    }

    #[test]
    fn it_is_made_for_its_owner_only_and_goes_with_its_value() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = Fifo::make(dir.path(), "t").unwrap();
        let found = fs::symlink_metadata(fifo.path()).unwrap();
        assert!(found.file_type().is_fifo());
        assert_eq!(found.permissions().mode() & 0o177, 0);
        drop(fifo);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn the_directory_is_not_made() {
        let dir = tempfile::tempdir().unwrap();
        let gone = dir.path().join("gone");
        let error = Fifo::make(&gone, "t").unwrap_err();
        assert!(error.to_string().starts_with(&format!("cannot make {}/xenlog-t-", gone.display())), "{error}");
        assert!(!gone.exists());
    }

    #[test]
    fn left_alone_it_stays() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = Fifo::make(dir.path(), "t").unwrap();
        let path = fifo.path().to_owned();
        fifo.leave();
        assert!(path.exists());
    }

    #[test]
    fn nobody_elses_file_is_removed_or_opened() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = Fifo::make(dir.path(), "t").unwrap();
        let path = fifo.path().to_owned();
        fs::rename(&path, dir.path().join("aside")).unwrap();
        rustix::fs::mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let _reader = reader(&fifo);
        let error = fifo.open(false).unwrap_err();
        assert!(error.to_string().contains("another file"), "{error}");
        drop(fifo);
        assert!(path.exists());
    }

    #[test]
    fn a_write_end_needs_a_reader_and_then_never_breaks() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = Fifo::make(dir.path(), "t").unwrap();
        assert!(fifo.open(false).unwrap().is_none());
        let reader = reader(&fifo);
        let end = fifo.open(false).unwrap().unwrap();
        assert!(rustix::fs::fcntl_getfl(&end).unwrap().contains(OFlags::NONBLOCK));
        assert!(rustix::io::fcntl_getfd(&end).unwrap().contains(rustix::io::FdFlags::CLOEXEC));
        drop(reader);
        while rustix::io::write(&end, &[0; 4096]).is_ok() {}
        assert_eq!(rustix::io::write(&end, b"x"), Err(Errno::AGAIN), "neither EPIPE nor a wait");
    }

    #[test]
    fn a_write_end_blocks_if_that_is_wanted() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = Fifo::make(dir.path(), "t").unwrap();
        let _reader = reader(&fifo);
        let end = fifo.open(true).unwrap().unwrap();
        assert!(!rustix::fs::fcntl_getfl(&end).unwrap().contains(OFlags::NONBLOCK));
    }
}
