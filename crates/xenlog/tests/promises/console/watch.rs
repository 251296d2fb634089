//! What is shown of the past, and to those who only watch.

use std::ffi::OsStr;

use logfile::{Bounds, Dir, LogFile};
use rustix::process::Signal;
use testbed::StoreKind;

use crate::guest::{Pty, Status, at_desk, console, console_json, nodes};
use crate::host::{Host, Process};

const NAME: &str = "guest-web.log";

/// A host with a guest whose console is logged: its terminal, its log, and the daemon's status.
fn scene(kind: StoreKind) -> Option<(Host, Pty, LogFile, Status)> {
    let host = Host::on(kind)?;
    let guest = Pty::raw();
    nodes(&host, 7, "web", &guest.path);
    let dir = Dir::open(&host.log_dir()).unwrap();
    let log = LogFile::open(&dir, OsStr::new(NAME), Bounds { limit: 4096, copies: 3 }).unwrap();
    let status = Status::serve(&host, &[of_guest(&host)]);
    Some((host, guest, log, status))
}

fn of_guest(host: &Host) -> serde_json::Value {
    console_json(7, "web", host.log_dir().join(NAME).to_str())
}

fn append(log: &mut LogFile, text: &str) {
    log.append(text.as_bytes()).unwrap();
}

#[test]
fn the_last_lines_come_first() {
    let Some((host, guest, mut log, _status)) = scene(StoreKind::Embedded) else { return };
    for line in 0..1000 {
        append(&mut log, &format!("line {line:03}\r\n"));
    }
    append(&mut log, "login: ");
    for (arguments, first) in [(&["7", "--lines", "3"][..], "998"), (&["7"], "991")] {
        let mut process = Process::spawn(console(&host, arguments));
        let said = process.until_said("login: ");
        assert!(said.starts_with(&format!("line {first}\r\n")), "{said}");
        guest.send(b"now");
        assert_eq!(process.until_said("now"), "now");
    }
    let mut process = Process::spawn(console(&host, &["7", "--lines", "0"]));
    guest.send(b"now");
    assert_eq!(process.until_said("now"), "now");
}

/// What waits in the terminal is the last that the guest wrote: shown from the log too, it would come twice.
#[test]
fn what_waits_in_the_terminal_is_the_last_lines() {
    let Some((host, guest, mut log, _status)) = scene(StoreKind::Embedded) else { return };
    append(&mut log, "older\nwaits\n");
    guest.send(b"waits\n");
    let mut process = Process::spawn(console(&host, &["7"]));
    guest.send(b"now");
    assert_eq!(process.until_said("now"), "waits\nnow");
}

/// A log that is kept without the guest's returns must not run across a raw terminal as a staircase.
#[test]
fn a_log_without_returns_begins_each_line_at_the_left() {
    let Some((host, _guest, mut log, _status)) = scene(StoreKind::Embedded) else { return };
    append(&mut log, "one\ntwo\r\nthree");
    let desk = Pty::open();
    let process = at_desk(&host, &desk, &["7"]);
    assert_eq!(desk.until_said("three"), "one\r\ntwo\r\nthree");
    desk.send(b"\x1d");
    process.ended();
}

#[test]
fn any_number_watch_beside_a_writer_until_the_last_words() {
    let Some((host, guest, mut log, status)) = scene(StoreKind::C) else { return };
    append(&mut log, "older\nold\n");
    let mut writer = Process::spawn(console(&host, &["7", "--lines", "0"]));
    guest.send(b"attached");
    writer.until_said("attached");
    let watch = || Process::spawn(console(&host, &["7", "--read-only", "--lines", "1"]));
    let mut watchers = [watch(), watch()];
    for watcher in &mut watchers {
        assert_eq!(watcher.until_said("old\n"), "old\n");
    }
    // Across rotations, as it is.
    let lines: String = (0..300).map(|line| format!("\x1b[1m{line}\r\n")).collect();
    for line in lines.split_inclusive('\n') {
        append(&mut log, line);
    }
    for watcher in &mut watchers {
        assert_eq!(watcher.until_said("299\r\n"), lines);
    }
    // They opened nothing of the guest's: what it writes is all the writer's.
    guest.send(b"for the writer");
    assert_eq!(writer.until_said("for the writer"), "for the writer");
    // The domain is gone, and its last words are on their way into the log.
    host.client().rm("/local/domain/7").unwrap();
    assert_eq!(writer.ended().code, 0);
    append(&mut log, "last words\n");
    for watcher in &mut watchers {
        assert_eq!(watcher.until_said("last words\n"), "last words\n");
    }
    status.say(&[]);
    for watcher in watchers {
        let ended = watcher.ended();
        assert!(ended.code == 0 && ended.out.is_empty(), "{ended:?}");
        assert_eq!(ended.err, "xenlog: the console of domain 7 is gone\n");
    }
}

#[test]
fn a_watchers_terminal_shows_no_keys_and_is_as_it_was() {
    let Some((host, guest, mut log, _status)) = scene(StoreKind::Embedded) else { return };
    let desk = Pty::open();
    let before = desk.modes();
    let process = at_desk(&host, &desk, &["7", "--read-only"]);
    desk.send(b"nobody sees this");
    append(&mut log, "\x1b[1mbold\n");
    assert_eq!(desk.until_said("bold\r\n"), "\x1b[1mbold\r\n");
    desk.send(b"\x1d");
    assert_eq!(process.ended().code, 0);
    assert_eq!(desk.modes(), before);
    let mut byte = [0];
    assert!(rustix::io::read(&guest.master, &mut byte).is_err(), "nothing was typed to the guest");

    let process = at_desk(&host, &desk, &["7", "--read-only"]);
    process.signal(Signal::TERM);
    assert_eq!(process.ended().code, -Signal::TERM.as_raw());
    assert_eq!(desk.modes(), before);
}

#[test]
fn the_terminal_that_is_meant() {
    let Some((host, first, _log, _status)) = scene(StoreKind::Embedded) else { return };
    let [serial, second, vuart, other_serial] = [Pty::raw(), Pty::raw(), Pty::raw(), Pty::raw()];
    for (place, pty) in
        [("device/console/1", &second), ("vuart/0", &vuart), ("serial/0", &serial), ("serial/1", &other_serial)]
    {
        host.client().write(&format!("/local/domain/7/{place}/tty"), pty.path.as_bytes()).unwrap();
    }
    for (arguments, pty) in [
        (&["7"][..], &serial),
        (&["7", "-n", "1"], &other_serial),
        (&["7", "-t", "pv"], &first),
        (&["7", "--type", "pv", "--num", "1"], &second),
        (&["7", "--type", "vuart"], &vuart),
    ] {
        pty.send(b"this one");
        let mut process = Process::spawn(console(&host, arguments));
        assert_eq!(process.until_said("this one"), "this one", "{arguments:?}");
        process.signal(Signal::TERM);
        process.ended();
    }
}
