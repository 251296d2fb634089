//! The daemon is killed at any moment, any number of times: with somebody who keeps its descriptors, no byte is lost,
//! none is there twice, all are in order, and no writer notices more than a wait.

use std::time::Duration;

use rustix::process::Signal;
use testbed::until;

use super::churn::Churn;
use super::crowd::{Crowd, Kind};
use super::follow::Follow;
use super::host::{Host, StoreKind};
use super::knobs::{knob, random};
use super::random::Random;
use super::report::Report;
use super::unit::{Unit, Way, program};
use super::writer::Style;

/// As much as one hand holds: what one killed writer thread may take with it where nobody keeps its hand.
pub const HAND: u64 = 256 << 10;

#[test]
fn through_the_keeper() {
    kept(Way::Keeper, "kills through the keeper");
}

#[test]
fn with_an_fd_store() {
    kept(Way::FdStore, "kills with systemd's descriptor store");
}

/// The store that tests of the daemon run on.
pub fn store() -> StoreKind {
    if StoreKind::C.available() { StoreKind::C } else { StoreKind::Embedded }
}

/// Logs as in a host that is busy, such that all that is written in this time stays in their files.
pub fn block(seconds: u64) -> Kind {
    // Of 100 files with 1 MiB.
    let pace = (60 << 20) / seconds.max(1);
    Kind {
        count: 40,
        name: "block",
        policy: "block",
        stamped: 4,
        limit: 1 << 20,
        copies: 99,
        dir: "",
        impatient: false,
        style: Style { pace: Some(pace.min(400_000)), power: 16, most: 70 << 20 },
    }
}

/// The same with the policy `drop`.
pub fn dropping(seconds: u64) -> Kind {
    Kind { count: 10, name: "drop", policy: "drop", ..block(seconds) }
}

fn kept(way: Way, title: &str) {
    let kills = knob("KILLS", 12);
    let mut random = random(title);
    let mut report = Report::new(title);
    let host = Host::idle(store(), "[daemon]\ndrain-seconds = 36000\n");
    let unit = Unit::start(way, &program(&host), &host, random.next());
    let blocks = Crowd::start(&host, &block(kills), &mut random);
    let drops = Crowd::start(&host, &dropping(kills), &mut random);
    // Domains that are gone before their QEMU.
    blocks.remove(10, &mut random);
    drops.remove(3, &mut random);
    let churn = Churn::start(&host, 3, &mut random);
    let (followed, seed) = blocks.member(13);
    let follow = Follow::start(&host, followed, seed);
    kill(&unit, kills, &mut random);
    until("a daemon after the last kill", || unit.daemon());
    report.line("kills, daemons started", format!("{kills}, {}", unit.starts()));
    report.tally("block", &blocks.tally);
    report.tally("drop", &drops.tally);
    report.tally("logs that come and go", &churn.tally);
    report.line("logs that have come and gone", churn.end());
    let tallies = [&blocks.tally, &drops.tally].map(std::sync::Arc::clone);
    let (blocks, drops) = (blocks.end(), drops.end());
    let said = unit.stop();
    let seen = follow.end();
    let (blocks, drops) = (blocks.judge(), drops.judge());
    report.verdict("block", &blocks);
    report.verdict("drop", &drops);
    report.line("follower", format!("{seen:?}"));
    assert!(blocks.is_balanced() && blocks.dropped == 0, "{blocks:?}\n{said}");
    assert!(drops.is_balanced(), "{drops:?}\n{said}");
    assert_eq!((seen.missed, seen.wrong_at), (0, None));
    assert_eq!(tallies.map(|tally| tally.broken()), [0, 0]);
}

/// Without anybody who keeps anything each kill may cost what was in hand, and no more; nothing comes twice or in
/// another order.
#[test]
fn with_nobody_who_keeps_anything() {
    let title = "kills with nobody who keeps anything";
    let kills = knob("KILLS", 12);
    let mut random = random(title);
    let mut report = Report::new(title);
    let host = Host::idle(store(), "");
    let unit = Unit::start(Way::Alone, &program(&host), &host, random.next());
    let kind = Kind { count: 50, stamped: 0, ..block(kills) };
    let crowd = Crowd::start(&host, &kind, &mut random);
    kill(&unit, kills, &mut random);
    report.line("kills, daemons started", format!("{kills}, {}", unit.starts()));
    report.tally("block", &crowd.tally);
    let tally = std::sync::Arc::clone(&crowd.tally);
    let ended = crowd.end();
    unit.stop();
    let found = ended.judge();
    report.verdict("block", &found);
    assert!(found.lost <= kills * HAND, "{found:?}");
    assert_eq!((found.doubled, found.disordered, found.torn, tally.broken()), (0, 0, 0, 0), "{found:?}");
}

/// Kills the daemon so many times: while it starts, when it has just begun to serve, and later.
fn kill(unit: &Unit, kills: u64, random: &mut Random) {
    let mut last = None;
    for _ in 0..kills {
        let daemon = until("the next daemon", || unit.daemon().filter(|daemon| last != Some(*daemon)));
        last = Some(daemon);
        let life = match random.below(3) {
            0 => random.time(Duration::from_millis(20)),
            1 => random.time(Duration::from_millis(300)),
            // A life that the keeper does not take for one that failed.
            _ => Duration::from_secs(1) + random.time(Duration::from_millis(200)),
        };
        std::thread::sleep(life);
        if random.one_in(5) {
            // Stopped for a while first, so that pipes are full.
            unit.signal(Signal::STOP);
            std::thread::sleep(random.time(Duration::from_millis(200)));
        }
        unit.signal(Signal::KILL);
    }
}
