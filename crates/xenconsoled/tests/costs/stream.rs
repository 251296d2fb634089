//! One log, written as fast as it goes: 64 KiB with each write(2).

use rustix::pipe::{fcntl_getpipe_size, fcntl_setpipe_size};

use crate::bounds::{self, Most};
use crate::heap::Heap;
use crate::host::Log;
use crate::scene::{MIB, One};
use crate::trace::{Halt, Trace};

/// Ten MiB a file, and five copies.
fn rotating(log: Log) -> Log {
    log.limit(10 * MIB as u64).copies(5)
}

/// System calls of 40 MiB through a pipe of this size, which is full whenever the daemon looks.
fn flood(what: &str, room: usize, most: Most) {
    const ALL: usize = 40;
    let Some(trace) = Trace::new() else { return };
    let mut one = One::start(&trace, rotating);
    fcntl_setpipe_size(&one.end, room).unwrap();
    assert_eq!(fcntl_getpipe_size(&one.end), Ok(room));
    let (mark, pid) = (trace.mark(), one.pid());
    for _ in 0..ALL * MIB / room {
        let halt = Halt::new(pid);
        one.stream(room);
        drop(halt);
        one.arrives();
    }
    trace.table(&mark, pid).hold(what, ALL as u64, "MiB", most);
}

#[test]
fn system_calls_a_mib() {
    flood("a stream", 64 << 10, bounds::STREAM);
}

#[test]
fn system_calls_a_mib_through_a_large_pipe() {
    flood("a stream through a pipe of 1 MiB", MIB, bounds::STREAM_OF_LARGE_PIPE);
}

#[test]
fn no_allocation() {
    let heap = Heap::new();
    let mut one = One::start(&heap, rotating);
    one.stream(MIB);
    one.arrives();
    one.rests();
    let mark = heap.mark();
    one.stream(8 * MIB);
    one.arrives();
    heap.hold("a stream of 8 MiB", mark, 0, one.pid());
}

/// It has as many copies as it may have: one goes, and the others move.
#[test]
fn allocations_of_a_rotation() {
    let heap = Heap::new();
    let mut one = One::start(&heap, |log| log.limit(MIB as u64).copies(5));
    one.stream(8 * MIB);
    one.drained();
    one.rests();
    let mark = heap.mark();
    one.stream(4 * MIB);
    one.drained();
    let most = 4 * bounds::ALLOCATIONS_OF_A_ROTATION;
    heap.hold("four rotations", mark, most, one.pid());
}
