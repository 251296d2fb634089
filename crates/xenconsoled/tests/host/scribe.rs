//! A writer that never rests: numbered lines, as long as the test goes on.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use testbed::until;

use super::{Log, numbered};

/// Bounds of its log: room for all that a scribe writes within a test.
const LIMIT: u64 = 1 << 30;
/// Lines a write.
const LINES: u32 = 8;

/// Writes to one log until it is told to end.
pub struct Scribe {
    log: Log,
    stop: Arc<AtomicBool>,
    /// Lines so far.
    lines: Arc<AtomicU32>,
    thread: Option<JoinHandle<()>>,
}

impl Scribe {
    /// Asks for the log, with room for everything, waits until it is served and begins.
    pub fn start(log: Log) -> Scribe {
        let log = log.limit(LIMIT).node("policy", "block");
        let mut end = log.open();
        let (stop, lines) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
        let (stopped, counted) = (Arc::clone(&stop), Arc::clone(&lines));
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let first = counted.load(Ordering::Relaxed);
                end.write_all(numbered(first..first + LINES).as_bytes()).unwrap();
                counted.store(first + LINES, Ordering::Relaxed);
                // A pace, so that a test that takes long does not fill the disk.
                thread::sleep(Duration::from_micros(500));
            }
        });
        Scribe { log, stop, lines, thread: Some(thread) }
    }

    /// Its log.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// Waits until so many more lines were written, and are in the file: what was said before is over, and the log goes on.
    pub fn goes_on(&self, lines: u32) {
        let goal = self.lines.load(Ordering::Relaxed) + lines;
        until("more lines to be written", || (self.lines.load(Ordering::Relaxed) >= goal).then_some(()));
        until("more lines in the file", || {
            let size = std::fs::metadata(&self.log.file).map_or(0, |found| found.len());
            (size >= u64::from(goal) * numbered(0..1).len() as u64).then_some(())
        });
    }

    /// Ends it: all lines must be in the file, in order, and nothing else.
    pub fn end(mut self) {
        self.stop();
        let lines = self.lines.load(Ordering::Relaxed);
        assert!(lines > 0);
        self.log.holds(numbered(0..lines));
    }

    fn stop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            until("the scribe's end", || thread.is_finished().then_some(()));
            thread.join().unwrap();
        }
    }
}

impl Drop for Scribe {
    fn drop(&mut self) {
        // A test that fails must not leave it behind; where nobody reads it waits for the process's end.
        self.stop.store(true, Ordering::Relaxed);
    }
}
