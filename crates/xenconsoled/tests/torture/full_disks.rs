//! The log disk is full, and has room again, many times: each byte is in a file or counted, and who writes to a `block`
//! log loses nothing.

use std::path::Path;
use std::time::Duration;

use testbed::until;

use super::crowd::{self, Crowd, Kind};
use super::disk::{Ballast, Mounted, image, on_own_disks};
use super::host::Host;
use super::kills::store;
use super::knobs::{knob, random};
use super::report::Report;
use super::status::drops_and_troubles;
use super::unit::{Unit, Way, program};
use super::writer::Style;

#[test]
fn on_ext4() {
    on_own_disks("full_disks::on_ext4", |scratch| {
        image(&scratch.join("image"), 2 << 30);
        fill("a full ext4", |at| Mounted::image(&scratch.join("image"), at));
    });
}

#[test]
fn on_tmpfs() {
    on_own_disks("full_disks::on_tmpfs", |_| fill("a full tmpfs", |at| Mounted::tmpfs(at, "1g")));
}

fn fill(title: &str, mount: impl FnOnce(&Path) -> Mounted) {
    let times = knob("FILLS", 4);
    let mut random = random(title);
    let mut report = Report::new(title);
    let host = Host::idle(store(), "");
    let full = host.log_dir().join("full");
    let _full = mount(&full);
    let unit = Unit::start(Way::Keeper, &program(&host), &host, random.next());
    let kind = Kind {
        count: 40,
        name: "drop",
        policy: "drop",
        stamped: 5,
        limit: 128 << 10,
        copies: 99,
        dir: "full",
        impatient: false,
        // All that is written while it is full so often stays in their files.
        style: Style { pace: Some(50_000.min((11 << 20) / (4 * times.max(1)))), power: 15, most: 12 << 20 },
    };
    let drops = Crowd::start(&host, &kind, &mut random);
    let blocks = Crowd::start(&host, &Kind { count: 20, name: "block", policy: "block", ..kind }, &mut random);
    for _ in 0..times {
        std::thread::sleep(random.time(Duration::from_millis(300)));
        let (before, _) = until("the daemon's status", || drops_and_troubles(&host));
        let ballast = Ballast::fill(&full);
        until("a full disk to be noticed", || {
            let (dropped, troubles) = drops_and_troubles(&host)?;
            (dropped > before && troubles > 0).then_some(())
        });
        std::thread::sleep(random.time(Duration::from_millis(300)));
        drop(ballast);
        until("the daemon to go on", || (drops_and_troubles(&host)?.1 == 0).then_some(()));
    }
    report.line("times full", times);
    crowd::judge(&mut report, drops, blocks, unit);
}
