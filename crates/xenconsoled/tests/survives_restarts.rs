//! The daemon may go and come back: what is in the pipes when it goes is written, what comes while it is away is written when it
//! is back, in order and once, and no writer notices.

mod host;

use std::fs::File;
use std::io::Write;

use host::{Host, Log, StoreKind, domain, fifo, has_reader, numbered, on_every_store, until};
use logproto::{Code, DAEMON_NODE, Owner, State};
use rustix::process::Signal;

on_every_store! {
    a_daemon_that_is_told_to_leave_writes_what_it_was_given
    what_is_written_while_it_is_away_is_there_when_it_is_back
}

/// Some logs in various places, served, with their writers.
fn logs(host: &Host) -> Vec<(Log, File)> {
    let owners = [(domain(5), "qemu"), (domain(5), "vnc"), (domain(6), "qemu"), (Owner::Host, "xl")];
    owners.map(|(owner, id)| host.log(owner, id)).map(|log| (log.clone(), log.open())).into()
}

fn a_daemon_that_is_told_to_leave_writes_what_it_was_given(kind: StoreKind) {
    let mut host = Host::on(kind, "");
    let mut logs = logs(&host);
    // It was slow for a moment, and is told to leave at once.
    host.daemon().halt();
    for (_, end) in &mut logs {
        end.write_all(numbered(0..4000).as_bytes()).unwrap();
    }
    host.stop_daemon();
    for (log, _) in &logs {
        assert!(log.content() == numbered(0..4000).as_bytes(), "{}", log.path);
        // All stays as it is for the next daemon, but nobody is to wait for one that left for good.
        assert_eq!(log.state(), Some(State::Ready));
        assert!(log.pipe.exists());
    }
    assert!(host.client().read(DAEMON_NODE).unwrap_err().is_absent());
}

fn what_is_written_while_it_is_away_is_there_when_it_is_back(kind: StoreKind) {
    let mut host = Host::on(kind, "");
    let mut logs = logs(&host);
    for round in 0..6 {
        let at = round * 1000;
        for (_, end) in &mut logs {
            end.write_all(numbered(at..at + 300).as_bytes()).unwrap();
        }
        // One way or the other, and with bytes in the pipes that it never saw.
        if round % 2 == 0 {
            host.stop_daemon();
        } else {
            host.daemon().halt();
            host.kill_daemon();
        }
        for (log, end) in &mut logs {
            end.write_all(numbered(at + 300..at + 600).as_bytes()).unwrap();
            // Who asked before is answered anew, whatever stands there.
            if round == 2 {
                log.set("state", "error");
            } else if round == 4 {
                log.forget_answer();
            }
        }
        host.start_daemon();
        for (log, end) in &mut logs {
            end.write_all(numbered(at + 600..at + 1000).as_bytes()).unwrap();
            log.holds(numbered(0..at + 1000));
            until("the answer", || (log.state() == Some(State::Ready)).then_some(()));
        }
    }
}

/// Entries that came, changed and went while it was away, and what is no longer there.
#[test]
fn it_finds_out_what_happened_while_it_was_away() {
    let mut host = Host::start();
    let stays = host.log(domain(5), "stays");
    let mut stays_end = stays.open();
    let gone = host.log(domain(5), "gone");
    let mut gone_end = gone.open();
    let used_again = host.log(domain(6), "qemu");
    let old_end = used_again.open();
    let without_pipe = host.log(domain(7), "qemu");
    drop(without_pipe.open());
    host.stop_daemon();
    gone.remove();
    gone_end.write_all(b"nobody asked for this any more\n").unwrap();
    std::fs::remove_file(&used_again.pipe).unwrap();
    fifo(&used_again.pipe);
    std::fs::remove_file(&without_pipe.pipe).unwrap();
    let new = host.log(domain(8), "new");
    new.ask();
    let bad = host.log(domain(8), "bad").node("limit", "none");
    bad.ask();
    host.start_daemon();
    stays_end.write_all(b"stays\n").unwrap();
    stays.holds("stays\n");
    until("a reader of the new FIFO", || has_reader(&used_again.pipe).then_some(()));
    used_again.end().write_all(b"of the new one\n").unwrap();
    used_again.holds("of the new one\n");
    until("the refusal", || {
        matches!(without_pipe.state(), Some(State::Error(why)) if why.code == Code::PipeOpen).then_some(())
    });
    new.ready();
    bad.refused(Code::BadLimit);
    assert_eq!(gone.content(), b"");
    assert!(!gone.is_in_store());
    drop(old_end);
}

/// A log whose last writer went while nobody was there is served again like any other.
#[test]
fn a_pipe_without_a_writer_is_taken_up_too() {
    let mut host = Host::start();
    let log = host.log(domain(5), "qemu");
    log.open().write_all(b"one\n").unwrap();
    log.holds("one\n");
    host.stop_daemon();
    log.forget_answer();
    host.start_daemon();
    log.ready();
    log.draft_end().write_all(b"two\n").unwrap();
    log.holds("one\ntwo\n");
}

/// Ctrl-C in the foreground is no less polite than SIGTERM.
#[test]
fn an_interrupt_is_a_good_end_too() {
    let mut host = Host::start();
    host.daemon().signal(Signal::INT);
    let status = host.daemon().ended();
    assert_eq!(status.code(), Some(0));
    assert!(host.client().read(DAEMON_NODE).unwrap_err().is_absent());
}

/// A writer that floods its log does not keep the daemon from leaving, nor does a store that does not answer.
#[test]
fn nothing_keeps_it_from_leaving() {
    let mut host = Host::start();
    let log = host.log(domain(5), "qemu").limit(4096).copies(1);
    let mut end = log.open();
    rustix::fs::fcntl_setfl(&end, rustix::fs::OFlags::RDWR | rustix::fs::OFlags::NONBLOCK).unwrap();
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let flood = std::thread::spawn(move || {
        while stopped.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
            let _ = end.write_all(numbered(0..64).as_bytes());
        }
    });
    host.store.pause();
    host.daemon().signal(Signal::TERM);
    let status = host.daemon().ended();
    host.store.resume();
    assert_eq!(status.code(), Some(0));
    drop(stop);
    flood.join().unwrap();
}
