//! A log's file: opened when it is needed, and opened again when its directory is no longer where it was.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use logfile::{Bounds, Listings, Root};
use logproto::{LogPath, RootPath};

use crate::key::LogKey;

#[cfg(test)]
pub use crate::model::faulty::LogFile;
#[cfg(not(test))]
pub use logfile::LogFile;

/// How often the names of a busy log's file are looked at, to notice what others do to it.
const CHECK: Duration = Duration::from_secs(1);

/// The log directory, opened once for all logs, and again when its path leads elsewhere.
#[derive(Debug)]
pub struct LogDir {
    path: PathBuf,
    root: Option<Root>,
    /// While many logs are opened: their directory is read once, not once for each of thousands.
    listings: Option<Listings>,
}

impl LogDir {
    /// The directory at this path; it is not opened yet.
    pub fn new(path: &RootPath) -> LogDir {
        LogDir { path: path.path().to_owned(), root: None, listings: None }
    }

    /// Many logs may be opened now, until [`LogDir::end_many`].
    pub fn begin_many(&mut self) {
        self.listings.get_or_insert_default();
    }

    /// That is over: what is made in the directory from now on counts again.
    pub fn end_many(&mut self) {
        self.listings = None;
    }

    fn open(&mut self, path: &LogPath, bounds: Bounds) -> Result<LogFile, logfile::Error> {
        let (dir, name) = self.root()?.entry(path.relative())?;
        match &mut self.listings {
            Some(listings) => LogFile::open_with(&dir, &name, bounds, listings),
            None => LogFile::open(&dir, &name, bounds),
        }
    }

    /// The directory, as the path leads to it now.
    pub fn root(&mut self) -> Result<&Root, logfile::Error> {
        let root = match self.root.take().filter(Root::is_current) {
            Some(root) => root,
            None => Root::open(&self.path)?,
        };
        Ok(self.root.insert(root))
    }
}

/// The log directories: the one of most logs, and that of consoles where it is another.
#[derive(Debug)]
pub struct LogDirs {
    log: LogDir,
    console: Option<LogDir>,
}

impl LogDirs {
    /// The directories at these paths; they are not opened yet.
    pub fn new(log: &RootPath, console: Option<&RootPath>) -> LogDirs {
        LogDirs { log: LogDir::new(log), console: console.map(LogDir::new) }
    }

    /// The one that a log's file is in.
    pub fn of(&mut self, key: &LogKey) -> &mut LogDir {
        match (key, &mut self.console) {
            (LogKey::Own(_), Some(console)) => console,
            _ => &mut self.log,
        }
    }

    /// See [`LogDir::begin_many`].
    pub fn begin_many(&mut self) {
        std::iter::once(&mut self.log).chain(&mut self.console).for_each(LogDir::begin_many);
    }

    /// See [`LogDir::end_many`].
    pub fn end_many(&mut self) {
        std::iter::once(&mut self.log).chain(&mut self.console).for_each(LogDir::end_many);
    }
}

/// One log's file.
#[derive(Debug)]
pub struct File {
    path: LogPath,
    bounds: Bounds,
    log: Option<LogFile>,
    checked: Instant,
}

impl File {
    /// A file that is opened when it is first needed.
    pub fn later(path: LogPath, bounds: Bounds, now: Instant) -> File {
        File { path, bounds, log: None, checked: now }
    }

    /// Opens the file now.
    pub fn open(path: LogPath, bounds: Bounds, dir: &mut LogDir, now: Instant) -> Result<File, logfile::Error> {
        let mut file = File::later(path, bounds, now);
        file.log(dir, now)?;
        Ok(file)
    }

    /// The file, ready to be written.
    pub fn log(&mut self, dir: &mut LogDir, now: Instant) -> Result<&mut LogFile, logfile::Error> {
        if now.duration_since(self.checked) >= CHECK {
            self.checked = now;
            self.check()?;
        }
        let log = match self.log.take() {
            Some(log) => log,
            None => dir.open(&self.path, self.bounds)?,
        };
        Ok(self.log.insert(log))
    }

    /// Notices what others did to the file or to its directory.
    fn check(&mut self) -> Result<(), logfile::Error> {
        let Some(log) = self.log.as_mut().filter(|log| !log.is_as_left()) else { return Ok(()) };
        if log.dir().is_gone()? {
            // Another may have its name by now: that is found by opening anew.
            self.log = None;
            return Ok(());
        }
        log.check()
    }

    /// A write failed: the next one starts from what is there. Where the path leads to another directory by now, that
    /// is where the log goes on: the one that it had was removed, or its disk has failed and another one took its
    /// place.
    pub fn suspect(&mut self, dir: &mut LogDir) {
        let Some(log) = &self.log else { return };
        let parent = self.path.relative().parent().unwrap_or(Path::new(""));
        let is_elsewhere = match dir.root().and_then(|root| root.dir(parent)) {
            Ok(there) => there != *log.dir(),
            Err(_) => log.dir().is_gone().unwrap_or(true),
        };
        if is_elsewhere {
            self.log = None;
        }
    }

    /// Takes up other bounds.
    pub fn set_bounds(&mut self, bounds: Bounds) -> Result<(), logfile::Error> {
        self.bounds = bounds;
        self.log.as_mut().map_or(Ok(()), |log| log.set_bounds(bounds))
    }

    /// Opens the file again by its name.
    pub fn reopen(&mut self, dir: &mut LogDir) -> Result<(), logfile::Error> {
        match (&mut self.log, &mut dir.listings) {
            (Some(log), Some(listings)) => log.reopen_with(listings),
            (Some(log), None) => log.reopen(),
            (None, _) => Ok(()),
        }
    }
}
