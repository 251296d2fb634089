//! One run directory has one daemon at a time, whatever comes and goes.

mod host;

use std::io::Write;

use host::{Daemon, Host, Log, StoreKind, domain, numbered, until};
use logproto::DAEMON_NODE;
use rustix::process::Signal;

/// It has left, as one that could not start, and has said whose the run directory is.
fn was_refused(host: &Host, daemon: &mut Daemon) -> String {
    let status = daemon.ended();
    let said = daemon.said();
    assert_eq!(status.code(), Some(1), "{said}");
    let lock = host.run_dir().join("xenlog.lock");
    assert!(said.contains(&format!("{}: another daemon", lock.display())), "{said}");
    assert!(said.contains("serves this run directory"), "{said}");
    said
}

fn is_served(log: &Log) {
    log.forget_answer();
    log.ready();
}

#[test]
fn a_second_daemon_is_told_who_is_there_and_leaves() {
    let mut host = Host::start();
    let log = host.log(domain(5), "qemu");
    let mut end = log.open();
    let pid = host.daemon().pid();
    for round in 0..3 {
        if round == 2 {
            // One that does not answer is there all the same.
            host.daemon().halt();
        }
        let said = was_refused(&host, &mut host.another());
        assert!(said.contains(&format!("process {pid}")), "{said}");
    }
    host.daemon().go_on();
    assert_eq!(host.client().read(DAEMON_NODE).unwrap(), b"1");
    end.write_all(b"undisturbed\n").unwrap();
    log.holds("undisturbed\n");
    is_served(&log);
    // Once it has left there is room for another.
    host.stop_daemon();
    host.start_daemon();
    is_served(&log);
}

/// The one that serves is killed while others try to take its place: one of them does.
#[test]
fn of_those_that_take_a_killed_ones_place_one_remains() {
    let host = Host::idle(if StoreKind::C.available() { StoreKind::C } else { StoreKind::Embedded }, "");
    let mut daemons = vec![host.another()];
    let log = host.log(domain(5), "qemu").limit(1 << 20);
    let mut end = log.open();
    for round in 0..6 {
        end.write_all(numbered(round * 1000..(round + 1) * 1000).as_bytes()).unwrap();
        log.holds(numbered(0..(round + 1) * 1000));
        daemons.extend([host.another(), host.another()]);
        daemons[0].signal(Signal::KILL);
        daemons.remove(0).ended();
        daemons.extend([host.another(), host.another()]);
        until("one that is alone", || {
            daemons.retain_mut(|daemon| daemon.is_there() || was_refused(&host, daemon).is_empty());
            (daemons.len() == 1).then_some(())
        });
        is_served(&log);
    }
}
