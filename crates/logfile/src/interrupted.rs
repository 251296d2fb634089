//! A rotation that is interrupted between any two of its system calls loses nothing, however often that happens.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;

use rustix::fs::{AtFlags, statat};
use tempfile::TempDir;

use crate::rotation::{self, Step};
use crate::{Bounds, Dir, Follower, LogFile, Next, Start, copies, regular};

const NAME: &str = "q.log";
const BOUNDS: Bounds = Bounds { limit: 10, copies: 3 };

struct Scene {
    held: TempDir,
    dir: Dir,
}

impl Scene {
    fn new() -> Self {
        let held = tempfile::tempdir().unwrap();
        let dir = Dir::open(held.path()).unwrap();
        Self { held, dir }
    }

    fn open(&self) -> LogFile {
        LogFile::open(&self.dir, OsStr::new(NAME), BOUNDS).unwrap()
    }

    /// Each file by its number; 0 is the live one.
    fn files(&self) -> BTreeMap<u32, Vec<u8>> {
        fs::read_dir(self.held.path())
            .unwrap()
            .map(|entry| entry.unwrap())
            .map(|entry| {
                let name = entry.file_name();
                let number = copies::parse(name.as_encoded_bytes()).map_or(0, |(_, number)| number);
                (number, fs::read(entry.path()).unwrap())
            })
            .collect()
    }

    /// The steps of the rotation that is due.
    fn plan(&self) -> Vec<Step> {
        let live = regular::size(&statat(&self.dir, NAME, AtFlags::SYMLINK_NOFOLLOW).unwrap());
        let slots = copies::slots(&self.dir, OsStr::new(NAME), BOUNDS.copies).unwrap();
        rotation::rotate(live, &slots, BOUNDS.limit).unwrap()
    }

    /// The lines that are left, the oldest first.
    fn lines(&self) -> Vec<String> {
        let bytes: Vec<u8> = self.files().into_values().rev().flatten().collect();
        String::from_utf8(bytes).unwrap().lines().map(str::to_owned).collect()
    }

    /// What a follower reads from the beginning, which goes by the logical offsets and not by the names.
    fn followed(&self) -> Vec<String> {
        let mut follower = Follower::open(&self.dir, OsStr::new(NAME), Start::Oldest).unwrap();
        let mut bytes = Vec::new();
        let mut buffer = [0; 64];
        loop {
            match follower.read(&mut buffer).unwrap() {
                Next::Bytes(len) => bytes.extend_from_slice(&buffer[..len]),
                Next::UpToDate => return String::from_utf8(bytes).unwrap().lines().map(str::to_owned).collect(),
                Next::Missed(missed) => panic!("missed {missed:?}"),
            }
        }
    }
}

/// Lines of which two fill a file.
fn line(number: usize) -> String {
    format!("{number:04}")
}

/// Writes lines until the log has so many of its files full.
fn fill(log: &mut LogFile, next: &mut usize, lines: usize) {
    for _ in 0..lines {
        log.append(format!("{}\n", line(*next)).as_bytes()).unwrap();
        *next += 1;
    }
}

/// The files from `newest` back, without a line missing between.
fn assert_unbroken(scene: &Scene, next: usize, at_least: usize) {
    let lines = scene.lines();
    assert!(lines.len() >= at_least, "{} lines are left of at least {at_least}: {lines:?}", lines.len());
    let expected: Vec<String> = (next - lines.len()..next).map(line).collect();
    assert_eq!(lines, expected);
    assert_eq!(scene.followed(), expected);
    let files = scene.files();
    assert!(files.len() <= 4 && files.values().all(|content| content.len() <= 10), "{files:?}");
}

/// Everything that can be there when a rotation is due: each number of copies, from none to all.
#[test]
fn interrupted_once_after_each_step() {
    for full_files in 1..=4 {
        for stop_after in 0..=5 {
            let scene = Scene::new();
            let mut next = 0;
            let mut log = scene.open();
            fill(&mut log, &mut next, full_files * 2);
            let steps = scene.plan();
            for step in steps.iter().take(stop_after) {
                log.perform(*step).unwrap();
            }
            drop(log);
            // The rotation was due because a file was full: the oldest may go, and nothing else.
            let kept = (full_files * 2).min(6);
            assert_unbroken(&scene, next, kept);

            let mut log = scene.open();
            assert_unbroken(&scene, next, kept);
            assert_eq!(log.offset(), next as u64 * 5);
            // And from there on it is as if nothing had happened: at least three full copies once they are written.
            for _ in 0..10 {
                fill(&mut log, &mut next, 1);
                assert_unbroken(&scene, next, (next - 1).min(6));
            }
            assert_eq!(scene.files().len(), 4);
        }
    }
}

/// The same again and again: the rotation that repairs is interrupted too.
#[test]
fn interrupted_again_and_again() {
    for pattern in 0..6_usize.pow(3) {
        let stops = [pattern % 6, pattern / 6 % 6, pattern / 36];
        let scene = Scene::new();
        let mut next = 0;
        let mut log = scene.open();
        fill(&mut log, &mut next, 8);
        for stop_after in stops {
            for step in scene.plan().iter().take(stop_after) {
                log.perform(*step).unwrap();
            }
            drop(log);
            log = scene.open();
            // However often: no more than the oldest file is missing.
            assert_unbroken(&scene, next, 6);
            while log.size() < BOUNDS.limit {
                fill(&mut log, &mut next, 1);
            }
        }
        fill(&mut log, &mut next, 1);
        assert_unbroken(&scene, next, 7);
        assert_eq!(scene.files().len(), 4, "{stops:?}");
    }
}

/// A step that fails leaves the log usable, with the same promise: here each rename fails in turn, because something
/// else has the name at that moment.
#[test]
fn a_step_that_fails_is_made_up_for() {
    let scene = Scene::new();
    let mut next = 0;
    let mut log = scene.open();
    fill(&mut log, &mut next, 8);
    for step in scene.plan() {
        if let Step::Rename { to, .. } = step {
            let path = scene.held.path().join(format!("{NAME}.{to}"));
            fs::write(&path, "precious").unwrap();
            let error = log.perform(step).unwrap_err();
            assert!(error.to_string().starts_with("cannot rename"), "{error}");
            assert_eq!(fs::read(&path).unwrap(), b"precious", "nothing is ever renamed over");
            fs::remove_file(&path).unwrap();
        }
        log.perform(step).unwrap();
        assert_unbroken(&scene, next, 6);
    }
    fill(&mut log, &mut next, 1);
    assert_unbroken(&scene, next, 7);
}
