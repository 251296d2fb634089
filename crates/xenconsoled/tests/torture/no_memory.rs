//! The daemon cannot have the memory that it needs, and ends over it: for its keeper that is an end like any other.

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use testbed::until;

use super::crowd::{Crowd, Kind};
use super::host::{self, Host, Log, domain};
use super::kills::{block, store};
use super::knobs::random;
use super::report::Report;
use super::unit::{Unit, Way, program};

/// Entries that are refused, each with its text: some MiB in all.
const ENTRIES: u32 = 10_000;

#[test]
fn through_the_keeper() {
    let title = "no memory";
    let mut random = random(title);
    let mut report = Report::new(title);
    let host = Host::idle(store(), "[daemon]\ndrain-seconds = 36000\n");
    let unit = Unit::start(Way::Keeper, &program(&host), &host, 0);
    let crowd = Crowd::start(&host, &Kind { count: 20, ..block(10) }, &mut random);
    crowd.remove(3, &mut random);
    let mut demand = host::Crowd::new(&host.store.address());
    let daemon = until("a daemon", || unit.daemon());
    let all = take_memory(daemon);
    let logs: Vec<Log> = (0..ENTRIES).map(|number| host.log(domain(5), &format!("a{number}"))).collect();
    demand.write(&logs);
    until("another daemon", || unit.daemon().filter(|next| *next != daemon));
    // That one has as much as it wants.
    let new = host.log(domain(6), "qemu");
    drop(new.open());
    report.line("bytes of address space, daemons started", format!("{all}, {}", unit.starts()));
    report.tally("block", &crowd.tally);
    let tally = std::sync::Arc::clone(&crowd.tally);
    let ended = crowd.end();
    let all_said = std::fs::read_to_string(host.dir().join("unit.stderr")).unwrap();
    let said = unit.stop();
    let found = ended.judge();
    report.verdict("block", &found);
    assert!(all_said.contains("memory allocation of"), "it ended over something else: {said}");
    assert!(found.is_balanced() && found.dropped == 0, "{found:?}\n{said}");
    assert_eq!(tally.broken(), 0);
}

/// From now on the process has as much address space as it has taken already, and no more. Answers with how much that is.
fn take_memory(pid: Pid) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmSize:")).unwrap();
    let bytes = line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() << 10;
    prlimit(Some(pid), Resource::As, Rlimit { current: Some(bytes), maximum: Some(bytes) }).unwrap();
    bytes
}
