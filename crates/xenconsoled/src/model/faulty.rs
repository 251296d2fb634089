//! A log file on the model's disk: the real one, which fails when the disk does, waits when it waits, and is written in pieces
//! between which the daemon may be killed.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::BorrowedFd;

use logfile::{AppendError, Bounds, Dir, Error, Listings, Scratch};

use super::disk;
use crate::crash;

/// As [`logfile::LogFile`].
#[derive(Debug)]
pub struct LogFile {
    file: logfile::LogFile,
    name: OsString,
}

impl LogFile {
    /// As there.
    pub fn open(dir: &Dir, name: &OsStr, bounds: Bounds) -> Result<LogFile, Error> {
        LogFile::open_by(dir, name, || logfile::LogFile::open(dir, name, bounds))
    }

    /// As there.
    pub fn open_with(dir: &Dir, name: &OsStr, bounds: Bounds, listings: &mut Listings) -> Result<LogFile, Error> {
        LogFile::open_by(dir, name, || logfile::LogFile::open_with(dir, name, bounds, listings))
    }

    fn open_by(
        dir: &Dir,
        name: &OsStr,
        open: impl FnOnce() -> Result<logfile::LogFile, Error>,
    ) -> Result<LogFile, Error> {
        disk::touch(name).map_err(|error| Error::Io { action: "open", path: dir.path().join(name), error })?;
        let file = open()?;
        crash::point();
        Ok(LogFile { file, name: name.to_owned() })
    }

    /// As there.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), AppendError> {
        self.in_pieces(bytes.len(), |file, from, to| file.append(&bytes[from..to]))
    }

    /// As there.
    pub fn append_from_pipe(
        &mut self,
        pipe: BorrowedFd<'_>,
        len: usize,
        scratch: &mut Scratch,
    ) -> Result<(), AppendError> {
        self.in_pieces(len, |file, from, to| file.append_from_pipe(pipe, to - from, scratch))
    }

    fn in_pieces(
        &mut self,
        len: usize,
        mut write: impl FnMut(&mut logfile::LogFile, usize, usize) -> Result<(), AppendError>,
    ) -> Result<(), AppendError> {
        let cut = disk::cut(len);
        for (from, to) in [(0, cut), (cut, len)] {
            disk::wait();
            let (room, end) = disk::take(&self.name, to - from);
            write(&mut self.file, from, from + room)
                .map_err(|why| AppendError { written: from + why.written, ..why })?;
            crash::point();
            if let Some(error) = end {
                let source = self.error("write", error);
                return Err(AppendError { written: from + room, source });
            }
        }
        Ok(())
    }

    /// As there.
    pub fn is_at_line_start(&self) -> Result<bool, Error> {
        disk::touch(&self.name).map_err(|error| self.error("read", error))?;
        self.file.is_at_line_start()
    }

    /// As there.
    pub fn set_bounds(&mut self, bounds: Bounds) -> Result<(), Error> {
        let touched = disk::touch(&self.name).map_err(|error| self.error("look at", error));
        self.file.set_bounds(bounds).and(touched)
    }

    /// As there.
    pub fn check(&mut self) -> Result<(), Error> {
        disk::touch(&self.name).map_err(|error| self.error("look at", error))?;
        self.file.check()
    }

    /// As there.
    pub fn is_as_left(&self) -> bool {
        disk::touch(&self.name).is_ok() && self.file.is_as_left()
    }

    /// As there.
    pub fn reopen(&mut self) -> Result<(), Error> {
        disk::touch(&self.name).map_err(|error| self.error("open", error))?;
        self.file.reopen()
    }

    /// As there.
    pub fn reopen_with(&mut self, listings: &mut Listings) -> Result<(), Error> {
        disk::touch(&self.name).map_err(|error| self.error("open", error))?;
        self.file.reopen_with(listings)
    }

    /// As there.
    pub fn offset(&self) -> u64 {
        self.file.offset()
    }

    /// As there.
    pub fn dir(&self) -> &Dir {
        self.file.dir()
    }

    fn error(&self, action: &'static str, error: io::Error) -> Error {
        Error::Io { action, path: self.file.path(), error }
    }
}
