//! Whoever writes to a log: a thread with the FIFO open for reading and writing, as QEMU has it.

use std::fs::File;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::random::Random;
use super::text::Text;

/// How one writer goes about it.
#[derive(Clone, Debug)]
pub struct Style {
    /// Bytes a second in the long run; `None`: as fast as it goes.
    pub pace: Option<u64>,
    /// The largest write, as a power of 2.
    pub power: u32,
    /// Bytes after which it ends.
    pub most: u64,
}

/// What writers have come to, together.
#[derive(Debug, Default)]
pub struct Tally {
    pub bytes: AtomicU64,
    pub writes: AtomicU64,
    /// The longest that a write(2) took, in microseconds.
    pub longest: AtomicU64,
    /// Writes that were refused since the pipe was full.
    pub again: AtomicU64,
    /// Writes that failed for want of a reader.
    pub broken: AtomicU64,
}

impl Tally {
    pub fn longest(&self) -> Duration {
        Duration::from_micros(self.longest.load(Ordering::Relaxed))
    }

    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    pub fn broken(&self) -> u64 {
        self.broken.load(Ordering::Relaxed)
    }

    /// One write(2), its time and what it came to.
    pub fn write(&self, end: &File, bytes: &[u8]) -> Result<usize, Errno> {
        let start = Instant::now();
        let written = rustix::io::write(end, bytes);
        let took = u64::try_from(start.elapsed().as_micros()).unwrap();
        self.longest.fetch_max(took, Ordering::Relaxed);
        self.writes.fetch_add(1, Ordering::Relaxed);
        match written {
            Ok(bytes) => self.bytes.fetch_add(bytes as u64, Ordering::Relaxed),
            Err(Errno::AGAIN) => self.again.fetch_add(1, Ordering::Relaxed),
            Err(Errno::PIPE) => self.broken.fetch_add(1, Ordering::Relaxed),
            Err(_) => 0,
        };
        written
    }
}

/// Where writers wait while they are to be silent.
#[derive(Debug, Default)]
pub struct Gate {
    state: Mutex<(bool, usize)>,
    changed: Condvar,
}

impl Gate {
    /// Lets nobody pass until [`Gate::open`].
    pub fn close(&self) {
        self.state.lock().unwrap().0 = true;
    }

    /// Waits until so many stand before it.
    pub fn wait_for(&self, writers: usize) {
        let state = self.state.lock().unwrap();
        let all = self.changed.wait_timeout_while(state, testbed::PATIENCE, |(_, waiting)| *waiting < writers).unwrap();
        assert!(!all.1.timed_out(), "{} of {writers} writers are at rest", all.0.1);
    }

    /// Lets all go on.
    pub fn open(&self) {
        self.state.lock().unwrap().0 = false;
        self.changed.notify_all();
    }

    fn pass(&self) {
        let mut state = self.state.lock().unwrap();
        while state.0 {
            state.1 += 1;
            self.changed.notify_all();
            state = self.changed.wait(state).unwrap();
            state.1 -= 1;
        }
    }
}

/// A writer at work. It ends by itself at `Style::most`, else when it is told to.
#[derive(Debug)]
pub struct Writer {
    thread: JoinHandle<u64>,
    stop: Arc<AtomicBool>,
}

impl Writer {
    /// Writes the text of this seed into `end`.
    pub fn start(end: File, seed: u64, style: Style, tally: &Arc<Tally>, gate: &Arc<Gate>) -> Writer {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, tally, gate) = (Arc::clone(&stop), Arc::clone(tally), Arc::clone(gate));
        // Many of them: each with little.
        let builder = std::thread::Builder::new().stack_size(256 << 10);
        let thread = builder.spawn(move || work(&end, seed, &style, &tally, &gate, &stopped)).unwrap();
        Writer { thread, stop }
    }

    /// Tells it to end after the write that it is at.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Waits for its end. Answers with the bytes of its text that were accepted.
    pub fn join(self) -> u64 {
        self.stop();
        testbed::until("a writer's end", || self.thread.is_finished().then_some(()));
        self.thread.join().unwrap()
    }
}

fn work(end: &File, seed: u64, style: &Style, tally: &Tally, gate: &Gate, stop: &AtomicBool) -> u64 {
    let (mut text, mut random) = (Text::new(seed), Random::new(seed));
    let (mut pending, mut written) = (Vec::new(), 0);
    while written < style.most && !stop.load(Ordering::Relaxed) {
        gate.pass();
        if pending.is_empty() {
            text.take(random.size(style.power), &mut pending);
        }
        let last = match tally.write(end, &pending) {
            Ok(bytes) => {
                pending.drain(..bytes);
                written += bytes as u64;
                bytes
            }
            // What was not accepted comes again.
            Err(Errno::AGAIN) => {
                std::thread::sleep(Duration::from_millis(2));
                0
            }
            Err(Errno::INTR) => 0,
            Err(why) => panic!("write: {why}"),
        };
        if let Some(pace) = style.pace {
            // Who was held up does not make up for it: the next pause is as long as any other.
            let mean = Duration::from_micros(last as u64 * 1_000_000 / pace).min(Duration::from_millis(500));
            std::thread::sleep(random.time(mean * 2));
        }
    }
    written
}

/// Bytes that nobody has taken out of a FIFO yet.
pub fn waiting(end: impl AsFd) -> u64 {
    rustix::io::ioctl_fionread(end).unwrap()
}
