//! Followers read while the log is written and rotated as fast as it goes.

mod scene;

use std::ffi::OsStr;
use std::sync::atomic::{AtomicBool, Ordering};

use logfile::{Follower, Next, Start};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use scene::{NAME, Scene, WAYS, Way};

const LINES: u64 = 300;
const LINE: u64 = 8;
const END: u64 = LINES * LINE;

fn line(number: u64) -> String {
    format!("{number:07}\n")
}

/// The byte at a logical offset.
fn byte(offset: u64) -> u8 {
    line(offset / LINE).as_bytes()[usize::try_from(offset % LINE).unwrap()]
}

/// Reads from a place to the end, and checks every byte by its number. Returns how many were missed.
fn follow(scene: &Scene, start: Start, done: &AtomicBool) -> u64 {
    let mut follower = Follower::open(&scene.dir, OsStr::new(NAME), start).unwrap();
    let mut at = match start {
        Start::Offset(offset) => Some(offset),
        _ => follower.offset(),
    };
    let (mut buffer, mut missed) = ([0; 50], 0);
    loop {
        // Read before it is said that there is no more: then that is all.
        let last = done.load(Ordering::Acquire);
        match follower.read(&mut buffer).unwrap() {
            Next::Bytes(len) => {
                let first = at.unwrap_or(follower.offset().unwrap() - len as u64);
                for (offset, got) in (first..).zip(&buffer[..len]) {
                    assert_eq!(char::from(*got), char::from(byte(offset)), "at {offset}");
                }
                at = Some(first + len as u64);
                assert_eq!(follower.offset(), at);
            }
            Next::Missed(count) => {
                let count = count.expect("it is known how many");
                missed += count;
                at = at.map(|at| at + count);
            }
            Next::UpToDate if last => break,
            Next::UpToDate => std::thread::yield_now(),
        }
    }
    assert_eq!(at, Some(END));
    missed
}

/// Reads everything from the beginning, and only when it is told that there may be more.
fn follow_by_waiting(scene: &Scene) {
    let mut follower = Follower::open(&scene.dir, OsStr::new(NAME), Start::Offset(0)).unwrap();
    let mut buffer = [0; 50];
    let minute = Timespec { tv_sec: 60, tv_nsec: 0 };
    loop {
        let changes = follower.changes().unwrap().try_clone_to_owned().unwrap();
        while follower.read(&mut buffer).unwrap() != Next::UpToDate {}
        if follower.offset() == Some(END) {
            return;
        }
        let mut ready = [PollFd::new(&changes, PollFlags::IN)];
        assert_eq!(poll(&mut ready, Some(&minute)), Ok(1), "at {:?} nobody said that there is more", follower.offset());
    }
}

/// Writes the lines, one by one, while a function reads.
fn race(scene: &Scene, way: Way, copies: u32, read: impl Fn(&AtomicBool) + Sync) {
    let done = AtomicBool::new(false);
    let mut log = scene.open(20, copies).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| read(&done));
        }
        for number in 0..LINES {
            way.append(&mut log, line(number)).unwrap();
        }
        done.store(true, Ordering::Release);
    });
}

#[test]
fn nothing_is_missed_that_is_kept() {
    for way in WAYS {
        let scene = Scene::new();
        // More than are ever made: two lines a file.
        race(&scene, way, 200, |done| assert_eq!(follow(&scene, Start::Offset(0), done), 0));
    }
}

#[test]
fn whoever_waits_is_woken_for_every_change() {
    for way in WAYS {
        let scene = Scene::new();
        race(&scene, way, 200, |_| follow_by_waiting(&scene));
    }
}

#[test]
fn what_retention_takes_is_counted() {
    for way in WAYS {
        let scene = Scene::new();
        race(&scene, way, 2, |done| {
            follow(&scene, Start::Offset(0), done);
        });
    }
}

/// Whoever comes while names are shifted finds the place that was asked for.
#[test]
fn a_beginning_is_found_while_names_are_shifted() {
    let scene = Scene::new();
    race(&scene, Way::Memory, 200, |done| {
        let mut buffer = [0; 8];
        loop {
            let last = done.load(Ordering::Acquire);
            let mut follower = Follower::open(&scene.dir, OsStr::new(NAME), Start::Oldest).unwrap();
            if follower.read(&mut buffer).unwrap() != Next::UpToDate {
                assert_eq!(follower.offset(), Some(8), "the first line was never removed");
                assert_eq!(buffer, line(0).as_bytes());
            }
            let mut follower = Follower::open(&scene.dir, OsStr::new(NAME), Start::Lines(3)).unwrap();
            if let Next::Bytes(len) = follower.read(&mut buffer).unwrap() {
                let first = follower.offset().unwrap() - len as u64;
                assert_eq!(first % 8, 0, "a line begins here");
                assert!(line(first / 8).as_bytes().starts_with(&buffer[..len]));
            }
            if last {
                return;
            }
        }
    });
}
