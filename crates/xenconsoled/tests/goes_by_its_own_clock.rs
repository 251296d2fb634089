//! The time of day may jump: it shows in times that are written, and nothing else goes by it. And what takes ten minutes is seen
//! without waiting for them.

mod host;

use std::fs;
use std::io::Write;

use host::{Clock, Host, StoreKind, domain, fifo, goes_on, has_reader, ledger_balances, numbered, until};

/// Longer than every year is.
const YEAR: i64 = 366 * 86_400;
/// What is removed was nobody's for so long, in seconds, and is looked at once in that time.
const LOOK: u32 = 601;

fn host(config: &str) -> (Host, Clock) {
    let mut host = Host::idle(if StoreKind::C.available() { StoreKind::C } else { StoreKind::Embedded }, config);
    let clock = Clock::new(host.dir());
    let socket = host.store.socket();
    host.launch_at(&socket, |command| clock.give_to(command));
    host.serving();
    (host, clock)
}

/// The year at the beginning of a line with a time.
fn year(line: &str) -> i64 {
    line[1..].split('-').next().unwrap().parse().unwrap()
}

#[test]
fn a_time_of_day_that_jumps_shows_only_where_times_are_written() {
    // A log that ends is read on for a day.
    let (mut host, clock) = host("[daemon]\ndrain-seconds = 86400");
    let log = host.log(domain(5), "qemu");
    let stamped = host.log(domain(5), "stamped").node("timestamp", "line");
    let ending = host.log(domain(5), "ending");
    let (mut end, mut stamped_end, mut ending_end) = (log.open(), stamped.open(), ending.open());
    ending.remove();
    // Ahead, back, to before 1970, and right again.
    let jumps = [10, -10, 20, -70, 0];
    for (number, jump) in (0u32..).zip(jumps) {
        clock.shift_wall_clock(jump * YEAR);
        for end in [&mut end, &mut stamped_end, &mut ending_end] {
            end.write_all(numbered(number..number + 1).as_bytes()).unwrap();
        }
        log.holds(numbered(0..number + 1));
        ending.holds(numbered(0..number + 1));
        until("a line with a time", || (stamped.content().lines() == number as usize + 1).then_some(()));
        // New logs are served, and what was waited for before is.
        log.forget_answer();
        log.ready();
        let new = host.log(domain(6), &format!("a{number}"));
        new.open().write_all(b"new\n").unwrap();
        new.holds("new\n");
        host.barrier();
        assert!(ending.file_is_open(host.daemon()), "its day is not over");
    }
    let content = String::from_utf8(stamped.content()).unwrap();
    let years: Vec<i64> = content.lines().map(year).collect();
    let now = years[4];
    assert!(years.iter().zip(jumps).all(|(year, jump)| (year - now - jump).abs() <= 1), "{years:?}");
}

trait Lines {
    fn lines(&self) -> usize;
}

impl Lines for Vec<u8> {
    fn lines(&self) -> usize {
        self.iter().filter(|byte| **byte == b'\n').count()
    }
}

#[test]
fn a_deadline_comes_though_the_time_of_day_goes_back() {
    let (mut host, clock) = host("[daemon]\ndrain-seconds = 1");
    let log = host.log(domain(5), "qemu");
    let mut end = log.open();
    end.write_all(b"the last line\n").unwrap();
    log.holds("the last line\n");
    log.remove();
    clock.shift_wall_clock(-20 * YEAR);
    log.closed(host.daemon());
    assert!(!log.pipe.exists());
}

#[test]
fn what_is_dropped_while_the_time_of_day_jumps_is_counted_to_the_byte() {
    let (host, clock) = host("[daemon]\nrate = \"512K\"\nburst = \"64K\"");
    let log = host.log(domain(5), "qemu").limit(16 << 20);
    let mut end = log.open();
    let mut written = Vec::new();
    for (number, jump) in (0u32..).zip([0, 10, -10, 20, -70, 0, -1, 1]) {
        clock.shift_wall_clock(jump * YEAR);
        let bytes = numbered(number * 30_000..(number + 1) * 30_000);
        end.write_all(bytes.as_bytes()).unwrap();
        written.extend_from_slice(bytes.as_bytes());
    }
    goes_on(&mut end, &log, &mut written);
    assert!(ledger_balances(&log, &written, "") > 0);
}

/// See src/stale.rs for the rule. A toolstack that died left some pipes; others look like them and are somebody's.
#[test]
fn pipes_that_dead_clients_left_are_removed_and_no_other() {
    let (host, clock) = host("");
    let at = |name: &str| host.run_dir().join(name);
    let dead: Vec<_> = (0..20).map(|number| at(&format!("xenlog-dead-{number}"))).collect();
    dead.iter().for_each(|path| fifo(path));
    // Of a log that is served, with a writer and without one; of a writer that has not written its entry yet; with something
    // in it; and what no client of this project made.
    let open = |id: &str| host.log(domain(5), id).pipe(at(&format!("xenlog-{id}")));
    let (served, silent) = (open("served"), open("silent"));
    let mut end = served.open();
    silent.ask();
    silent.ready();
    for name in ["xenlog-held", "qemu-monitor", "pipe-xenlog-0"] {
        fifo(&at(name));
    }
    let held = fs::File::options().read(true).write(true).open(at("xenlog-held")).unwrap();
    fs::write(at("xenlog-file"), "").unwrap();
    // What a request that is refused names is somebody's as long as it is there to be asked for again: until its client has
    // had twice the time that any of them waits.
    let look = |number: u32| {
        clock.shift_monotonic_clock(number * LOOK);
        // The daemon looks at its clock when something happens.
        host.barrier();
    };
    look(1);
    assert!(dead.iter().all(|path| path.exists()), "one look is not enough");
    // A name that is used again is another pipe.
    fs::rename(&dead[0], at("away")).unwrap();
    fifo(&dead[0]);
    look(2);
    until("all but one to be gone", || dead[1..].iter().all(|path| !path.exists()).then_some(()));
    for name in ["xenlog-dead-0", "xenlog-served", "xenlog-silent", "xenlog-held", "qemu-monitor", "xenlog-file"] {
        assert!(at(name).exists(), "{name}");
    }
    assert!(at("pipe-xenlog-0").exists() && at("away").exists());
    assert!(has_reader(&served.pipe) && has_reader(&silent.pipe));
    end.write_all(b"all along\n").unwrap();
    served.holds("all along\n");
    silent.end().write_all(b"a late one\n").unwrap();
    silent.holds("a late one\n");
    drop(held);
    look(3);
    assert!(!dead[0].exists() && at("xenlog-held").exists());
    look(4);
    assert!(!at("xenlog-held").exists());
}
