//! What goes both ways, and how it ends.

use std::io::{Read, Write};
use std::process::Stdio;
use std::thread;

use rustix::process::Signal;
use rustix::termios::LocalModes;
use testbed::{StoreKind, until};

use crate::guest::{Pty, at_desk, console, nodes};
use crate::host::{Host, Process};

/// Every byte there is, many times: more than any buffer on the way holds.
fn every_byte() -> Vec<u8> {
    (0..1200).flat_map(|_| 0..=255).collect()
}

/// The store's answer was once taken in by the very call that asked, and left for a wake that never came: now and then
/// attaching took 5 s, and the end of a domain was not seen. Each store answers with a speed of its own.
fn both_ways(kind: StoreKind) {
    let Some(host) = Host::on(kind) else { return };
    let guest = Pty::raw();
    nodes(&host, 7, "web", &guest.path);
    let mut command = console(&host, &["web"]);
    let mut process = Process::spawn({
        command.stdin(Stdio::piped());
        command
    });
    let (mut input, mut output) = (process.child().stdin.take().unwrap(), process.child().stdout.take().unwrap());
    let bytes = every_byte();
    thread::scope(|scope| {
        scope.spawn(|| {
            input.write_all(&bytes).unwrap();
            drop(input);
        });
        scope.spawn(|| {
            let mut shown = vec![0; bytes.len()];
            output.read_exact(&mut shown).unwrap();
            assert!(shown == bytes, "what the guest wrote");
        });
        // Not one after the other: a guest reads and writes as it likes.
        scope.spawn(|| assert!(guest.receive(bytes.len()) == bytes, "what was typed"));
        guest.send(&bytes);
    });
    // Input has ended, and the console goes on.
    guest.send(b"more");
    let mut more = [0; 4];
    output.read_exact(&mut more).unwrap();
    assert_eq!(&more, b"more");
    // Its last words are shown.
    guest.send(b"last words");
    host.client().rm("/local/domain/7").unwrap();
    let mut last = String::new();
    output.read_to_string(&mut last).unwrap();
    assert_eq!(last, "last words");
    let ended = process.ended();
    assert!(ended.code == 0 && ended.err == "xenlog: the console of domain 7 is gone\n", "{ended:?}");
}

#[test]
fn every_byte_goes_both_ways_until_the_domain_is_gone_c() {
    both_ways(StoreKind::C);
}

#[test]
fn every_byte_goes_both_ways_until_the_domain_is_gone_ocaml() {
    both_ways(StoreKind::OCaml);
}

#[test]
fn every_byte_goes_both_ways_until_the_domain_is_gone_embedded() {
    both_ways(StoreKind::Embedded);
}

#[test]
fn a_terminal_is_raw_until_the_escape_and_then_as_it_was() {
    let Some(host) = Host::on(StoreKind::Embedded) else { return };
    for (arguments, escape, harmless) in
        [(&["7"][..], b'\x1d', b'\x01'), (&["7", "--escape", "^a"], 1, 0x1d), (&["7", "-e", "x"], b'x', 0x1d)]
    {
        let (guest, desk) = (Pty::raw(), Pty::open());
        nodes(&host, 7, "web", &guest.path);
        let before = desk.modes();
        let process = at_desk(&host, &desk, arguments);
        let keys = [3, 0, 0xff, 0x1a, b'\r', 0x11, 0x13, 0x7f, harmless];
        desk.send(&keys);
        assert_eq!(guest.receive(keys.len()), keys, "{arguments:?}");
        let shown = b"\x1b[31mred\x00\xff\nnext\r\n\x07";
        guest.send(shown);
        assert_eq!(desk.receive(shown.len()), shown);
        desk.send(&[b'l', b's', escape, b'!']);
        let ended = process.ended();
        assert_eq!(ended.code, 0, "{arguments:?}");
        assert_eq!(guest.receive(2), b"ls", "what was typed before the escape arrives");
        assert_eq!(desk.modes(), before, "{arguments:?}");
        assert_eq!(desk.receive(2), b"\r\n");
        assert!(!host.store.dir().join("xenconsole.7").exists());
    }
}

#[test]
fn an_escape_that_was_asked_for_ends_it_from_a_pipe_too() {
    let Some(host) = Host::on(StoreKind::Embedded) else { return };
    let guest = Pty::raw();
    nodes(&host, 7, "web", &guest.path);
    let mut command = console(&host, &["7", "--escape", "^]"]);
    command.stdin(Stdio::piped());
    let mut process = Process::spawn(command);
    let mut input = process.child().stdin.take().unwrap();
    input.write_all(b"ls\n\x1dnot this").unwrap();
    let ended = process.ended();
    assert!(ended.code == 0 && ended.err.is_empty(), "{ended:?}");
    assert_eq!(guest.receive(3), b"ls\n");
    assert!(rustix::io::read(&guest.master, &mut [0]).is_err(), "nothing more");
}

#[test]
fn a_terminal_is_as_it_was_after_a_signal() {
    let Some(host) = Host::on(StoreKind::Embedded) else { return };
    for signal in [Signal::TERM, Signal::HUP, Signal::INT, Signal::QUIT] {
        let (guest, desk) = (Pty::raw(), Pty::open());
        nodes(&host, 7, "web", &guest.path);
        let before = desk.modes();
        let process = at_desk(&host, &desk, &["7"]);
        assert_ne!(desk.modes(), before);
        process.signal(signal);
        assert_eq!(process.ended().code, -signal.as_raw(), "ended by it");
        assert_eq!(desk.modes(), before, "{signal:?}");
        assert!(!host.store.dir().join("xenconsole.7").exists());
    }
}

#[test]
fn a_stop_gives_the_terminal_back_meanwhile() {
    let Some(host) = Host::on(StoreKind::Embedded) else { return };
    let (guest, desk) = (Pty::raw(), Pty::open());
    nodes(&host, 7, "web", &guest.path);
    let before = desk.modes();
    let process = at_desk(&host, &desk, &["7"]);
    let raw = desk.modes();
    process.signal(Signal::TSTP);
    process.until_stopped();
    assert_eq!(desk.modes(), before);
    process.signal(Signal::CONT);
    until("a raw terminal", || (desk.modes() == raw).then_some(()));
    desk.send(b"x");
    assert_eq!(guest.receive(1), b"x");
    process.signal(Signal::TERM);
    process.ended();
    assert_eq!(desk.modes(), before);
}

#[test]
fn a_terminal_that_hangs_up_ends_it() {
    let Some(host) = Host::on(StoreKind::Embedded) else { return };
    let (guest, desk) = (Pty::raw(), Pty::open());
    nodes(&host, 7, "web", &guest.path);
    let process = at_desk(&host, &desk, &["7"]);
    drop(desk);
    assert_eq!(process.ended().code, 0);
    assert!(!host.store.dir().join("xenconsole.7").exists());
}

/// A reader that stands still must not make it deaf: a signal ends it.
#[test]
fn a_reader_that_stands_still_does_not_hold_it() {
    let Some(host) = Host::on(StoreKind::Embedded) else { return };
    let guest = Pty::raw();
    nodes(&host, 7, "web", &guest.path);
    let process = Process::spawn(console(&host, &["7"]));
    // More than the pipe and it hold: it stops reading the terminal.
    let mut sent = 0;
    let is_stuck = || {
        while let Ok(written) = rustix::io::write(&guest.master, &[b'x'; 4096]) {
            sent += written;
        }
        (sent > 65536 + 65536).then_some(())
    };
    until("a full pipe", is_stuck);
    process.signal(Signal::TERM);
    assert_eq!(process.ended().code, -Signal::TERM.as_raw());
}

#[test]
fn a_reader_that_goes_away_ends_it() {
    let Some(host) = Host::on(StoreKind::Embedded) else { return };
    let guest = Pty::raw();
    nodes(&host, 7, "web", &guest.path);
    let mut process = Process::spawn(console(&host, &["7"]));
    guest.send(b"attached");
    process.until_said("attached");
    drop(process.child().stdout.take());
    let ended = process.ended();
    assert!(ended.code == 0 && ended.err.is_empty(), "{ended:?}");
}

#[test]
fn a_new_terminal_is_followed() {
    let Some(host) = Host::quiet() else { return };
    let (first, second, third, desk) = (Pty::raw(), Pty::raw(), Pty::raw(), Pty::open());
    nodes(&host, 7, "web", &first.path);
    let process = at_desk(&host, &desk, &["7"]);
    first.send(b"one");
    assert_eq!(desk.until_said("one"), "one");
    // The daemon is killed.
    let name = first.path.clone();
    drop(first);
    assert_eq!(desk.until_said("another\r\n"), "xenlog: the console's terminal has hung up; waiting for another\r\n");
    // Its number is nobody else's as long as the store says it.
    let others: Vec<Pty> = (0..20).map(|_| Pty::open()).collect();
    assert!(others.iter().all(|other| other.path != name));
    desk.send(b"typed meanwhile");
    nodes(&host, 7, "web", &second.path);
    assert_eq!(second.receive(15), b"typed meanwhile");
    second.send(b"two");
    assert_eq!(desk.until_said("two"), "two");
    // A daemon that makes another terminal while the last one is still there.
    second.send(b"rest of two");
    nodes(&host, 7, "web", &third.path);
    third.send(b"three");
    assert_eq!(desk.until_said("three"), "rest of twothree");
    desk.send(b"x");
    assert_eq!(third.receive(1), b"x");
    // Written again with the same name, nothing happens.
    nodes(&host, 7, "web", &third.path);
    third.send(b"still");
    assert_eq!(desk.until_said("still"), "still");
    // The node without a name: the stock client ends then, too.
    nodes(&host, 7, "web", "");
    assert_eq!(process.ended().code, 0);
    assert!(desk.until_said("gone\r\n").contains("the console of domain 7 is gone"));
}

#[test]
fn a_terminal_that_comes_late_is_waited_for() {
    let Some(host) = Host::quiet() else { return };
    let (guest, desk) = (Pty::raw(), Pty::open());
    nodes(&host, 7, "web", "");
    let mut command = console(&host, &["7"]);
    command.stdin(desk.stdio()).stdout(desk.stdio()).stderr(desk.stdio());
    let process = Process::spawn(command);
    until("the lock", || host.store.dir().join("xenconsole.7").exists().then_some(()));
    assert!(desk.mode().local_modes.contains(LocalModes::ICANON), "not raw while there is nothing to type into");
    nodes(&host, 7, "web", &guest.path);
    desk.until_said("ends it\r\n");
    desk.send(b"\x1d");
    assert_eq!(process.ended().code, 0);
}

#[test]
fn a_store_that_comes_back_is_no_reason_to_end() {
    let Some(host) = Host::quiet() else { return };
    let (first, second, desk) = (Pty::raw(), Pty::raw(), Pty::open());
    nodes(&host, 7, "web", &first.path);
    let process = at_desk(&host, &desk, &["7"]);
    host.store.pause();
    desk.send(b"x");
    assert_eq!(first.receive(1), b"x", "the store is not needed for what goes through");
    host.store.resume();
    host.store.live_update();
    nodes(&host, 7, "web", &second.path);
    desk.send(b"y");
    until("the new terminal", || {
        let mut byte = [0];
        let arrived = rustix::io::read(&second.master, &mut byte).ok();
        // Typed before the new name was known, it went to the old one.
        if rustix::io::read(&first.master, &mut byte).is_ok() {
            desk.send(b"y");
        }
        arrived
    });
    process.signal(Signal::TERM);
    process.ended();
}
