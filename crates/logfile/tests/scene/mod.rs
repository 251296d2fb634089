//! A directory of its own with a log in it, and what is in the files.
#![allow(dead_code, reason = "each test file uses a part")]

pub mod mount;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use logfile::{AppendError, Bounds, Dir, Error, LogFile, Scratch};
use rustix::pipe::{PipeFlags, pipe_with};
use tempfile::TempDir;

/// The name of the log.
pub const NAME: &str = "q.log";

pub struct Scene {
    held: TempDir,
    pub dir: Dir,
}

impl Scene {
    pub fn new() -> Self {
        let held = tempfile::tempdir().unwrap();
        let dir = Dir::open(held.path()).unwrap();
        Self { held, dir }
    }

    pub fn open(&self, limit: u64, copies: u32) -> Result<LogFile, Error> {
        LogFile::open(&self.dir, OsStr::new(NAME), Bounds { limit, copies })
    }

    pub fn root(&self) -> &Path {
        self.held.path()
    }

    /// The path of a copy; 0 is the live file.
    pub fn path(&self, number: u32) -> PathBuf {
        match number {
            0 => self.root().join(NAME),
            number => self.root().join(format!("{NAME}.{number}")),
        }
    }

    pub fn put(&self, number: u32, content: impl AsRef<[u8]>) {
        fs::write(self.path(number), content).unwrap();
    }

    pub fn get(&self, number: u32) -> String {
        String::from_utf8(fs::read(self.path(number)).unwrap()).unwrap()
    }

    /// Everything in the directory, by name: files with their content.
    pub fn files(&self) -> BTreeMap<String, Vec<u8>> {
        fs::read_dir(self.root())
            .unwrap()
            .map(|entry| entry.unwrap())
            .map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap_or_default()))
            .collect()
    }

    /// The files and their content as text, in the order of their names.
    pub fn texts(&self) -> Vec<(String, String)> {
        self.files().into_iter().map(|(name, content)| (name, String::from_utf8(content).unwrap())).collect()
    }

    /// The log from its oldest byte: the copies from the highest number down, then the live file.
    pub fn stream(&self) -> Vec<u8> {
        let mut files: Vec<(u32, Vec<u8>)> = self
            .files()
            .into_iter()
            .map(|(name, content)| match name.strip_prefix(NAME).unwrap().strip_prefix('.') {
                Some(number) => (number.parse().unwrap(), content),
                None => (0, content),
            })
            .collect();
        files.sort_by_key(|(number, _)| std::cmp::Reverse(*number));
        files.into_iter().flat_map(|(_, content)| content).collect()
    }

    /// All that the log takes on disk, in bytes.
    pub fn total(&self) -> u64 {
        self.files().values().map(|content| content.len() as u64).sum()
    }
}

/// Both ways into a log. What holds for one has to hold for the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Memory,
    Pipe,
}

pub const WAYS: [Way; 2] = [Way::Memory, Way::Pipe];

impl Way {
    /// Appends all of it, which has to fit in a pipe. When that fails in the pipe, what is left in the pipe is checked.
    pub fn append(self, log: &mut LogFile, bytes: impl AsRef<[u8]>) -> Result<(), AppendError> {
        let bytes = bytes.as_ref();
        if self == Self::Memory {
            return log.append(bytes);
        }
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).unwrap();
        if bytes.len() > 60_000 {
            rustix::pipe::fcntl_setpipe_size(&writer, 1 << 20).unwrap();
        }
        let filled = rustix::io::write(&writer, bytes).unwrap_or(0);
        assert_eq!(filled, bytes.len(), "the pipe holds the chunk");
        let done = log.append_from_pipe(reader.as_fd(), bytes.len(), &mut Scratch::new().unwrap());
        let written = done.as_ref().map_or_else(|error| error.written, |()| bytes.len());
        let mut left = vec![0; bytes.len() + 1];
        let len = rustix::io::read(&reader, &mut left).unwrap_or(0);
        assert_eq!(left[..len], bytes[written..], "what was not taken is still in the pipe");
        done
    }
}
