//! Polite writers: one line every ten milliseconds each, with the time at which it was written, and somebody who
//! watches when it is to be seen in the file.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::host::{Host, Log, domain};

/// Between two lines of one log.
const EVERY: Duration = Duration::from_millis(10);
/// Logs of one thread.
const EACH: usize = 10;
/// Logs that are watched.
const WATCHED: usize = 10;

/// All of them at work.
pub struct Polite {
    logs: Vec<Log>,
    writers: Vec<JoinHandle<u64>>,
    watch: JoinHandle<Vec<Duration>>,
    stop: Arc<AtomicBool>,
}

impl Polite {
    /// Starts writers to so many logs, of domains from `first` on.
    pub fn start(host: &Host, count: u16, first: u16) -> Polite {
        // One file each, so that it is easily watched.
        let logs = (0..count).map(|number| host.log(domain(first + number), "polite").limit(1 << 30));
        let logs: Vec<Log> = logs.map(|log| log.node("policy", "block")).collect();
        logs.iter().for_each(Log::ask);
        logs.iter().for_each(Log::ready);
        let (start, stop) = (Instant::now(), Arc::new(AtomicBool::new(false)));
        let writers = logs.chunks(EACH).map(|logs| {
            let (ends, stop) = (logs.iter().map(Log::end).collect::<Vec<File>>(), Arc::clone(&stop));
            std::thread::spawn(move || write(&ends, start, &stop))
        });
        let writers = writers.collect();
        let watched: Vec<File> =
            logs.iter().step_by(logs.len().div_ceil(WATCHED)).map(|log| File::open(&log.file).unwrap()).collect();
        let stopped = Arc::clone(&stop);
        let watch = std::thread::spawn(move || watch(&watched, start, &stopped));
        Polite { logs, writers, watch, stop }
    }

    /// Ends them. Answers with how long it took until lines were seen, the shortest first, and how many lines were
    /// written; all of them have come.
    pub fn end(self) -> (Vec<Duration>, u64) {
        self.stop.store(true, Ordering::Relaxed);
        let mut latencies = self.watch.join().unwrap();
        latencies.sort();
        let mut sum = 0;
        for (writer, logs) in self.writers.into_iter().zip(self.logs.chunks(EACH)) {
            let lines = writer.join().unwrap();
            for log in logs {
                testbed::until("all polite lines", || (numbers(log).len() as u64 >= lines).then_some(()));
                assert!(numbers(log).into_iter().eq(0..lines), "{}", log.path);
                log.remove();
            }
            sum += lines * logs.len() as u64;
        }
        (latencies, sum)
    }
}

/// Writes lines to all of these until it is to stop. Answers with how many to each.
fn write(ends: &[File], start: Instant, stop: &AtomicBool) -> u64 {
    for number in 0.. {
        if stop.load(Ordering::Relaxed) {
            return number;
        }
        for mut end in ends {
            let now = start.elapsed().as_micros();
            end.write_all(format!("{now} {number}\n").as_bytes()).unwrap();
        }
        std::thread::sleep(EVERY);
    }
    unreachable!("2^64 lines")
}

/// The numbers of the lines in a log.
fn numbers(log: &Log) -> Vec<u64> {
    let content = String::from_utf8(log.content()).unwrap();
    content.lines().filter_map(|line| line.split_once(' ')?.1.parse().ok()).collect()
}

/// Looks at these files again and again.
fn watch(files: &[File], start: Instant, stop: &AtomicBool) -> Vec<Duration> {
    let mut latencies = Vec::new();
    let mut seen: Vec<(u64, String)> = vec![(0, String::new()); files.len()];
    let mut buffer = vec![0; 64 << 10];
    while !stop.load(Ordering::Relaxed) {
        for (file, (offset, rest)) in files.iter().zip(&mut seen) {
            let len = file.read_at(&mut buffer, *offset).unwrap();
            let now = start.elapsed();
            *offset += len as u64;
            rest.push_str(std::str::from_utf8(&buffer[..len]).unwrap());
            let whole = rest.rfind('\n').map_or(0, |end| end + 1);
            for line in rest[..whole].lines() {
                let written: u64 = line.split(' ').next().unwrap().parse().unwrap();
                latencies.push(now.saturating_sub(Duration::from_micros(written)));
            }
            rest.drain(..whole);
        }
        std::thread::sleep(Duration::from_micros(500));
    }
    latencies
}
