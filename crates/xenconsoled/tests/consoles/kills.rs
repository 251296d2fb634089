//! The daemon is killed while guests write and clients are attached.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use rustix::process::{Signal, kill_process};
use testbed::{StoreKind, until};

use crate::repeats;
use crate::scene::{Scene, number};
use crate::tty::Tty;

/// How often: `XENLOG_CONSOLE_KILLS`, or what is enough for every day.
fn kills() -> usize {
    std::env::var("XENLOG_CONSOLE_KILLS").ok().map_or(15, |kills| kills.parse().unwrap())
}

/// The session of a client stays attached to the same pty while the daemon is killed again and again under the guest's output: nothing
/// is missing on the pty or in the log, what comes again is a ring at most, and what is typed while there is no daemon arrives.
#[test]
fn a_session_outlives_kills() {
    if !StoreKind::C.available() {
        return;
    }
    // Room for all of it in one file.
    let scene = Scene::start(&["--log=guest", "--console-limit=64m"]);
    let guest = scene.machine.guest(7, "web");
    let tty = scene.tty(7);
    let mut session = Tty::open(&tty);
    let (over, written) = (AtomicBool::new(false), AtomicBool::new(false));
    let (shown, lines, typed) = thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut number = 0;
            while !over.load(Ordering::SeqCst) {
                guest.write(repeats::line(number));
                number += 1;
            }
            written.store(true, Ordering::SeqCst);
            number
        });
        let reader = scope.spawn(|| {
            let mut reader = Tty::open(&tty);
            let mut shown = Vec::new();
            until("the last of the guest's lines", || {
                // Whatever was written comes to its end; a round that finds nothing after that is the last.
                let is_over = written.load(Ordering::SeqCst) && guest.waiting() == 0;
                let more = reader.read().expect("a tty that is not at its end");
                shown.extend_from_slice(&more);
                (is_over && more.is_empty() && shown.ends_with(b"\n")).then_some(())
            });
            shown
        });
        let mut typed = Vec::new();
        for kill in 0..kills() {
            scene.kill();
            let text = format!("typed {kill}\n");
            session.types(&text);
            // The next kill comes when it has arrived.
            typed.extend(guest.read(text.len()));
            assert_eq!(scene.tty(7), tty, "the pty is another one");
        }
        over.store(true, Ordering::SeqCst);
        (reader.join().unwrap(), writer.join().unwrap(), typed)
    });
    let expected: String = (0..kills()).map(|kill| format!("typed {kill}\n")).collect();
    assert_eq!(String::from_utf8_lossy(&typed), expected);
    let log = until("a log that holds the last line", || {
        let log = std::fs::read(scene.log("guest-web.log")).unwrap();
        log.ends_with(repeats::line(lines - 1).as_bytes()).then_some(log)
    });
    for (what, text) in [("pty", &shown), ("log", &log)] {
        let seen = repeats::read(text);
        println!("{what}: {} lines, {} repeats of {} bytes together", seen.lines, seen.repeats, seen.repeated);
        assert_eq!(seen.lines, lines, "{what}");
        assert!(seen.repeats <= kills(), "{what}: {seen:?}");
    }
    assert_eq!(number(&scene.status(), "dropped"), 0);
}

/// What nobody has read yet waits for a reader all the same.
#[test]
fn what_waited_for_a_reader_is_there_after_a_kill() {
    if !StoreKind::C.available() {
        return;
    }
    let scene = Scene::start(&[]);
    let guest = scene.machine.guest(7, "web");
    let tty = scene.tty(7);
    let text: String = (0..20_000).map(repeats::line).collect();
    guest.write(&text);
    guest.drained();
    scene.kill();
    until("its successor", || scene.daemon());
    assert_eq!(scene.tty(7), tty);
    let shown = Tty::open(&tty).read_until(repeats::line(19_999));
    assert_eq!(repeats::read(&shown).lines, 20_000);
    // It is one that goes on.
    guest.write("and more\n");
    Tty::open(&tty).shows("and more\n");
}

/// A guest that dies while there is no daemon leaves nothing behind that a successor would keep for ever.
#[test]
fn a_guest_that_dies_between_two_daemons_leaves_nothing() {
    if !StoreKind::C.available() {
        return;
    }
    let scene = Scene::start(&["--log=guest"]);
    let (guest, other) = (scene.machine.guest(7, "web"), scene.machine.guest(8, "other"));
    let (tty, other_tty) = (scene.tty(7), scene.tty(8));
    guest.write("last words\n");
    guest.drained();
    scene.machine.forget(&guest);
    scene.kill();
    scene.machine.hypervisor().destroy(7);
    until("a pty that is gone", || crate::scene::is_gone(&tty));
    scene.log_holds("guest-web.log", "last words\n");
    until("a log that is closed", || {
        let fifos = std::fs::read_dir(scene.dir.path().join("run")).unwrap().flatten();
        (!fifos.into_iter().any(|entry| entry.file_name().to_string_lossy().contains("console-7"))).then_some(())
    });
    other.write("still here\n");
    Tty::open(&other_tty).shows("still here\n");
    scene.log_holds("guest-other.log", "still here\n");
}

/// With the hypervisor's handle broken (a driver that was unloaded, say) the daemon went round without a pause and did nothing.
#[test]
fn without_event_channels_the_daemon_ends_and_says_so() {
    if !StoreKind::C.available() {
        return;
    }
    let scene = Scene::start(&[]);
    let guest = scene.machine.guest(7, "web");
    guest.write("hello\n");
    Tty::open(&scene.tty(7)).shows("hello\n");
    scene.machine.hypervisor().hang_up();
    until("the reason", || scene.said().contains("the handle of all event channels is broken").then_some(()));
}

/// Where a domain's id was given to another before the daemon had noticed its end, the new one got the old one's pty: its clients saw
/// what the old one had written, and what they typed went to the new one.
#[test]
fn another_domain_of_the_same_id_has_another_pty() {
    if !StoreKind::C.available() {
        return;
    }
    let scene = Scene::start(&["--log=guest"]);
    let old = scene.machine.guest(7, "old");
    let mut session = Tty::open(&scene.tty(7));
    old.write("of the old one\n");
    session.shows("of the old one\n");
    let daemon = until("a daemon", || scene.daemon());
    kill_process(daemon, Signal::STOP).unwrap();
    old.put("its last words\n");
    scene.machine.destroy(&old);
    let new = scene.machine.guest(7, "new");
    kill_process(daemon, Signal::CONT).unwrap();
    assert_eq!(String::from_utf8_lossy(&session.read_to_end()), "its last words\n");
    new.write("of the new one\n");
    Tty::open(&scene.tty(7)).shows("of the new one\n");
    scene.log_holds("guest-old.log", "of the old one\nits last words\n");
    scene.log_holds("guest-new.log", "of the new one\n");
}
