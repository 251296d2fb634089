//! A log that goes beyond its budget waits or drops, as it was asked to, and costs no other log anything.

mod host;

use std::fs::File;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use host::{Host, Log, domain, goes_on, ledger_balances, numbered, until};

/// Little enough to be over it at once, and enough for a test not to last.
const BUDGET: &str = "[daemon]\nrate = \"512K\"\nburst = \"64K\"";
const LINES: u32 = 100_000;
const REASON: &str = "over its budget";

/// What the daemon says of its logs.
fn status(host: &Host) -> String {
    host.status().unwrap()
}

/// A number of its only log.
fn number(status: &str, name: &str) -> u64 {
    let status: serde_json::Value = serde_json::from_str(status).unwrap();
    status["logs"][0][name].as_u64().unwrap()
}

#[test]
fn a_log_that_must_not_drop_waits_for_its_budget() {
    let host = Host::configured(BUDGET);
    let log = host.log(domain(5), "qemu").limit(16 << 20).node("policy", "block");
    let mut end = log.open();
    let writer = thread::spawn(move || end.write_all(numbered(0..LINES).as_bytes()).unwrap());
    until("a log over its budget", || status(&host).contains(REASON).then_some(()));
    log.holds(numbered(0..LINES));
    writer.join().unwrap();
    let status = status(&host);
    assert_eq!((number(&status, "in"), number(&status, "dropped")), (16 * u64::from(LINES), 0), "{status}");
}

#[test]
fn a_log_that_may_drop_loses_what_its_budget_does_not_allow_and_says_how_much() {
    let host = Host::configured(BUDGET);
    let log = host.log(domain(5), "qemu").limit(64 << 20);
    let mut end = log.open();
    let mut written = Vec::new();
    for first in (0..4 * LINES).step_by(1000) {
        let bytes = numbered(first..first + 1000);
        end.write_all(bytes.as_bytes()).unwrap();
        written.extend_from_slice(bytes.as_bytes());
    }
    goes_on(&mut end, &log, &mut written);
    // What is missing is the difference: any reason would do, and some of it was for this one.
    let gaps = ledger_balances(&log, &written, "");
    let content = String::from_utf8(log.content()).unwrap();
    assert!(content.contains(&format!(": {REASON}]\n")));
    let markers =
        content.lines().filter_map(|line| line.strip_prefix("[xenlog: ")?.split(' ').next()?.parse::<u64>().ok());
    let dropped: u64 = markers.sum();
    let status = status(&host);
    assert_eq!(number(&status, "in"), written.len() as u64, "{status}");
    assert_eq!((number(&status, "dropped"), number(&status, "gaps")), (dropped, gaps as u64), "{status}");
}

#[test]
fn who_is_beside_a_log_over_its_budget_does_not_feel_it() {
    let host = Host::configured(BUDGET);
    let flood = host.log(domain(5), "flood").limit(64 << 10).node("policy", "block");
    let (mut end, stop) = (flood.open(), AtomicBool::new(false));
    thread::scope(|scope| {
        let flooding = scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                end.write_all(numbered(0..100).as_bytes()).unwrap();
            }
        });
        until("a log over its budget", || status(&host).contains(REASON).then_some(()));
        for round in 0..20 {
            let other = host.log(domain(6), &format!("a{round}"));
            let mut end = other.open();
            end.write_all(numbered(0..1000).as_bytes()).unwrap();
            other.holds(numbered(0..1000));
        }
        assert!(!flooding.is_finished());
        stop.store(true, Ordering::Relaxed);
    });
}

fn impatient(log: &Log) -> File {
    log.ask();
    log.ready();
    log.impatient_end()
}

/// Its domain is gone, and it writes on and on: the domain that is to have its file has it at once, and for itself.
#[test]
fn a_writer_that_never_stops_gives_its_file_up() {
    let mut host = Host::configured("[daemon]\ndrain-seconds = 86400");
    let old = host.log(domain(5), "qemu").limit(1 << 30).node("policy", "block");
    let (mut end, stop) = (impatient(&old), AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut number = 0;
            while !stop.load(Ordering::Relaxed) {
                // A pipe that nobody reads any more fills up, and that is all.
                if end.write(numbered(number..number + 1).as_bytes()).is_ok() {
                    number += 1;
                }
            }
        });
        until("many lines", || (old.content().len() > 100_000).then_some(()));
        old.remove();
        let new = host.log(domain(6), "qemu").limit(1 << 30).file(&old.file);
        let mut new_end = new.open();
        new_end.write_all(b"a new domain's\n").unwrap();
        let wanted = b"a new domain's\n";
        until("the new domain's line", || new.content().ends_with(wanted).then_some(()));
        old.closed_pipe(host.daemon());
        stop.store(true, Ordering::Relaxed);
        let content = new.content();
        let lines = u32::try_from((content.len() - wanted.len()) / 16).unwrap();
        assert!(
            content == [numbered(0..lines).as_bytes(), wanted].concat(),
            "lines are missing, or come from the grave"
        );
    });
}
