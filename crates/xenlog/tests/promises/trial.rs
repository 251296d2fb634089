//! `xenlog try`: the whole thing without Xen.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::Signal;
use testbed::until;

use crate::host::{Ended, Process, XENLOG, fifos, leashed};

fn trial(temp: &Path, arguments: &[&str]) -> Command {
    let mut command = leashed(Path::new(XENLOG));
    command.arg("try").args(arguments).env("TMPDIR", temp).stdin(Stdio::null());
    command
}

/// The one directory that it made.
fn made(temp: &Path) -> PathBuf {
    let mut found = fs::read_dir(temp).unwrap().map(|entry| entry.unwrap().path());
    let dir = found.next().unwrap();
    assert!(found.next().is_none());
    dir
}

/// The processes that a process started.
fn children(pid: u32) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let of = |task: fs::DirEntry| fs::read_to_string(task.path().join("children")).unwrap_or_default();
    let all: String = tasks.map(|task| of(task.unwrap())).collect();
    all.split_whitespace().map(str::to_owned).collect()
}

#[test]
fn it_ends_by_itself_and_the_flood_stayed_within_its_bound() {
    let temp = tempfile::tempdir().unwrap();
    let out = Ended::of(&mut trial(temp.path(), &["--seconds", "1"])).quietly();
    let dir = made(temp.path());
    let log = dir.join("log");
    let size = |name: &str| fs::metadata(log.join(name)).map_or(0, |found| found.len());
    for name in ["quiet.log", "chatty.log", "flood.log"] {
        assert!(size(name) > 0, "{name}: {out}");
        assert!(out.contains(log.join(name).to_str().unwrap()), "{out}");
    }
    let flood: u64 = ["flood.log", "flood.log.1", "flood.log.2"].map(size).iter().sum();
    assert!((1..=3 << 20).contains(&flood), "{flood}");
    assert_eq!(size("flood.log.3"), 0);
    assert!(fs::read_to_string(log.join("quiet.log")).unwrap().contains("] quiet line 1\n"), "with the time");
    assert!(out.contains("flood wrote ") && out.contains("of its 3M"), "{out}");
    assert_eq!(fifos(&dir.join("run")), Vec::<PathBuf>::new(), "FIFOs are left");
}

#[test]
fn kept_it_serves_the_other_commands_until_it_is_interrupted() {
    let temp = tempfile::tempdir().unwrap();
    let mut command = trial(temp.path(), &["--keep", "--seconds", "0"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut kept = Process::spawn(command);
    let out = kept.until_said("xenlog tail");
    let mut list = Command::new(XENLOG);
    for line in out.lines() {
        if let Some((name, value)) = line.trim().strip_prefix("export ").and_then(|set| set.split_once('=')) {
            list.env(name, value);
        }
    }
    let listed = Ended::of(list.arg("list")).quietly();
    assert!(listed.contains("7 greedy") && listed.contains("chatty.log"), "{listed}");
    let daemon = children(kept.pid()).pop().unwrap();
    kept.signal(Signal::INT);
    let ended = kept.ended();
    assert!(ended.code == 0 && ended.err.is_empty(), "{ended:?}");
    assert!(!Path::new("/proc").join(daemon).exists());
}

#[test]
fn killed_it_leaves_no_daemon_behind() {
    let temp = tempfile::tempdir().unwrap();
    let mut command = trial(temp.path(), &["--keep", "--seconds", "0"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut kept = Process::spawn(command);
    kept.until_said("xenlog tail");
    let daemon = children(kept.pid()).pop().unwrap();
    let comm = PathBuf::from(format!("/proc/{daemon}/comm"));
    assert_eq!(fs::read_to_string(&comm).unwrap(), "xenconsoled\n");
    kept.signal(Signal::KILL);
    // It is nobody's child any more, so whoever inherited it may take a while to wait for it.
    until("the daemon to leave", || {
        let state = fs::read_to_string(format!("/proc/{daemon}/stat"));
        state.map_or(Some(()), |state| state.contains(") Z ").then_some(()))
    });
}

#[test]
fn a_missing_daemon_is_told_with_what_to_do() {
    let temp = tempfile::tempdir().unwrap();
    let alone = temp.path().join("xenlog");
    fs::copy(XENLOG, &alone).unwrap();
    let ended =
        Ended::of(Command::new(&alone).args(["try", "--seconds", "0"]).env("TMPDIR", temp.path()).env("PATH", ""));
    // A machine may have one installed.
    if !["/usr/sbin/xenconsoled", "/usr/local/sbin/xenconsoled"].iter().any(|path| Path::new(path).exists()) {
        assert!(ended.code == 1 && ended.err.contains("cargo build --workspace"), "{ended:?}");
    }
}
