//! One log, whose lines are written one by one, 80 bytes with each write(2).

use crate::bounds::{self, Most};
use crate::heap::Heap;
use crate::host::Log;
use crate::scene::{MIB, One};
use crate::trace::{Halt, Trace};

/// Without a rotation.
fn plain(log: Log) -> Log {
    log.limit(MIB as u64 * 64)
}

fn with_times(log: Log) -> Log {
    plain(log).node("timestamp", "line")
}

/// Each line is in the file before the next one is written.
fn in_turn(what: &str, change: fn(Log) -> Log, most: Most) {
    const LINES: u64 = 500;
    let Some(trace) = Trace::new() else { return };
    let mut one = One::start(&trace, change);
    let (mark, pid) = (trace.mark(), one.pid());
    for _ in 0..LINES {
        one.line();
        one.arrives();
    }
    trace.table(&mark, pid).hold(what, LINES, "line", most);
}

/// Lines come faster than they are looked at: the pipe is full of them.
fn at_once(what: &str, change: fn(Log) -> Log, most: Most) {
    const ROUNDS: u64 = 20;
    let Some(trace) = Trace::new() else { return };
    let mut one = One::start(&trace, change);
    let (mark, pid, mut lines) = (trace.mark(), one.pid(), 0);
    for _ in 0..ROUNDS {
        let halt = Halt::new(pid);
        lines += one.lines_until_full();
        drop(halt);
        one.arrives();
    }
    trace.table(&mark, pid).hold(what, lines / 100, "hundred lines", most);
}

/// Lines in turn, and lines that follow each other.
fn allocations(what: &str, change: fn(Log) -> Log, most: u64) {
    const LINES: u64 = 100;
    let heap = Heap::new();
    let mut one = One::start(&heap, change);
    one.rests();
    for is_waited_for in [true, false] {
        let mark = heap.mark();
        for _ in 0..LINES {
            one.line();
            if is_waited_for {
                one.arrives();
            }
        }
        one.arrives();
        let how = if is_waited_for { "one by one" } else { "at once" };
        heap.hold(&format!("{LINES} {what} {how}"), mark, most, one.pid());
    }
}

#[test]
fn system_calls_a_line() {
    in_turn("lines one by one", plain, bounds::LINE);
}

#[test]
fn system_calls_a_line_with_its_time() {
    in_turn("lines with times one by one", with_times, bounds::LINE_WITH_TIME);
}

#[test]
fn system_calls_of_many_lines() {
    at_once("lines at once", plain, bounds::LINES);
}

#[test]
fn system_calls_of_many_lines_with_times() {
    at_once("lines with times at once", with_times, bounds::LINES_WITH_TIMES);
}

#[test]
fn no_allocation() {
    allocations("lines", plain, 0);
}

#[test]
fn allocations_of_lines_with_times() {
    allocations("lines with times", with_times, bounds::ALLOCATIONS_OF_LINES_WITH_TIMES);
}
