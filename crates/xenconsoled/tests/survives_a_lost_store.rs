//! The store may go and come back, with its nodes or without: running logs never notice.

mod host;

use std::io::Write;

use host::{Host, StoreKind, domain, numbered, on_every_store, until};
use logproto::{DAEMON_NODE, Owner, State};
use xenstore::Client;
use xenstore::server::{Limits, Server};

on_every_store! {
    a_store_that_starts_anew_and_empty_costs_no_log
    a_daemon_that_is_there_first_waits_for_its_store
}

fn a_store_that_starts_anew_and_empty_costs_no_log(kind: StoreKind) {
    // If the entries' absence counted, the logs would be over within no time.
    let mut host = Host::on(kind, "[daemon]\ndrain-seconds = 0");
    let log = host.log(domain(5), "qemu");
    let mut end = log.open();
    for round in 0..3 {
        host.store.kill();
        end.write_all(numbered(round * 3..round * 3 + 1).as_bytes()).unwrap();
        log.holds(numbered(0..round * 3 + 1));
        host.store.restart();
        host.serving();
        host.barrier();
        // Nothing is known of the log, and it is written all the same.
        end.write_all(numbered(round * 3 + 1..round * 3 + 2).as_bytes()).unwrap();
        log.holds(numbered(0..round * 3 + 2));
        let new = host.log(domain(6), &format!("a{round}"));
        new.open().write_all(b"new\n").unwrap();
        new.holds("new\n");
        // The toolstack writes its entry again.
        log.write();
        log.ready();
        end.write_all(numbered(round * 3 + 2..round * 3 + 3).as_bytes()).unwrap();
        log.holds(numbered(0..round * 3 + 3));
    }
    // Now its entry says again when it is over.
    log.remove();
    log.closed(host.daemon());
    // The start, three times a loss and a return, and the writer that was not waited for.
    let reports = host.daemon().reports();
    assert_eq!(reports.len(), 1 + 3 * 2 + 1, "{reports:#?}");
}

fn a_daemon_that_is_there_first_waits_for_its_store(kind: StoreKind) {
    let mut host = Host::idle(kind, "");
    host.store.kill();
    host.launch();
    until("the daemon's complaint", || host.daemon().said().contains("xenstore: ").then_some(()));
    host.store.restart();
    let log = host.log(domain(5), "qemu");
    log.open().write_all(b"line\n").unwrap();
    log.holds("line\n");
    host.serving();
    let reports = host.daemon().reports();
    assert_eq!(reports.len(), 2, "{reports:#?}");
}

/// The connection is lost and the nodes are not: a store that is updated in place.
#[test]
fn a_lost_connection_is_made_again_and_everything_looked_at() {
    let mut host = Host::idle(StoreKind::Embedded, "");
    host.store.kill();
    let server = Server::start(host.store.socket(), Limits::default()).unwrap();
    host.start_daemon();
    let log = host.log(domain(5), "qemu");
    let gone = host.log(domain(5), "gone");
    let (mut end, gone_end) = (log.open(), gone.open());
    for round in 0..10 {
        end.write_all(numbered(round * 2..round * 2 + 1).as_bytes()).unwrap();
        server.drop_connections();
        end.write_all(numbered(round * 2 + 1..round * 2 + 2).as_bytes()).unwrap();
        // Entries that come while nobody listens.
        let new = host.log(domain(6), &format!("a{round}"));
        new.open().write_all(b"new\n").unwrap();
        new.holds("new\n");
        log.holds(numbered(0..round * 2 + 2));
        log.forget_answer();
        log.ready();
    }
    // An entry that goes while nobody listens ends its log as any other does, with its last writer.
    host.daemon().halt();
    gone.remove();
    server.drop_connections();
    host.daemon().go_on();
    drop(gone_end);
    gone.closed(host.daemon());
    assert!(!gone.pipe.exists());
}

/// The daemon says that it serves as soon as it does, whatever else was said: by hand, or by a store that came back.
#[test]
fn its_node_comes_back_with_the_store() {
    let host = Host::idle(StoreKind::Embedded, "");
    let mut host = { host };
    host.store.kill();
    let server = Server::start(host.store.socket(), Limits::default()).unwrap();
    host.start_daemon();
    host.client().rm(DAEMON_NODE).unwrap();
    server.drop_connections();
    host.serving();
}

/// A store that stands still for a while costs answers nothing but time, and logs nothing.
#[test]
fn a_store_that_stands_still_is_waited_for() {
    let mut host = Host::start();
    let log = host.log(domain(5), "qemu");
    let mut end = log.open();
    let waiting = host.log(Owner::Host, "xl");
    host.daemon().halt();
    waiting.ask();
    host.store.pause();
    host.daemon().go_on();
    end.write_all(numbered(0..1000).as_bytes()).unwrap();
    log.holds(numbered(0..1000));
    host.store.resume();
    waiting.ready();
}

/// Somebody writes below /libxl all the time, even the entry itself: the answer comes all the same.
#[test]
fn changes_without_end_hold_up_no_answer() {
    let host = Host::start();
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let mut client: Client = host.client();
    let storm = std::thread::spawn(move || {
        let mut round = 0u64;
        while stopped.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
            round += 1;
            client.write("/libxl/5/logging/stormy/limit", (8192 + round % 100).to_string().as_bytes()).unwrap();
            client.write("/libxl/5/device/vbd/1/state", b"4").unwrap();
            client.write("/libxl/9", b"").unwrap();
        }
    });
    let stormy = host.log(domain(5), "stormy");
    stormy.ask();
    for round in 0..20 {
        let calm = host.log(domain(6), &format!("a{round}"));
        calm.ask();
        calm.ready();
    }
    until("the answer", || (stormy.state() == Some(State::Ready)).then_some(()));
    let mut end = stormy.end();
    end.write_all(b"line\n").unwrap();
    stormy.holds("line\n");
    drop(stop);
    storm.join().unwrap();
}
