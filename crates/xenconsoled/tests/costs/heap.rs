//! What a daemon allocates, counted by a library in its process (allocations.c).

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::scene::Meter;

/// In the file, as in allocations.c.
const TRACES: usize = 16;
const FRAMES: usize = 32;
const HEAD: usize = 24;
const TRACE: usize = 8 + 8 * FRAMES;
/// Where the number of traces stands.
const TRACED: u64 = 16;
/// The first frames are those of the library itself, and of those that remain so many are shown.
const OWN: usize = 2;
const SHOWN: usize = 6;
/// Where nothing of ours is.
const LANGUAGE: [&str; 4] = ["alloc::", "core::", "std::", "__rust"];

/// The count of a program's allocations.
pub struct Heap {
    library: PathBuf,
    path: PathBuf,
    file: File,
    /// After what is in it.
    _dir: TempDir,
}

impl Meter for Heap {
    fn give_to(&self, command: &mut Command) {
        command.env("LD_PRELOAD", &self.library).env("ALLOCATIONS", &self.path);
    }
}

impl Heap {
    /// Of nothing yet.
    pub fn new() -> Heap {
        let dir = tempfile::Builder::new().prefix("heap").tempdir().unwrap();
        let library = testbed::preload("allocations", include_str!("allocations.c"), dir.path());
        let path = dir.path().join("allocations");
        let file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
        file.set_len((HEAD + TRACES * TRACE) as u64).unwrap();
        Heap { library: library.unwrap_or_else(|why| panic!("{why}")), path, file, _dir: dir }
    }

    /// How many there were so far. Of the next ones it is seen where they come from.
    pub fn mark(&self) -> u64 {
        self.file.write_all_at(&[0; 8], TRACED).unwrap();
        self.word(0)
    }

    /// Demands that there were no more than `most` since it began.
    ///
    /// # Panics
    /// If there were more, with the places in the source of the program `pid` that they came from.
    pub fn hold(&self, what: &str, since: u64, most: u64, pid: u32) {
        let count = self.word(0) - since;
        println!("{what}: {count} allocations (at most {most})");
        assert!(count <= most, "{what}: {count} allocations, and {most} are allowed; the first:\n{}", self.places(pid));
    }

    fn word(&self, at: usize) -> u64 {
        let mut word = [0; 8];
        self.file.read_exact_at(&mut word, at as u64).unwrap();
        u64::from_ne_bytes(word)
    }

    /// Where the first ones came from, each place once.
    fn places(&self, pid: u32) -> String {
        let program = fs::read_link(format!("/proc/{pid}/exe")).unwrap();
        let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
        let own = |line: &&str| line.ends_with(program.to_str().unwrap());
        let ends = |line: &str| {
            let (from, rest) = line.split_once('-')?;
            let to = rest.split(' ').next()?;
            Some((u64::from_str_radix(from, 16).ok()?, u64::from_str_radix(to, 16).ok()?))
        };
        let parts: Vec<(u64, u64)> = maps.lines().filter(own).filter_map(ends).collect();
        let (base, end) = (parts[0].0, parts[parts.len() - 1].1);
        let count = (self.word(TRACED as usize) as usize).min(TRACES);
        let mut traces: Vec<(u64, Vec<u64>)> = (0..count)
            .map(|trace| {
                let at = HEAD + trace * TRACE;
                let frames = (OWN..FRAMES).map(|frame| self.word(at + 8 + 8 * frame));
                (self.word(at), frames.filter(|frame| (base..end).contains(frame)).map(|frame| frame - base).collect())
            })
            .collect();
        traces.sort();
        traces.dedup();
        traces.iter().map(|(bytes, frames)| format!("  {bytes} bytes:\n{}", named(&program, frames))).collect()
    }
}

/// These addresses of a program by name and line: those in the project's own source. addr2line(1) comes with the compiler.
fn named(program: &Path, addresses: &[u64]) -> String {
    // What is on the stack is where it goes on: the call is before that.
    let addresses = addresses.iter().map(|address| format!("{:x}", address.saturating_sub(1)));
    let output = Command::new("addr2line").args(["-Cfps", "-e"]).arg(program).args(addresses).output();
    let text =
        output.map_or_else(|why| format!("addr2line: {why}"), |output| String::from_utf8_lossy(&output.stdout).into());
    let is_ours = |line: &&str| !LANGUAGE.iter().any(|name| line.trim_start_matches('<').starts_with(name));
    text.lines().filter(is_ours).take(SHOWN).map(|line| format!("    {line}\n")).collect()
}
