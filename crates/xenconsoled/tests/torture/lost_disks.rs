//! The log disk fails: all that is written to it is EIO, or it is read-only from one moment to the next. It is taken
//! away, and comes back on another device.

use testbed::until;

use super::crowd::{self, Crowd, Kind};
use super::disk::{Mounted, image, on_own_disks};
use super::host::Host;
use super::kills::store;
use super::knobs::{knob, random};
use super::report::Report;
use super::status::drops_and_troubles;
use super::unit::{Unit, Way, program};
use super::writer::Style;

#[test]
fn a_disk_that_fails_and_comes_back_costs_what_the_markers_say() {
    on_own_disks("lost_disks::a_disk_that_fails_and_comes_back_costs_what_the_markers_say", |scratch| {
        let title = "a failing disk";
        let times = knob("FAILURES", 3);
        let mut random = random(title);
        let mut report = Report::new(title);
        let disk = scratch.join("image");
        image(&disk, 1 << 30);
        let host = Host::idle(store(), "");
        let bad = host.log_dir().join("bad");
        // Where there is no disk, nothing can be written either.
        let _nothing = Mounted::tmpfs(&bad, "4k,ro");
        let mut mounted = Some(Mounted::image(&disk, &bad));
        let unit = Unit::start(Way::Keeper, &program(&host), &host, random.next());
        let kind = Kind {
            count: 30,
            name: "drop",
            policy: "drop",
            stamped: 5,
            limit: 128 << 10,
            copies: 99,
            dir: "bad",
            impatient: false,
            style: Style { pace: Some(50_000), power: 15, most: 12 << 20 },
        };
        let drops = Crowd::start(&host, &kind, &mut random);
        let blocks = Crowd::start(&host, &Kind { count: 10, name: "block", policy: "block", ..kind }, &mut random);
        let crowds = [&drops, &blocks];
        for time in 0..times {
            let start = drops.tally.bytes();
            until("some bytes", || (drops.tally.bytes() > start + (256 << 10)).then_some(()));
            let failing = mounted.as_ref().unwrap();
            if time % 2 == 0 {
                failing.fail();
            } else {
                // What was not written out yet would be lost without anybody's fault: all are at rest meanwhile.
                crowds.iter().for_each(|crowd| crowd.pause());
                failing.fail_read_only();
                crowds.iter().for_each(|crowd| crowd.gate.open());
            }
            until("the failure to be noticed", || (drops_and_troubles(&host)?.1 > 0).then_some(()));
            // The device is gone.
            drop(mounted.take());
            let (before, _) = until("the daemon's status", || drops_and_troubles(&host));
            until("something to be dropped", || (drops_and_troubles(&host)?.0 > before).then_some(()));
            mounted = Some(Mounted::image(&disk, &bad));
            until("the daemon to go on", || (drops_and_troubles(&host)?.1 == 0).then_some(()));
        }
        report.line("failures", times);
        crowd::judge(&mut report, drops, blocks, unit);
        drop(mounted);
    });
}
