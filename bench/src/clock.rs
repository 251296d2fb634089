//! One clock for this process and those that it starts.

use std::time::Duration;

use rustix::time::{ClockId, Timespec, clock_gettime};

/// Since an instant that is the same in all processes (CLOCK_MONOTONIC).
pub fn now() -> Duration {
    // The kernel's times are never negative.
    Duration::try_from(clock_gettime(ClockId::Monotonic)).unwrap_or_default()
}

/// Sleeps until then.
pub fn sleep_until(then: Duration) {
    let Ok(then) = Timespec::try_from(then) else { return };
    while rustix::thread::clock_nanosleep_absolute(ClockId::Monotonic, &then) == Err(rustix::io::Errno::INTR) {}
}
