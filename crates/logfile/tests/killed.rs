//! A writer that is killed at any moment, again and again, leaves a log without a gap.

mod scene;

use std::ffi::OsStr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use logfile::{Bounds, Dir, Follower, LogFile, Next, Start};
use scene::{NAME, Scene};

/// Set for the writer: the directory of its log.
const WRITER: &str = "LOGFILE_TEST_WRITER";
const BOUNDS: Bounds = Bounds { limit: 60, copies: 3 };

/// Reads all numbers that are left.
fn numbers(dir: &Dir) -> Vec<u64> {
    let mut follower = Follower::open(dir, OsStr::new(NAME), Start::Oldest).unwrap();
    let (mut bytes, mut buffer) = (Vec::new(), [0; 1000]);
    while let Next::Bytes(len) = follower.read(&mut buffer).unwrap() {
        bytes.extend_from_slice(&buffer[..len]);
    }
    let text = String::from_utf8(bytes).unwrap();
    text.lines().map(|line| line.parse().unwrap_or_else(|_| panic!("{line:?} in {text:?}"))).collect()
}

/// Writes numbers, one a line, from where the last writer stopped, until it is killed. A rotation is due every few
/// lines, so most of its time goes into them.
fn write(dir: &OsStr) {
    let dir = Dir::open(dir.as_ref()).unwrap();
    let mut log = LogFile::open(&dir, OsStr::new(NAME), BOUNDS).unwrap();
    for number in numbers(&dir).last().map_or(0, |last| last + 1).. {
        log.append(format!("{number:09}\n").as_bytes()).unwrap();
    }
}

struct Writer(Child);

impl Writer {
    fn start(scene: &Scene, test: &str) -> Self {
        let child = Command::new(std::env::current_exe().unwrap())
            .args([test, "--exact", "--nocapture", "--test-threads=1"])
            .env(WRITER, scene.root())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self(child)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[test]
fn killed_at_any_moment() {
    if let Some(dir) = std::env::var_os(WRITER) {
        write(&dir);
        return;
    }
    let scene = Scene::new();
    let mut newest = 0;
    for round in 0..40 {
        let mut writer = Writer::start(&scene, "killed_at_any_moment");
        // Until it has written some more. What it does when it is killed is left to chance.
        let deadline = Instant::now() + Duration::from_secs(60);
        let target = newest + 20 + round;
        let mut follower = Follower::open(&scene.dir, OsStr::new(NAME), Start::End).unwrap();
        let mut buffer = [0; 1000];
        while follower.offset().unwrap_or(0) < target * 10 {
            assert!(Instant::now() < deadline, "the writer does not get on");
            assert!(writer.0.try_wait().unwrap().is_none(), "the writer ended");
            follower.read(&mut buffer).unwrap();
        }
        drop(writer);
        let left = numbers(&scene.dir);
        let last = *left.last().unwrap();
        assert!(last + 1 >= target, "{last} is less than what was read: {target}");
        let expected: Vec<u64> = (last + 1 - left.len() as u64..=last).collect();
        assert_eq!(left, expected, "a gap, or lines twice or out of order");
        // At the worst moment the oldest of four files is gone, and another one holds a single line or none.
        assert!(left.len() >= 2 * 6, "only {left:?} are left");
        newest = last;
    }
}
