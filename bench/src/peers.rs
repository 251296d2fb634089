//! Who is measured.

mod conmon;
mod multilog;
mod probe;
mod rotatelogs;
mod s6_log;
mod svlogd;
mod virtlogd;
pub mod xenlog;

use std::fs;
use std::path::{Path, PathBuf};

use crate::logger::Logger;
use crate::scene::Scene;
use crate::works::Failure;

/// One logger: how it is started, and what its files are.
pub trait Peer: Sync {
    /// As it is named on the command line and in the tables.
    fn name(&self) -> &'static str;

    /// How it is run, for who reads the report.
    fn note(&self) -> &'static str;

    /// Why it cannot be measured here, with what to install.
    fn missing(&self) -> Option<String>;

    /// Which place it has in the works.
    fn class(&self) -> Class;

    /// Starts it in a scene and waits until every log can be written to.
    fn start(&self, scene: &Scene) -> Result<Logger, Failure>;

    /// The files of a log, oldest first. Without copies there is only the file.
    fn files(&self, scene: &Scene, log: usize) -> Result<Vec<PathBuf>, Failure> {
        Ok(numbered(&scene.file(log), 1))
    }

    /// What was written, out of what it has made of it.
    fn plain(&self, stored: Vec<u8>) -> Vec<u8> {
        stored
    }

    /// If it is a build of our daemon: that, for what no other can do.
    fn ours(&self) -> Option<&xenlog::Xenlog> {
        None
    }

    /// At least so many bytes of a flood are in its files, at any time, under a limit and a number of copies.
    fn least(&self, scene: &Scene) -> u64 {
        scene.order.limit * u64::from(scene.order.copies.saturating_sub(1))
    }
}

/// How much can be asked of a peer in a few minutes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Ours: if it loses, the whole run fails.
    Ours,
    /// What ratios are made to.
    Base,
    /// One process for all logs.
    All,
    /// One process for each log, and it only passes bytes on.
    EachFast,
    /// One process for each log, and it looks at every byte.
    Each,
}

impl Class {
    /// Whether one process serves all logs.
    pub fn serves_all(self) -> bool {
        !matches!(self, Class::EachFast | Class::Each)
    }

    /// Whether a GiB is a matter of a second.
    pub fn is_fast(self) -> bool {
        matches!(self, Class::Ours | Class::Base | Class::EachFast)
    }
}

/// All that are not ours.
pub fn others() -> Vec<Box<dyn Peer>> {
    vec![
        Box::new(probe::Probe),
        Box::new(rotatelogs::Rotatelogs),
        Box::new(virtlogd::Virtlogd),
        Box::new(conmon::Conmon),
        Box::new(s6_log::S6Log),
        Box::new(multilog::Multilog),
        Box::new(svlogd::Svlogd),
    ]
}

/// Why a program of Debian cannot be run, if it cannot.
fn absent(program: &str, package: &str) -> Option<String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs = std::env::split_paths(&path).chain(["/usr/sbin".into()]);
    let found = dirs.map(|dir| dir.join(program)).any(|path| path.is_file());
    (!found).then(|| format!("no {program} (Debian: apt install {package})"))
}

/// `file.N` … `file.FIRST`, `file`, as far as they exist.
fn numbered(file: &Path, first: u32) -> Vec<PathBuf> {
    let copy = |number: &u32| PathBuf::from(format!("{}.{number}", file.display()));
    let copies = (first..).map(|number| copy(&number)).take_while(|path| path.exists());
    let mut all: Vec<PathBuf> = copies.collect();
    all.reverse();
    all.extend(file.exists().then(|| file.to_owned()));
    all
}

/// The files of those that write `current` into a directory and name old ones by their time, `@TAI64N`.
fn by_time(dir: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut all = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten() {
        let entry = entry?;
        if entry.file_name().as_encoded_bytes().starts_with(b"@") {
            all.push(entry.path());
        }
    }
    all.sort();
    let current = dir.join("current");
    all.extend(current.exists().then_some(current));
    Ok(all)
}

/// The directory of such a log.
fn directory(scene: &Scene, log: usize) -> PathBuf {
    scene.file(log).with_extension("d")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_older_than_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let names = |all: Vec<PathBuf>| -> Vec<String> {
            all.iter().map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect()
        };
        for name in ["log", "log.1", "log.2", "log.10", "current", "@40b.s", "@40a.s", "lock"] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        assert_eq!(names(numbered(&dir.path().join("log"), 1)), ["log.2", "log.1", "log"]);
        assert_eq!(names(by_time(dir.path()).unwrap()), ["@40a.s", "@40b.s", "current"]);
    }
}
