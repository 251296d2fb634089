//! Clocks that jump, for one daemon alone: its calls for the time go through a library of the test's (clock.c).

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// How far a daemon's clocks are off.
pub struct Clock {
    library: PathBuf,
    path: PathBuf,
    shift: File,
}

impl Clock {
    /// Clocks that are right. What they need lies in `dir`.
    pub fn new(dir: &Path) -> Clock {
        let library = testbed::preload("clock", include_str!("clock.c"), dir).unwrap_or_else(|why| panic!("{why}"));
        let path = dir.join("clock");
        fs::write(&path, [0; 16]).unwrap();
        Clock { library, shift: File::options().write(true).open(&path).unwrap(), path }
    }

    /// Has a program go by them.
    pub fn give_to(&self, command: &mut Command) {
        command.env("LD_PRELOAD", &self.library).env("CLOCK_SHIFT", &self.path);
    }

    /// Sets the time of day off by so many seconds.
    pub fn shift_wall_clock(&self, seconds: i64) {
        self.shift.write_all_at(&seconds.to_ne_bytes(), 0).unwrap();
    }

    /// Sets the clock that never goes back ahead by so many seconds, in all.
    pub fn shift_monotonic_clock(&self, seconds: u32) {
        self.shift.write_all_at(&i64::from(seconds).to_ne_bytes(), 8).unwrap();
    }
}
