//! What a torture has come to, as a table: one line each.

use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::verdict::Verdict;
use super::writer::Tally;

/// A table under way. It is printed when it is dropped, also when the torture failed.
pub struct Report {
    title: String,
    lines: Vec<(String, String)>,
    start: Instant,
    clock: Clock,
}

impl Report {
    /// A table with nothing in it.
    pub fn new(title: &str) -> Report {
        Report { title: title.to_owned(), lines: Vec::new(), start: Instant::now(), clock: Clock::start() }
    }

    /// Adds a line.
    pub fn line(&mut self, name: &str, value: impl Display) {
        self.lines.push((name.to_owned(), value.to_string()));
    }

    /// Adds what writers have seen.
    pub fn tally(&mut self, whose: &str, tally: &Tally) {
        let get = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let (bytes, writes, again, broken) =
            (get(&tally.bytes), get(&tally.writes), get(&tally.again), get(&tally.broken));
        self.line(whose, format!("{bytes} bytes in {writes} writes, EAGAIN {again}, EPIPE {broken}"));
        self.line(&format!("{whose}: longest write(2)"), milliseconds(tally.longest()));
    }

    /// Adds what was found in files.
    pub fn verdict(&mut self, whose: &str, verdict: &Verdict) {
        let Verdict { on_disk, text, gaps, dropped, lost, doubled, disordered, torn, .. } = verdict;
        self.line(whose, format!("{on_disk} bytes on disk, {text} of the text; {gaps} gaps, {dropped} dropped"));
        self.line(
            &format!("{whose}: not accounted for"),
            format!("lost {lost}, doubled {doubled}, disordered {disordered}, torn {torn}"),
        );
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        let width = self.lines.iter().map(|(name, _)| name.len()).max().unwrap_or(0).max(24);
        println!("== {}", self.title);
        for (name, value) in &self.lines {
            println!("   {name:width$}  {value}");
        }
        println!("   {:width$}  {}", "the longest that an idle thread overslept", milliseconds(self.clock.longest()));
        println!("   {:width$}  {:.1} s", "time", self.start.elapsed().as_secs_f64());
    }
}

/// A time for a table.
pub fn milliseconds(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}

/// A thread that does nothing but sleep for a millisecond again and again: how much longer that takes is what any time
/// measured here owes to the machine.
struct Clock {
    stop: Arc<AtomicBool>,
    longest: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Clock {
    fn start() -> Clock {
        let (stop, longest) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stopped, late) = (Arc::clone(&stop), Arc::clone(&longest));
        let nap = Duration::from_millis(1);
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let start = Instant::now();
                std::thread::sleep(nap);
                let over = start.elapsed().saturating_sub(nap);
                late.fetch_max(u64::try_from(over.as_micros()).unwrap(), Ordering::Relaxed);
            }
        });
        Clock { stop, longest, thread: Some(thread) }
    }

    fn longest(&self) -> Duration {
        Duration::from_micros(self.longest.load(Ordering::Relaxed))
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It cannot fail.
            let _ = thread.join();
        }
    }
}
