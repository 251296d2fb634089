//! The library: asking for a log, writing, ending it, and every way in which that fails.

use std::fs;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use logproto::{Code, EntryKey, LogId, Owner};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::Signal;
use testbed::{StoreKind, until};
use xenlog::{Awaited, Error, Fallback, Opening, Output, Places};
use xenstore::Address;

use crate::host::{HOUR, Host};

/// Short: for what never comes.
const MOMENT: Duration = Duration::from_millis(200);

/// Long enough that a store which has anything to say says it, mostly. If not, the test shows less.
const LULL: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

fn dom5() -> Owner {
    Owner::Domain("5".parse().unwrap())
}

fn id(text: &str) -> LogId {
    text.parse().unwrap()
}

fn write(end: impl AsFd, text: &str) {
    assert_eq!(rustix::io::write(end, text.as_bytes()), Ok(text.len()));
}

/// Goes on until the request is in the store.
fn until_asked(host: &Host, opening: &mut Opening, owner: Owner) {
    until("the request", || {
        assert!(opening.process().unwrap().is_none());
        (!host.entries(owner).is_empty()).then_some(())
    });
}

#[test]
fn what_is_written_reaches_the_file_and_nothing_else_stays() {
    let Some(host) = Host::start() else { return };
    let log = host.options(dom5(), "sub.log").limit(8192).copies(1).open().unwrap();
    assert_eq!(log.file(), host.log_dir().join("sub.log"));
    assert_eq!(host.fifos(), [log.pipe()]);
    assert_eq!(host.entries(dom5()), [log.key().name.to_string()]);
    let nodes = host.nodes(&log.key().path());
    let node = |name: &str| nodes.get(name).map(String::as_str);
    assert_eq!((node("limit"), node("copies"), node("state")), (Some("8192"), Some("1"), Some("ready")));
    assert_eq!((node("policy"), node("timestamp")), (None, None), "what is not said is the daemon's to choose");
    write(&log, "one\n");
    log.end().unwrap();
    host.assert_clean(dom5());
    host.until_logged("sub.log", "one\n");
}

#[test]
fn a_refusal_tells_why_and_leaves_nothing() {
    let Some(host) = Host::start() else { return };
    let error = host.options(dom5(), "a.log").limit(1).open().unwrap_err();
    let Error::Refused(refusal) = &error else { panic!("{error}") };
    assert_eq!(refusal.code, Code::BadLimit);
    assert!(error.to_string().contains("/limit"), "{error}");
    let error = host.options(dom5(), "/etc/passwd").open().unwrap_err();
    assert!(matches!(&error, Error::Refused(refusal) if refusal.code == Code::BadFile), "{error}");
    host.assert_clean(dom5());
    assert_eq!(fs::read_dir(host.log_dir()).unwrap().count(), 0);
}

#[test]
fn without_a_daemon_it_fails_at_once() {
    let Some(host) = Host::quiet() else { return };
    // With an hour to wait, the test would hang if it did not.
    assert!(matches!(host.options(dom5(), "a.log").open(), Err(Error::NoDaemon)));
    host.assert_clean(dom5());
}

#[test]
fn without_a_store_it_fails_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let store = ["a", "b"].map(|name| Address::unix(dir.path().join(name))).to_vec();
    let places = Places { store, run_dir: dir.path().into(), log_dir: dir.path().into() };
    let error = xenlog::OpenOptions::new(Owner::Host, "a.log").places(places).wait(HOUR).open().unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, Error::Store(xenstore::Error::Unreachable(_))), "{text}");
    assert!(text.contains("/a") && text.contains("/b"), "{text}");
}

#[test]
fn a_daemon_that_does_not_answer_is_too_late_and_nothing_stays() {
    let Some(host) = Host::quiet() else { return };
    host.claim_daemon();
    let error = host.options(dom5(), "a.log").wait(MOMENT).open().unwrap_err();
    assert!(matches!(error, Error::TooLate { from: Awaited::Daemon, .. }), "{error}");
    host.assert_clean(dom5());
}

#[test]
fn a_store_that_does_not_answer_is_too_late() {
    let Some(host) = Host::quiet() else { return };
    host.claim_daemon();
    host.store.pause();
    let error = host.options(dom5(), "a.log").wait(MOMENT).open().unwrap_err();
    assert!(matches!(error, Error::TooLate { from: Awaited::Store, .. }), "{error}");
    assert!(host.fifos().is_empty());
    host.store.resume();
    host.assert_clean(dom5());
}

#[test]
fn a_store_that_stops_answering_half_way_holds_nobody() {
    let Some(host) = Host::quiet() else { return };
    host.claim_daemon();
    let mut opening = host.options(dom5(), "a.log").wait(MOMENT).start();
    let written = until("the request or the end", || match opening.process() {
        Ok(_) => (!host.entries(dom5()).is_empty()).then_some(true),
        // This machine is too slow for the test to say anything.
        Err(_) => Some(false),
    });
    host.store.pause();
    if written {
        assert!(matches!(opening.wait(None), Err(Error::TooLate { .. })));
    }
    assert!(host.fifos().is_empty());
    host.store.resume();
}

#[test]
fn a_store_with_a_queue_before_its_door_is_waited_for_and_no_longer_than_told() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let address = rustix::net::SocketAddrUnix::new(&path).unwrap();
    let socket = |flags| {
        let (family, kind) = (rustix::net::AddressFamily::UNIX, rustix::net::SocketType::STREAM);
        rustix::net::socket_with(family, kind, flags, None).unwrap()
    };
    let store = socket(rustix::net::SocketFlags::CLOEXEC);
    rustix::net::bind(&store, &address).unwrap();
    rustix::net::listen(&store, 0).unwrap();
    let mut queue = Vec::new();
    loop {
        let caller = socket(rustix::net::SocketFlags::NONBLOCK);
        match rustix::net::connect(&caller, &address) {
            Ok(()) => queue.push(caller),
            Err(error) => break assert_eq!(error, Errno::AGAIN),
        }
    }
    let places = Places { store: vec![Address::unix(&path)], run_dir: dir.path().into(), log_dir: dir.path().into() };
    let error = xenlog::OpenOptions::new(Owner::Host, "a.log").places(places).wait(MOMENT).open().unwrap_err();
    assert!(matches!(error, Error::TooLate { from: Awaited::Store, .. }), "{error}");
}

#[test]
fn given_up_half_way_nothing_stays() {
    let Some(host) = Host::quiet() else { return };
    host.claim_daemon();
    let mut dropped = host.options(dom5(), "a.log").start();
    until_asked(&host, &mut dropped, dom5());
    assert_eq!(host.fifos().len(), 1);
    drop(dropped);
    host.assert_clean(dom5());
    let mut cancelled = host.options(dom5(), "a.log").start();
    until_asked(&host, &mut cancelled, dom5());
    cancelled.cancel();
    host.assert_clean(dom5());
}

#[test]
fn a_caller_who_wants_to_stop_is_let_go() {
    let Some(host) = Host::quiet() else { return };
    host.claim_daemon();
    let (stop, mut say) = std::io::pipe().unwrap();
    let asked = std::thread::scope(|scope| {
        let asking = scope.spawn(|| host.options(dom5(), "a.log").open_unless(stop.as_fd()));
        until("the request", || (!host.entries(dom5()).is_empty()).then_some(()));
        say.write_all(b"x").unwrap();
        asking.join().unwrap()
    });
    assert!(matches!(asked, Err(Error::Stopped)));
    host.assert_clean(dom5());
}

/// The client watched `state`, a node that is not there yet, and xenstored says nothing of what is not there when it
/// removes what is: a client that had seen its entry whole waited until its deadline.
#[test]
fn a_domain_that_is_destroyed_ends_the_waiting() {
    let Some(host) = Host::quiet() else { return };
    host.claim_daemon();
    let mut opening = host.options(dom5(), "a.log").start();
    until_asked(&host, &mut opening, dom5());
    // Until the store has answered everything: nothing comes any more.
    while poll(&mut [PollFd::from_borrowed_fd(opening.fd().unwrap(), PollFlags::IN)], Some(&LULL)).unwrap() > 0 {
        assert!(opening.process().unwrap().is_none());
    }
    host.client().rm("/libxl/5").unwrap();
    assert!(matches!(opening.wait(None), Err(Error::Removed(path)) if path.starts_with("/libxl/5/logging/a-")));
    assert!(host.fifos().is_empty());
}

#[test]
fn an_event_loop_gets_its_log_without_blocking() {
    let Some(host) = Host::start() else { return };
    let mut opening = host.options(dom5(), "a.log").start();
    let log = loop {
        if let Some(log) = opening.process().unwrap() {
            break log;
        }
        let wanted = if opening.wants_write() { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN };
        let mut fds: Vec<PollFd<'_>> = opening.fd().iter().map(|fd| PollFd::from_borrowed_fd(*fd, wanted)).collect();
        let left = opening.deadline().saturating_duration_since(Instant::now());
        poll(&mut fds, Timespec::try_from(left).ok().as_ref()).unwrap();
    };
    assert!(opening.process().unwrap().is_none(), "it is over");
    drop(opening);
    write(&log, "still there\n");
    log.end().unwrap();
    host.until_logged("a.log", "still there\n");
}

#[test]
fn an_id_that_is_taken_stays_with_its_log() {
    let Some(host) = Host::start() else { return };
    let first = host.options(dom5(), "a.log").id(id("x")).open().unwrap();
    let error = host.options(dom5(), "b.log").id(id("x")).open().unwrap_err();
    assert!(matches!(&error, Error::IdTaken(path) if path == "/libxl/5/logging/x"), "{error}");
    assert_eq!(host.fifos(), [first.pipe()]);
    assert_eq!(host.entries(dom5()), ["x"]);
    write(&first, "on\n");
    host.until_logged("a.log", "on\n");
}

#[test]
fn a_log_that_gives_way_is_drained_and_does_not_take_its_successor_along() {
    let Some(host) = Host::start() else { return };
    let first = host.options(dom5(), "a.log").id(id("x")).open().unwrap();
    write(&first, "first\n");
    let second = host.options(dom5(), "b.log").id(id("x")).replace(true).open().unwrap();
    host.until_logged("a.log", "first\n");
    first.end().unwrap();
    assert_eq!(host.entries(dom5()), ["x"]);
    assert_eq!(host.fifos(), [second.pipe()]);
    write(&second, "second\n");
    host.until_logged("b.log", "second\n");
    second.end().unwrap();
    host.assert_clean(dom5());
}

#[test]
fn many_ask_at_once_and_none_gets_anothers_log() {
    let Some(host) = Host::start() else { return };
    std::thread::scope(|scope| {
        for number in 0..20 {
            let host = &host;
            scope.spawn(move || {
                // All want the same stem.
                let file = format!("same.{number}");
                let log = host.options(dom5(), &file).open().unwrap();
                write(&log, &format!("{number}\n"));
                log.end().unwrap();
                host.until_logged(&file, &format!("{number}\n"));
            });
        }
    });
    host.assert_clean(dom5());
}

#[test]
fn a_frozen_daemon_holds_no_writer_and_loses_nothing_that_was_accepted() {
    let Some(host) = Host::start() else { return };
    let log = host.options(dom5(), "a.log").limit(16 << 20).open().unwrap();
    host.daemon().freeze();
    let block = [b'x'; 4096];
    let mut accepted = 0;
    let error = loop {
        match rustix::io::write(&log, &block) {
            Ok(count) => accepted += count,
            Err(error) => break error,
        }
    };
    assert_eq!(error, Errno::AGAIN);
    assert!(accepted >= 64 << 10, "{accepted}");
    host.daemon().signal(Signal::CONT);
    until("all that was accepted", || (host.read("a.log").len() == accepted).then_some(()));
}

#[test]
fn a_dead_daemon_is_no_broken_pipe() {
    let Some(mut host) = Host::start() else { return };
    let log = host.open("a.log");
    host.daemon().signal(Signal::KILL);
    // Not its /proc/PID/exe: that is gone before its files are closed, and with them its lock; the next one found that held.
    let stat = format!("/proc/{}/stat", host.daemon().pid());
    until("the daemon's end", || fs::read_to_string(&stat).is_ok_and(|stat| stat.contains(") Z ")).then_some(()));
    write(&log, "while it was dead\n");
    host.start_daemon();
    host.until_logged("a.log", "while it was dead\n");
}

#[test]
fn a_blocking_write_end_is_had_for_the_asking() {
    let Some(host) = Host::start() else { return };
    let flags = |blocking| rustix::fs::fcntl_getfl(host.options(dom5(), "a.log").blocking(blocking).open().unwrap());
    assert!(!flags(true).unwrap().contains(OFlags::NONBLOCK));
    // The file of the first may still be drained.
    let other = host.options(dom5(), "b.log").open().unwrap();
    assert!(rustix::fs::fcntl_getfl(&other).unwrap().contains(OFlags::NONBLOCK | OFlags::RDWR));
}

#[test]
fn a_dropped_log_has_ended() {
    let Some(host) = Host::start() else { return };
    drop(host.options(dom5(), "a.log").open().unwrap());
    host.assert_clean(dom5());
}

#[test]
fn a_detached_log_lives_until_its_domain_is_destroyed() {
    let Some(host) = Host::start() else { return };
    let end: OwnedFd = host.options(dom5(), "a.log").id(id("x")).open().unwrap().detach();
    assert_eq!(host.entries(dom5()), ["x"]);
    write(&end, "before\n");
    host.client().rm("/libxl/5").unwrap();
    write(&end, "after\n");
    drop(end);
    host.until_logged("a.log", "before\nafter\n");
    until("the daemon to remove the FIFO", || host.fifos().is_empty().then_some(()));
}

/// A daemon said that it reads and died; the FIFO has no reader. That is no answer: the next daemon's is.
#[test]
fn ready_without_a_reader_is_no_answer() {
    let Some(host) = Host::quiet() else { return };
    host.claim_daemon();
    let mut opening = host.options(dom5(), "a.log").id(id("x")).start();
    until_asked(&host, &mut opening, dom5());
    let state = EntryKey::new(dom5(), &id("x")).node("state");
    host.client().write(&state, b"ready").unwrap();
    // Several turns, so that the answer was seen.
    for _ in 0..20 {
        assert!(opening.process().unwrap().is_none());
        let fd = opening.fd().unwrap();
        let moment = Timespec { tv_sec: 0, tv_nsec: 5_000_000 };
        poll(&mut [PollFd::from_borrowed_fd(fd, PollFlags::IN)], Some(&moment)).unwrap();
    }
    let fifo = &host.fifos()[0];
    let reader = rustix::fs::open(fifo, OFlags::RDONLY | OFlags::NONBLOCK, Mode::empty()).unwrap();
    host.client().write(&state, b"ready").unwrap();
    let log = opening.wait(None).unwrap();
    write(&log, "x");
    assert_eq!(rustix::io::read(&reader, &mut [0; 9]), Ok(1));
}

#[test]
fn what_takes_a_logs_place_is_the_callers_choice() {
    let Some(host) = Host::quiet() else { return };
    let options = host.options(dom5(), "a.log");
    assert!(matches!(options.open_or(&Fallback::Fail), Err(Error::NoDaemon)));
    let file = host.store.dir().join("plain");
    for fallback in [Fallback::DevNull, Fallback::File(file.clone())] {
        let Ok(Output::Instead { end, why: Error::NoDaemon }) = options.open_or(&fallback) else {
            panic!("{fallback:?}");
        };
        write(end, "kept\n");
    }
    assert_eq!(fs::read_to_string(file).unwrap(), "kept\n");
    let nowhere = Fallback::File(Path::new("/nonexistent/file").into());
    assert!(matches!(options.open_or(&nowhere), Err(Error::NoFallback { .. })));
}

#[test]
fn a_missing_run_directory_is_told_and_not_made() {
    let Some(host) = Host::start() else { return };
    fs::remove_dir_all(host.run_dir()).unwrap();
    let error = host.options(dom5(), "a.log").open().unwrap_err();
    assert!(matches!(&error, Error::Fifo { action: "make", .. }), "{error}");
    assert!(!host.run_dir().exists());
    assert!(host.entries(dom5()).is_empty());
}

/// Everything else here is on Xen's C store; its store in OCaml and the embedded one have to do as well.
#[test]
fn every_store_will_do() {
    for kind in [StoreKind::C, StoreKind::OCaml, StoreKind::Embedded] {
        let Some(mut host) = Host::on(kind) else { continue };
        host.claim_daemon();
        let mut opening = host.options(dom5(), "a.log").start();
        until_asked(&host, &mut opening, dom5());
        host.client().rm("/libxl/5").unwrap();
        assert!(matches!(opening.wait(None), Err(Error::Removed(_))), "{kind:?}");
        host.client().rm("/tool/xenconsoled/logging").unwrap();
        host.start_daemon();
        let log = host.options(dom5(), "a.log").id(id("x")).open().unwrap();
        write(&log, "one\n");
        assert!(matches!(host.options(dom5(), "b.log").id(id("x")).open(), Err(Error::IdTaken(_))), "{kind:?}");
        assert!(matches!(host.options(dom5(), "b.log").limit(1).open(), Err(Error::Refused(_))), "{kind:?}");
        let next = host.options(dom5(), "a.log").id(id("x")).replace(true).open().unwrap();
        write(&next, "two\n");
        log.end().unwrap();
        next.end().unwrap();
        host.assert_clean(dom5());
        host.until_logged("a.log", "one\ntwo\n");
    }
}
