//! `xenlog tail`: the end of a log, by any of its names, across rotated copies.

use std::process::Stdio;

use logproto::Owner;
use rustix::process::Signal;
use testbed::until;
use xenlog::Log;

use crate::host::{Host, Process, XENLOG};

fn lines(log: &Log, numbers: std::ops::Range<u32>) {
    for number in numbers {
        let line = format!("line {number:04}\n");
        until("room in the pipe", || rustix::io::write(log, line.as_bytes()).ok());
    }
}

fn expected(numbers: std::ops::Range<u32>) -> String {
    numbers.map(|number| format!("line {number:04}\n")).collect()
}

/// A log of domain 5 with the last lines up to 1000 in several files.
fn rotated(host: &Host) -> Log {
    host.client().write("/local/domain/5/name", b"vm").unwrap();
    let dom5 = Owner::Domain("5".parse().unwrap());
    let log = host.options(dom5, "q.log").id("qemu-dm".parse().unwrap()).limit(4096).copies(3).open().unwrap();
    lines(&log, 0..1000);
    host.until_logged("q.log", "line 0999\n");
    log
}

fn follow(host: &Host, arguments: &[&str]) -> Process {
    let mut command = host.command(XENLOG);
    command.arg("tail").args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    Process::spawn(command)
}

#[test]
fn a_log_is_found_by_each_of_its_names() {
    let Some(host) = Host::start() else { return };
    let _log = rotated(&host);
    let file = host.log_dir().join("q.log");
    for name in ["5", "vm", "qemu-dm", "5/qemu-dm", "vm/qemu-dm", "q.log", file.to_str().unwrap()] {
        assert_eq!(host.xenlog(&["tail", name]).quietly(), expected(990..1000), "{name}");
    }
    let dom5 = Owner::Domain("5".parse().unwrap());
    let _other = host.options(dom5, "o.log").id("other".parse().unwrap()).open().unwrap();
    let ended = host.xenlog(&["tail", "vm"]);
    assert!(ended.code == 1 && ended.err.contains("5/other, 5/qemu-dm"), "{ended:?}");
    let ended = host.xenlog(&["tail", "nothing"]);
    assert!(ended.code == 1 && ended.err.contains("nothing"), "{ended:?}");
    let ended = host.xenlog(&["tail", "/nonexistent/file"]);
    assert!(ended.code == 1 && ended.err.contains("/nonexistent/file"), "{ended:?}");
}

#[test]
fn a_file_needs_no_store() {
    let Some(host) = Host::quiet() else { return };
    std::fs::write(host.log_dir().join("old.log"), expected(0..20)).unwrap();
    let tail = |arguments: &[&str]| host.xenlog(&[&["--store", "/nonexistent", "tail"], arguments].concat());
    assert_eq!(tail(&["old.log"]).quietly(), expected(10..20));
    let ended = tail(&["vm"]);
    assert!(ended.code == 1 && ended.err.contains("/nonexistent"), "{ended:?}");
}

#[test]
fn as_many_lines_as_asked_for_come_from_the_copies_too() {
    let Some(host) = Host::start() else { return };
    let _log = rotated(&host);
    assert_eq!(host.xenlog(&["tail", "-n", "0", "5"]).quietly(), "");
    assert_eq!(host.xenlog(&["tail", "-n", "700", "5"]).quietly(), expected(300..1000));
    let all = host.xenlog(&["tail", "-n", "99999", "5"]).quietly();
    assert!(expected(0..1000).ends_with(&all) && all.len() > 7000, "{} bytes", all.len());
}

#[test]
fn following_goes_across_rotations() {
    let Some(host) = Host::start() else { return };
    let log = rotated(&host);
    let mut tail = follow(&host, &["-f", "-n", "1", "5"]);
    assert_eq!(tail.until_said("line 0999\n"), "line 0999\n");
    let mut said = String::new();
    for hundred in 10..30 {
        lines(&log, hundred * 100..hundred * 100 + 100);
        said += &tail.until_said(&format!("line {:04}\n", hundred * 100 + 99));
    }
    assert_eq!(said, expected(1000..3000));
    tail.signal(Signal::TERM);
    assert_eq!(tail.ended().err, "");
}

#[test]
fn what_was_missed_is_said() {
    let Some(host) = Host::start() else { return };
    let log = rotated(&host);
    let mut tail = follow(&host, &["-f", "-n", "1", "5"]);
    tail.until_said("line 0999\n");
    tail.freeze();
    lines(&log, 1000..9000);
    host.until_logged("q.log", "line 8999\n");
    tail.signal(Signal::CONT);
    let said = tail.until_said("line 8999\n");
    tail.signal(Signal::TERM);
    let missed = tail.ended().err;
    let bytes: usize = missed.split_whitespace().find_map(|word| word.parse().ok()).expect(&missed);
    assert!(missed.contains("bytes are missing here"), "{missed}");
    assert_eq!(bytes + said.len(), expected(1000..9000).len());
}
