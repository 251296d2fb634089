//! Where a logger works: directories, pipes, files.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, mkfifoat};
use tempfile::TempDir;

use crate::lines;
use crate::works::Failure;

/// What is asked of a logger.
#[derive(Clone, Copy, Debug)]
pub struct Order {
    /// Logs.
    pub logs: usize,
    /// The most bytes of a file.
    pub limit: u64,
    /// Rotated copies.
    pub copies: u32,
    /// Nothing may be lost by rotation: file and copies have room for all that will be written, and a logger that keeps no
    /// copies gets one file without a limit.
    pub keeps_all: bool,
    /// The first line of each log waits before the logger starts, where that is possible.
    pub is_waiting: bool,
}

impl Order {
    /// Logs with room for all.
    pub fn of(logs: usize) -> Order {
        Order { logs, limit: 16_000_000, copies: 20, keeps_all: true, is_waiting: false }
    }

    /// What file and copies may have together.
    pub fn bound(&self) -> u64 {
        self.limit * (u64::from(self.copies) + 1)
    }
}

/// Directories for one start of a logger; gone with this.
#[derive(Debug)]
pub struct Scene {
    dir: TempDir,
    /// What is asked.
    pub order: Order,
}

impl Scene {
    /// New, empty ones below `data`.
    pub fn new(data: &Path, order: Order) -> Result<Scene, Failure> {
        let dir = tempfile::Builder::new().prefix("scene").tempdir_in(data)?;
        for name in ["run", "log"] {
            fs::create_dir(dir.path().join(name))?;
        }
        Ok(Scene { dir, order })
    }

    /// The directory of all.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The directory of pipes.
    pub fn run(&self) -> PathBuf {
        self.dir.path().join("run")
    }

    /// The directory of logs.
    pub fn log(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    /// The pipe of a log, where it is a FIFO.
    pub fn pipe(&self, log: usize) -> PathBuf {
        self.run().join(format!("qemu-{log}"))
    }

    /// The file of a log.
    pub fn file(&self, log: usize) -> PathBuf {
        self.log().join(format!("qemu-dm-{log}.log"))
    }

    /// Makes the FIFO of each log and holds it open, as a guest's emulator does. The first lines are in them if they shall wait.
    pub fn make_pipes(&self) -> Result<Vec<File>, Failure> {
        let mut held = Vec::with_capacity(self.order.logs);
        for log in 0..self.order.logs {
            mkfifoat(CWD, self.pipe(log), Mode::RUSR | Mode::WUSR)?;
            let mut pipe = File::options().read(true).write(true).open(self.pipe(log))?;
            if self.order.is_waiting {
                pipe.write_all(&lines::line(log, 0))?;
            }
            held.push(pipe);
        }
        Ok(held)
    }

    /// Where what a logger says goes.
    pub fn said(&self) -> Result<File, Failure> {
        Ok(File::options().create(true).append(true).open(self.dir.path().join("said"))?)
    }

    /// The end of what it has said.
    pub fn last_words(&self) -> String {
        let said = fs::read(self.dir.path().join("said")).unwrap_or_default();
        String::from_utf8_lossy(&said[said.len().saturating_sub(400)..]).trim().to_owned()
    }
}
