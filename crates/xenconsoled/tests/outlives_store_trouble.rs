//! The store may be gone, hang, come back empty, be replaced, be slow or be flooded with changes: logs that run do not notice, and
//! new ones wait no longer than the store makes them.

mod host;

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use host::{Crowd, Host, Log, Scribe, Slow, StoreKind, domain, fifo, numbered, on_every_store, until};
use logproto::{Owner, State};
use xenstore::{Address, Client};

on_every_store! {
    a_store_that_is_gone_for_good_is_not_missed
    a_store_that_hangs_is_not_waited_for_by_running_logs
    logs_run_on_while_the_store_and_their_entries_come_and_go
    a_store_that_is_slow_costs_new_logs_time_and_running_ones_nothing
    an_answer_that_conflicts_for_ever_holds_up_no_other
}

/// If the entries' absence counted, the logs would be over within no time.
const IMPATIENT: &str = "[daemon]\ndrain-seconds = 0";

fn scribes(host: &Host) -> Vec<Scribe> {
    let owners = [domain(5), domain(6), Owner::Host];
    owners.map(|owner| Scribe::start(host.log(owner, "scribe"))).into()
}

fn a_store_that_is_gone_for_good_is_not_missed(kind: StoreKind) {
    let mut host = Host::on(kind, IMPATIENT);
    let scribes = scribes(&host);
    let alone = host.log(domain(7), "qemu");
    let mut end = alone.open();
    host.store.kill();
    // For as long as it takes to give up a connection and to try for another several times.
    until("several tries", || (host.daemon().said().contains("trying again")).then_some(()));
    scribes.iter().for_each(|scribe| scribe.goes_on(3000));
    // A log ends with its last writer, and whatever it wrote is there.
    end.write_all(b"the last line\n").unwrap();
    drop(end);
    alone.holds("the last line\n");
    scribes.into_iter().for_each(Scribe::end);
    // Nobody is there to say goodbye to: that keeps it from nothing.
    host.stop_daemon();
}

fn a_store_that_hangs_is_not_waited_for_by_running_logs(kind: StoreKind) {
    let mut host = Host::on(kind, "");
    let scribes = scribes(&host);
    let (gone, waiting) = (host.log(domain(7), "gone"), host.log(domain(7), "waiting"));
    let mut gone_end = gone.open();
    for round in 0..3 {
        // So that the store hangs with requests of the daemon's in it.
        host.daemon().halt();
        waiting.ask();
        host.store.pause();
        host.daemon().go_on();
        scribes.iter().for_each(|scribe| scribe.goes_on(3000));
        gone_end.write_all(numbered(round..round + 1).as_bytes()).unwrap();
        gone.holds(numbered(0..round + 1));
        host.store.resume();
        waiting.ready();
        waiting.remove();
        waiting.closed(host.daemon());
    }
    gone.remove();
    drop(gone_end);
    gone.closed(host.daemon());
    scribes.into_iter().for_each(Scribe::end);
}

/// Entries appear and vanish at any moment, also while the daemon finds its store again, or has only begun to look through it.
fn logs_run_on_while_the_store_and_their_entries_come_and_go(kind: StoreKind) {
    let mut host = Host::on(kind, IMPATIENT);
    let scribes = scribes(&host);
    let restless: Vec<Log> = (0..8).map(|number| host.log(domain(10 + number), "restless")).collect();
    restless.iter().for_each(|log| fifo(&log.pipe));
    let (address, stop) = (host.store.address(), AtomicBool::new(false));
    thread::scope(|scope| {
        let churn = scope.spawn(|| {
            let mut times = 0u32;
            while !stop.load(Ordering::Relaxed) {
                times += u32::from(come_and_go(&address, &restless, times).is_ok());
            }
            times
        });
        for _ in 0..6 {
            host.store.restart();
            scribes.iter().for_each(|scribe| scribe.goes_on(300));
            // Their toolstack writes them again, and they go on as they are.
            scribes.iter().for_each(|scribe| scribe.log().write());
            scribes.iter().for_each(|scribe| scribe.log().ready());
            scribes.iter().for_each(|scribe| scribe.goes_on(300));
        }
        stop.store(true, Ordering::Relaxed);
        assert!(churn.join().unwrap() > 0);
    });
    // Whatever they have been through, those that ask in the end are served.
    for log in &restless {
        let _ = host.client().rm(&log.path);
    }
    host.barrier();
    for log in &restless {
        log.ask();
        log.ready();
        log.end().write_all(b"served in the end\n").unwrap();
        log.holds("served in the end\n");
    }
    scribes.into_iter().for_each(Scribe::end);
}

/// All entries are written and removed again, half of them at first. The store may go at any moment.
fn come_and_go(address: &Address, logs: &[Log], times: u32) -> Result<(), xenstore::Error> {
    let mut client = Client::connect(std::slice::from_ref(address), Duration::from_secs(5))?;
    for (number, log) in logs.iter().enumerate() {
        client.transaction(|tx| log.nodes.iter().try_for_each(|(node, value)| tx.write(&log.at(node), value)))?;
        if number as u32 % 2 == times % 2 {
            client.rm(&log.path)?;
        }
    }
    logs.iter().try_for_each(|log| match client.rm(&log.path) {
        Err(why) if !why.is_absent() => Err(why),
        _ => Ok(()),
    })
}

fn a_store_that_is_slow_costs_new_logs_time_and_running_ones_nothing(kind: StoreKind) {
    let mut host = Host::idle(kind, "");
    let slow = Slow::to(host.store.socket(), host.dir());
    host.launch_at(slow.socket(), |_| ());
    host.serving();
    let scribes = scribes(&host);
    let before = slow.passed();
    let logs: Vec<Log> = (0..20).map(|number| host.log(domain(7), &format!("a{number}"))).collect();
    logs.iter().for_each(Log::ask);
    scribes.iter().for_each(|scribe| scribe.goes_on(300));
    for log in &logs {
        log.ready();
        log.end().write_all(b"served\n").unwrap();
        log.holds("served\n");
        log.remove();
        log.closed(host.daemon());
    }
    // All that was said came this way.
    assert!(slow.passed() - before > 20 * 200);
    scribes.into_iter().for_each(Scribe::end);
}

/// Somebody writes what an answer depends on, again and again, so that no transaction with that answer can be committed.
fn an_answer_that_conflicts_for_ever_holds_up_no_other(kind: StoreKind) {
    let host = Host::on(kind, "");
    let scribes = scribes(&host);
    let stormy = host.log(domain(5), "stormy");
    let (mut client, stop) = (host.client(), AtomicBool::new(false));
    thread::scope(|scope| {
        stormy.ask();
        scope.spawn(|| {
            let (path, value) = (stormy.at("pipe"), stormy.pipe.to_str().unwrap().as_bytes());
            while !stop.load(Ordering::Relaxed) {
                client.write(&path, value).unwrap();
            }
        });
        for round in 0..20 {
            // Of the same domain, whose turn it is together with the stormy one, and of another.
            for owner in [domain(5), domain(7)] {
                let calm = host.log(owner, &format!("a{round}"));
                calm.open().write_all(b"calm\n").unwrap();
                calm.holds("calm\n");
            }
        }
        scribes.iter().for_each(|scribe| scribe.goes_on(300));
        stop.store(true, Ordering::Relaxed);
    });
    stormy.ready();
    scribes.into_iter().for_each(Scribe::end);
}

/// The program of the store is replaced while it runs, as a security update does.
#[test]
fn a_live_update_of_the_store_is_not_felt() {
    if !StoreKind::C.available() {
        return;
    }
    let mut host = Host::on(StoreKind::C, IMPATIENT);
    let scribes = scribes(&host);
    for round in 0..5 {
        // Entries that are written while the store is replaced wait for it.
        let (live, new) = (&host.store, host.log(domain(7), &format!("a{round}")));
        thread::scope(|scope| {
            scope.spawn(|| live.live_update());
            new.ask();
            new.ready();
        });
        new.end().write_all(b"new\n").unwrap();
        new.holds("new\n");
        scribes.iter().for_each(|scribe| scribe.goes_on(100));
        // The watch has survived, or was set again.
        new.remove();
        new.closed(host.daemon());
        let scribe = scribes[0].log();
        scribe.forget_answer();
        scribe.ready();
    }
    scribes.into_iter().for_each(Scribe::end);
}

/// 100 000 changes below /libxl, each of another node than those before it. The daemon sees most of them as they come, and
/// finds the last 4000 all at once (for each event xenstored goes through all that wait: more would be a test of that).
#[test]
fn a_storm_of_changes_costs_running_logs_nothing_and_little_memory() {
    /// For events and requests under way. What a thousand logs take is more (8 MiB, of which an idle daemon has given back most).
    const GROWTH: u64 = 8 << 20;
    let mut host = Host::on(if StoreKind::C.available() { StoreKind::C } else { StoreKind::Embedded }, "");
    let scribes = scribes(&host);
    host.barrier();
    let before = host.daemon().peak_memory();
    let mut crowd = Crowd::new(&host.store.address());
    let mut storm = |changes: std::ops::Range<u32>| {
        for batch in changes.step_by(1000) {
            let paths = (batch..batch + 1000).map(|n| format!("/libxl/{}/device/vbd/{}/state", n % 97, n % 1009));
            crowd.change(&paths.collect::<Vec<_>>());
        }
    };
    let new = host.log(domain(7), "new");
    storm(0..96_000);
    new.ask();
    new.ready();
    host.daemon().halt();
    storm(96_000..100_000);
    host.daemon().go_on();
    let newer = host.log(domain(7), "newer");
    newer.open().write_all(b"newer\n").unwrap();
    newer.holds("newer\n");
    assert_eq!(new.state(), Some(State::Ready));
    host.barrier();
    let grown = host.daemon().peak_memory() - before;
    assert!(grown < GROWTH, "it has grown by {grown} bytes");
    scribes.iter().for_each(|scribe| scribe.goes_on(100));
    scribes.into_iter().for_each(Scribe::end);
}
