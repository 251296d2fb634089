//! Guests' consoles: what an event costs, which is a line of a guest that goes into its log and its pty.

use tempfile::TempDir;
use testbed::{Guest, StoreKind};

use crate::bounds::{self, Most};
use crate::heap::Heap;
use crate::host::{Clock, rests};
use crate::idle;
use crate::scene::{Guests, line};
use crate::trace::{Halt, Trace};
use crate::tty::Tty;

/// Fewer than those of which a guest is held back.
const LINES: usize = 25;
const GUESTS: u16 = 20;

/// A guest whose lines are seen.
struct Talker {
    guest: Guest,
    /// Whoever reads its pty, if somebody does.
    tty: Option<Tty>,
    bytes: usize,
}

impl Talker {
    fn new(guests: &Guests, domid: u16, is_read: bool) -> Talker {
        let guest = guests.guest(domid);
        let mut talker = Talker { guest, tty: is_read.then(|| Tty::open(&guests.tty(domid))), bytes: 0 };
        // With the first one something is there that has to be there once.
        talker.says(guests, 1);
        talker
    }

    /// So many lines, as fast as they are taken.
    fn says(&mut self, guests: &Guests, lines: usize) {
        let text = line().repeat(lines);
        std::thread::scope(|scope| {
            scope.spawn(|| self.guest.write(&text));
            self.tty.iter_mut().for_each(|tty| tty.shows(&text));
        });
        self.bytes += text.len();
        guests.logged(&self.guest, self.bytes);
    }

    /// Waits until what it said was read, and is in its log.
    fn has_said(&mut self, guests: &Guests, text: &str) {
        self.tty.iter_mut().for_each(|tty| tty.shows(text));
        self.bytes += text.len();
        guests.logged(&self.guest, self.bytes);
    }
}

/// A machine whose daemon's clock is set ahead with each step. The name of a log's file is looked at with the next line when it
/// was not for a second: so that is done with each line, however long a test takes.
struct Stepping {
    trace: Trace,
    clock: Clock,
    seconds: u32,
    guests: Guests,
    _dir: TempDir,
}

impl Stepping {
    fn start() -> Option<Stepping> {
        let trace = Trace::new().filter(|_| StoreKind::C.available())?;
        let dir = tempfile::tempdir().unwrap();
        let clock = Clock::new(dir.path());
        let guests = Guests::start(&[&trace, &clock]);
        Some(Stepping { trace, clock, seconds: 0, guests, _dir: dir })
    }

    fn step(&mut self) {
        self.seconds += 2;
        self.clock.shift_monotonic_clock(self.seconds);
    }
}

/// One guest, of which each line is in its log before the next one comes.
fn in_turn(what: &str, is_read: bool, most: Most) {
    let Some(mut scene) = Stepping::start() else { return };
    let mut talker = Talker::new(&scene.guests, 7, is_read);
    rests(scene.guests.pid());
    let mark = scene.trace.mark();
    for _ in 0..LINES {
        scene.step();
        talker.says(&scene.guests, 1);
    }
    scene.trace.table(&mark, scene.guests.pid()).hold(what, LINES as u64, "event", most);
}

/// Many guests, of which each says something in the same moment.
fn at_once(what: &str, is_read: bool, most: Most) {
    const ROUNDS: u64 = 25;
    let Some(mut scene) = Stepping::start() else { return };
    let mut talkers: Vec<Talker> = (1..=GUESTS).map(|domid| Talker::new(&scene.guests, domid, is_read)).collect();
    rests(scene.guests.pid());
    let (mark, line) = (scene.trace.mark(), line());
    for _ in 0..ROUNDS {
        scene.step();
        let halt = Halt::new(scene.guests.pid());
        talkers.iter().for_each(|talker| assert_eq!(talker.guest.put(&line), line.len()));
        drop(halt);
        talkers.iter_mut().for_each(|talker| talker.has_said(&scene.guests, &line));
    }
    scene.trace.table(&mark, scene.guests.pid()).hold(what, ROUNDS * u64::from(GUESTS), "event", most);
}

/// Single lines, and a flood, in which a guest is held back.
fn allocations(what: &str, is_read: bool) {
    if !StoreKind::C.available() {
        return;
    }
    let heap = Heap::new();
    let guests = Guests::start(&[&heap]);
    let mut talker = Talker::new(&guests, 7, is_read);
    talker.says(&guests, 2000);
    rests(guests.pid());
    let mark = heap.mark();
    (0..LINES).for_each(|_| talker.says(&guests, 1));
    heap.hold(&format!("{what}, {LINES} lines"), mark, 0, guests.pid());
    let mark = heap.mark();
    talker.says(&guests, 2000);
    heap.hold(&format!("{what}, a flood"), mark, 0, guests.pid());
}

#[test]
fn system_calls_an_event() {
    in_turn("a guest's lines one by one", false, bounds::EVENT);
}

#[test]
fn system_calls_an_event_that_is_read() {
    in_turn("a guest's lines one by one, read on its pty", true, bounds::EVENT);
}

#[test]
fn system_calls_an_event_of_many() {
    at_once("lines of 20 guests at once", false, bounds::EVENT_OF_MANY);
}

#[test]
fn system_calls_an_event_of_many_that_are_read() {
    at_once("lines of 20 guests at once, read on their ptys", true, bounds::EVENT_OF_MANY);
}

#[test]
fn none_while_nothing_happens() {
    let Some(trace) = Trace::new().filter(|_| StoreKind::C.available()) else { return };
    let guests = Guests::start(&[&trace]);
    let mut talkers: Vec<Talker> = (1..=GUESTS).map(|domid| Talker::new(&guests, domid, false)).collect();
    idle::rests(&trace, || talkers[0].says(&guests, 1));
}

#[test]
fn allocations_of_events() {
    allocations("a guest's console", false);
}

#[test]
fn allocations_of_events_that_are_read() {
    allocations("a guest's console, read on its pty", true);
}
