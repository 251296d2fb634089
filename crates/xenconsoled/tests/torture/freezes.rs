//! The log disk stands still: who writes to a `drop` log does not feel it, each byte is in the file or counted when it
//! goes on, who writes to a `block` log loses nothing, and logs on another disk go on.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use testbed::until;

use super::crowd::{Crowd, Kind};
use super::disk::{Frozen, Mounted, image, on_own_disks};
use super::host::{Host, domain};
use super::kills::store;
use super::knobs::{knob, random, seconds};
use super::report::{Report, milliseconds};
use super::status::drops_and_troubles;
use super::unit::{Unit, Way, program};
use super::writer::Style;

#[test]
fn a_frozen_disk_is_felt_by_nobody_who_drops() {
    on_own_disks("freezes::a_frozen_disk_is_felt_by_nobody_who_drops", freeze);
}

const KIND: Kind = Kind {
    count: 200,
    name: "drop",
    policy: "drop",
    stamped: 5,
    limit: 64 << 10,
    copies: 99,
    dir: "slow",
    impatient: false,
    style: Style { pace: Some(20_000), power: 14, most: 5 << 20 },
};

fn freeze(scratch: &Path) {
    let title = "a frozen disk";
    let length = seconds("FREEZE", 2);
    let mut random = random(title);
    let mut report = Report::new(title);
    image(&scratch.join("image"), 2 << 30);
    let host = Host::idle(store(), "");
    let slow = host.log_dir().join("slow");
    let _slow = Mounted::image(&scratch.join("image"), &slow);
    std::fs::create_dir(host.log_dir().join("fast")).unwrap();

    let unit = Unit::start(Way::Keeper, &program(&host), &host, random.next());
    let drops = Crowd::start(&host, &Kind { count: knob("WRITERS", KIND.count), ..KIND }, &mut random);
    let blocks = Crowd::start(&host, &Kind { count: 20, name: "block", policy: "block", ..KIND }, &mut random);
    let style = Style { power: 8, ..KIND.style };
    let fast = Kind { count: 20, name: "fast", dir: "fast", limit: 1 << 20, style, ..KIND };
    let fast = Crowd::start(&host, &fast, &mut random);
    let probe = host.log(domain(9000), "probe").file(host.log_dir().join("fast/probe.log"));
    let mut probe_end = probe.open();
    until("some bytes of everybody", || (drops.tally.bytes() > 1 << 20).then_some(()));

    let before = drops.tally.bytes();
    // Not the device below it: memory could hide for a minute that it does not answer, and did.
    let frozen = Frozen::new(&slow);
    let start = Instant::now();
    let mut latencies = Vec::new();
    // A disk that nobody waits for yet is not frozen enough.
    while start.elapsed() < length || drops_and_troubles(&host).is_none_or(|(dropped, _)| dropped == 0) {
        assert!(start.elapsed() < length + testbed::PATIENCE, "nobody was held up");
        // A log on another disk goes on meanwhile.
        let line = format!("line {}\n", latencies.len());
        let written = Instant::now();
        probe_end.write_all(line.as_bytes()).unwrap();
        until("a line on another disk", || probe.content().ends_with(line.as_bytes()).then_some(()));
        latencies.push(written.elapsed());
        std::thread::sleep(Duration::from_millis(20));
    }
    drop(frozen);
    report.line("frozen for", milliseconds(start.elapsed()));
    let after = drops.tally.bytes();
    report.line("written to drop logs meanwhile", format!("{} bytes", after - before));
    latencies.sort();
    let at = |part: usize| milliseconds(latencies[(latencies.len() - 1) * part / 100]);
    let shown = format!("{}, {}, {}, of {}", at(50), at(99), at(100), latencies.len());
    report.line("a line on another disk meanwhile: p50, p99, longest", shown);
    until("the disk's return", || (drops.tally.bytes() > after + (1 << 20)).then_some(()));

    report.tally("drop", &drops.tally);
    report.tally("block", &blocks.tally);
    report.tally("another disk", &fast.tally);
    let tallies = [&drops.tally, &blocks.tally, &fast.tally].map(Arc::clone);
    let [drops, blocks, fast] = [drops, blocks, fast].map(Crowd::end);
    let said = unit.stop();
    let [drops, blocks, fast] = [drops, blocks, fast].map(|ended| ended.judge());
    report.verdict("drop", &drops);
    report.verdict("block", &blocks);
    report.verdict("another disk", &fast);
    assert!(drops.is_balanced() && drops.gaps > 0, "{drops:?}\n{said}");
    assert!(blocks.is_balanced() && blocks.dropped == 0, "{blocks:?}\n{said}");
    assert!(fast.is_balanced(), "{fast:?}\n{said}");
    assert_eq!(tallies.map(|tally| tally.broken()), [0; 3]);
}
