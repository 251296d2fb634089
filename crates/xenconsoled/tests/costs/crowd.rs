//! A thousand logs, of which each has a line at its own time.

use std::fs::{self, File};
use std::io::Write;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::bounds;
use crate::heap::Heap;
use crate::host::{Clock, Crowd, Host, Log, domain, fifo, until};
use crate::idle;
use crate::scene::{Meter, host, line};
use crate::trace::Trace;

const LOGS: u16 = 1000;
/// A domain may have 64.
const OF_ONE: u16 = 50;

/// The logs, and who writes to them.
struct Many {
    host: Host,
    logs: Vec<(Log, File)>,
}

impl Many {
    fn start(meters: &[&dyn Meter]) -> Many {
        // Each costs this process a descriptor.
        let limit = getrlimit(Resource::Nofile).maximum;
        setrlimit(Resource::Nofile, Rlimit { current: limit, maximum: limit }).unwrap();
        let host = host(meters);
        let log = |number| host.log(domain(1 + number / OF_ONE), &format!("a{number}"));
        let logs: Vec<Log> = (0..LOGS).map(log).collect();
        logs.iter().for_each(|log| fifo(&log.pipe));
        let mut crowd = Crowd::new(&host.store.address());
        // Not all at once: a daemon that is traced takes long for a thousand.
        for some in logs.chunks(OF_ONE.into()) {
            crowd.write(some);
            until("answers", || {
                crowd.read(some, "state").iter().all(|state| state.as_deref() == Some(b"ready")).then_some(())
            });
        }
        let logs = logs.into_iter().map(|log| (log.clone(), log.end())).collect();
        Many { host, logs }
    }

    /// A line for each of these logs, in its file before the next log's is written.
    fn say(&mut self, logs: std::ops::Range<usize>) {
        let line = line();
        for (log, end) in &mut self.logs[logs] {
            let size = || fs::metadata(&log.file).unwrap().len();
            let before = size();
            end.write_all(line.as_bytes()).unwrap();
            until("a line", || (size() == before + line.len() as u64).then_some(()));
        }
    }
}

#[test]
fn system_calls_a_line() {
    let Some(trace) = Trace::new() else { return };
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::new(dir.path());
    let mut many = Many::start(&[&clock, &trace]);
    let pid = many.host.daemon().pid();
    many.say(0..LOGS.into());
    // The name of a file is looked at with its next line when it was not for a second: now each is.
    clock.shift_monotonic_clock(2);
    let mark = trace.mark();
    many.say(0..LOGS.into());
    trace.table(&mark, pid).hold("1000 logs in turn", LOGS.into(), "line", bounds::LINE_OF_MANY_LOGS);
}

#[test]
fn none_while_nothing_happens() {
    let Some(trace) = Trace::new() else { return };
    let mut many = Many::start(&[&trace]);
    idle::rests(&trace, || {
        many.say(0..1);
        many.host.status().unwrap();
    });
}

#[test]
fn no_allocation() {
    let heap = Heap::new();
    let mut many = Many::start(&[&heap]);
    many.say(0..LOGS.into());
    many.host.daemon().rests();
    let mark = heap.mark();
    many.say(0..LOGS.into());
    heap.hold("1000 logs in turn, a line of each", mark, 0, many.host.daemon().pid());
}
