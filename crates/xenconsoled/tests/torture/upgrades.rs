//! The daemon is told to leave, and its program is replaced in place, while everybody writes: the next one goes on.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, Signal};
use testbed::until;

use super::churn::Churn;
use super::crowd::{Crowd, Kind};
use super::host::Host;
use super::kills::{block, store};
use super::knobs::{knob, random};
use super::report::Report;
use super::unit::{Unit, Way, program};

#[test]
fn through_the_keeper() {
    upgrades(Way::Keeper, "upgrades through the keeper");
}

#[test]
fn with_an_fd_store() {
    upgrades(Way::FdStore, "upgrades with systemd's descriptor store");
}

fn upgrades(way: Way, title: &str) {
    let rounds = knob("UPGRADES", 6);
    let mut random = random(title);
    let mut report = Report::new(title);
    let host = Host::idle(store(), "[daemon]\ndrain-seconds = 36000\n");
    let program = program(&host);
    let unit = Unit::start(way, &program, &host, random.next());
    let crowd = Crowd::start(&host, &Kind { count: 30, ..block(rounds) }, &mut random);
    crowd.remove(5, &mut random);
    let churn = Churn::start(&host, 2, &mut random);
    let mut daemon = until("a daemon", || unit.daemon());
    for round in 0..rounds {
        std::thread::sleep(random.time(Duration::from_millis(700)));
        if random.one_in(3) {
            // As logrotate does.
            unit.signal(Signal::HUP);
        }
        if round % 2 == 0 {
            unit.signal(Signal::TERM);
        } else {
            replace(&program);
            unit.renew();
        }
        daemon = until("the next daemon", || unit.daemon().filter(|next| *next != daemon));
        until("the new program", || runs(daemon, &program).then_some(()));
        if let Some(keeper) = unit.keeper() {
            until("the new program in the keeper", || runs(keeper, &program).then_some(()));
        }
    }
    report.line("restarts, daemons started", format!("{rounds}, {}", unit.starts()));
    report.tally("block", &crowd.tally);
    report.tally("logs that come and go", &churn.tally);
    report.line("logs that have come and gone", churn.end());
    let tally = std::sync::Arc::clone(&crowd.tally);
    let ended = crowd.end();
    let said = unit.stop();
    let found = ended.judge();
    report.verdict("block", &found);
    assert!(found.is_balanced() && found.dropped == 0, "{found:?}\n{said}");
    assert_eq!(tally.broken(), 0);
}

/// Puts another program in the place of this one, as a package manager does.
fn replace(program: &Path) {
    let new = program.with_extension("new");
    fs::copy(program, &new).unwrap();
    fs::rename(new, program).unwrap();
}

/// Whether a process executes what is at this path now.
fn runs(pid: Pid, program: &Path) -> bool {
    let ino = |path: &Path| fs::metadata(path).map(|found| found.ino()).ok();
    ino(format!("/proc/{}/exe", pid.as_raw_nonzero()).as_ref()) == ino(program)
}
