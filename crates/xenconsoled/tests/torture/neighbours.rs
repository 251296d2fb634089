//! Hostile neighbours: what polite writers feel of one that floods its log, one that writes single bytes and one whose
//! line never ends. All polite lines arrive; how late is only reported, since it is the machine's as much as the
//! daemon's.

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::host::{Host, domain};
use super::kills::store;
use super::knobs::{knob, seconds};
use super::polite::Polite;
use super::report::{Report, milliseconds};
use super::unit::{Unit, Way, program};
use super::writer::Tally;

#[test]
fn polite_writers_beside_hostile_ones() {
    let length = seconds("NEIGHBOURS", 2);
    let mut report = Report::new("hostile neighbours");
    let host = Host::idle(store(), "");
    let unit = Unit::start(Way::Keeper, &program(&host), &host, 0);
    let polite = Polite::start(&host, 100, 1);
    std::thread::sleep(length);
    show(&mut report, "alone", polite.end());
    let endless = knob("LINE", 64) << 20;
    let hostile = [
        Hostile::start(&host, 9001, &b"flood\n".repeat(10_000), u64::MAX),
        Hostile::start(&host, 9002, b"1", u64::MAX),
        Hostile::start(&host, 9003, &[b'x'; 16 << 10], endless),
    ];
    let polite = Polite::start(&host, 100, 1001);
    std::thread::sleep(length);
    testbed::until("the end of a long line", || hostile[2].has_ended().then_some(()));
    show(&mut report, "beside", polite.end());
    for (hostile, name) in hostile.into_iter().zip(["the flood", "single bytes", "a line without an end"]) {
        report.tally(name, &hostile.end());
    }
    unit.stop();
}

fn show(report: &mut Report, how: &str, (latencies, lines): (Vec<Duration>, u64)) {
    assert!(!latencies.is_empty());
    let at = |permille: usize| milliseconds(latencies[(latencies.len() - 1) * permille / 1000]);
    let shown = format!("{} {} {} of {lines} lines, all there", at(500), at(990), at(1000));
    report.line(&format!("{how}: p50, p99, longest"), shown);
}

/// A writer that goes as fast as it can.
struct Hostile {
    thread: JoinHandle<()>,
    stop: Arc<AtomicBool>,
    tally: Arc<Tally>,
}

impl Hostile {
    /// Writes the same again and again, up to `most` bytes.
    fn start(host: &Host, domid: u16, bytes: &[u8], most: u64) -> Hostile {
        let log = host.log(domain(domid), "hostile").limit(4 << 20).copies(3);
        let (end, bytes) = (log.open(), bytes.to_vec());
        let (stop, tally) = (Arc::new(AtomicBool::new(false)), Arc::new(Tally::default()));
        let (stopped, counted) = (Arc::clone(&stop), Arc::clone(&tally));
        let thread = std::thread::spawn(move || write(&end, &bytes, most, &counted, &stopped));
        Hostile { thread, stop, tally }
    }

    fn has_ended(&self) -> bool {
        self.thread.is_finished()
    }

    fn end(self) -> Arc<Tally> {
        self.stop.store(true, Ordering::Relaxed);
        testbed::until("a hostile writer's end", || self.thread.is_finished().then_some(()));
        self.thread.join().unwrap();
        self.tally
    }
}

fn write(end: &File, bytes: &[u8], most: u64, tally: &Tally, stop: &AtomicBool) {
    while tally.bytes() < most && !stop.load(Ordering::Relaxed) {
        tally.write(end, bytes).unwrap();
    }
}
