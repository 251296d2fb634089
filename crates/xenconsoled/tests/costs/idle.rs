//! While nothing happens nothing is done: seen in an instant, by what the threads wait for and how long.

use std::collections::BTreeMap;
use std::time::Duration;

use testbed::until;

use crate::trace::{Call, Trace};

/// A daemon may look by itself, as seldom as that, what there is to do.
const SELDOM: f64 = 60.0;

/// How soon it is looked again whether a daemon has come to rest.
const AGAIN: Duration = Duration::from_millis(300);

/// Waits until a daemon makes no system call at all: each of its threads is in one that waits for events, for ever or for long.
/// `wake` makes something happen to each thread, so that those calls come back, and are seen.
///
/// # Panics
/// If it comes to no rest.
pub fn rests(trace: &Trace, mut wake: impl FnMut()) {
    let mut waits: BTreeMap<u32, Call> = BTreeMap::new();
    let mut is_first = true;
    let mut look = || {
        // What the last time woke up has a rest of its own to come.
        if !std::mem::replace(&mut is_first, false) {
            std::thread::sleep(AGAIN);
        }
        let mark = trace.mark();
        wake();
        // The first of each thread is the one that it was in.
        let first = |(thread, calls): (u32, Vec<Call>)| Some((thread, calls.into_iter().next()?));
        waits = trace.since(&mark).into_iter().filter_map(first).collect();
        let is_idle = |call: &Call| call.wait().is_some_and(|time| seconds(time) >= SELDOM);
        // The main thread and one writer at least.
        (waits.len() >= 2 && waits.values().all(is_idle)).then_some(())
    };
    let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| until("a daemon at rest", &mut look)));
    let waits: Vec<String> = waits.into_values().map(|Call(call)| format!("    {call}\n")).collect();
    println!("at rest:\n{}", waits.concat());
    if let Err(panic) = found {
        std::panic::resume_unwind(panic);
    }
}

/// A time as strace(1) writes it: `-1`, `NULL`, milliseconds, `{tv_sec=…`.
fn seconds(time: &str) -> f64 {
    match (time, time.strip_prefix("{tv_sec=")) {
        ("-1" | "NULL", _) => f64::INFINITY,
        (_, Some(seconds)) => seconds.parse().unwrap(),
        (milliseconds, None) => milliseconds.parse::<f64>().unwrap() / 1e3,
    }
}
