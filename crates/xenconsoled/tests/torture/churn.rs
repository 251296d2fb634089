//! Logs that come and go all the time, as domains do: asked for, written to, closed and removed, in whatever order; the
//! same domain id and the same name of a log again and again.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use testbed::PATIENCE;

use super::host::{Host, Log, domain};
use super::random::Random;
use super::text::Text;
use super::verdict::Verdict;
use super::writer::Tally;

/// One step in a log's end.
#[derive(Clone, Copy, PartialEq)]
enum Step {
    RemoveEntry,
    RemoveFifo,
    WriteMore,
    Close,
}

/// Threads that make logs come and go.
pub struct Churn {
    threads: Vec<JoinHandle<u64>>,
    stop: Arc<AtomicBool>,
    pub tally: Arc<Tally>,
}

impl Churn {
    /// Starts so many.
    pub fn start(host: &Host, count: u16, random: &mut Random) -> Churn {
        let (stop, tally) = (Arc::new(AtomicBool::new(false)), Arc::new(Tally::default()));
        let threads = (0..count).map(|number| {
            let log = host.log(domain(5000 + number), "churn");
            let (mut random, stop, tally) = (random.fork(u64::from(number)), Arc::clone(&stop), Arc::clone(&tally));
            std::thread::spawn(move || {
                let mut rounds = 0;
                while !stop.load(Ordering::Relaxed) {
                    live(&log, &mut random, &tally);
                    rounds += 1;
                }
                rounds
            })
        });
        Churn { threads: threads.collect(), stop, tally }
    }

    /// Ends them. Answers with how many logs have come and gone, each of them with every byte in its file.
    pub fn end(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    }
}

/// One log's whole life.
fn live(log: &Log, random: &mut Random, tally: &Tally) {
    let log = log.clone().limit(64 << 10).copies(20).node("policy", "block");
    log.ask();
    log.ready();
    let (seed, mut written) = (random.next(), 0);
    let mut text = Text::new(seed);
    let mut end = Some(log.end());
    let mut write = |end: &Option<fs::File>, random: &mut Random| {
        let Some(end) = end else { return };
        let mut pending = Vec::new();
        text.take(random.size(16), &mut pending);
        while !pending.is_empty() {
            let bytes = tally.write(end, &pending).unwrap();
            pending.drain(..bytes);
            written += bytes as u64;
        }
    };
    for _ in 0..random.below(8) {
        write(&end, random);
    }
    let mut steps = [Step::RemoveEntry, Step::RemoveFifo, Step::WriteMore, Step::Close];
    random.shuffle(&mut steps);
    for step in steps {
        if random.one_in(2) {
            std::thread::sleep(random.time(Duration::from_millis(50)));
        }
        match step {
            Step::RemoveEntry => log.remove(),
            // The daemon removes it too, when the log is over.
            Step::RemoveFifo => drop(fs::remove_file(&log.pipe)),
            Step::WriteMore => write(&end, random),
            Step::Close => end = None,
        }
    }
    let start = Instant::now();
    loop {
        let found = Verdict::of(&log.file, seed, written, false);
        if found.is_balanced() {
            break;
        }
        assert!(start.elapsed() < PATIENCE, "{written} bytes were written: {found:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
    for number in 0..=20 {
        let file = if number == 0 { log.file.clone() } else { log.file.with_added_extension(number.to_string()) };
        // Not all are there.
        let _ = fs::remove_file(file);
    }
}
