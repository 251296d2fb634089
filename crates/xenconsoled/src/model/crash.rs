//! Kills: a panic that nobody hears, at one of the places where a daemon may be killed. What it had in memory is dropped.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

thread_local! {
    static COUNTDOWN: Cell<Option<u32>> = const { Cell::new(None) };
}

/// The daemon was killed.
#[derive(Debug)]
pub struct Killed;

/// A place where the daemon may be killed.
pub fn point() {
    match COUNTDOWN.get() {
        None => {}
        Some(0) => {
            COUNTDOWN.set(None);
            resume_unwind(Box::new(Killed));
        }
        Some(left) => COUNTDOWN.set(Some(left - 1)),
    }
}

/// Kills at the next place but so many, or not.
pub fn set(countdown: Option<u32>) {
    COUNTDOWN.set(countdown);
}

/// Runs what may be killed.
pub fn survive<T>(run: impl FnOnce() -> T) -> Result<T, Killed> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|panic| match panic.downcast::<Killed>() {
        Ok(killed) => *killed,
        Err(panic) => resume_unwind(panic),
    })
}

/// Goes on dying.
pub fn die(Killed: Killed) -> ! {
    resume_unwind(Box::new(Killed))
}
