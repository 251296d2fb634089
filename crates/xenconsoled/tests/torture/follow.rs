//! A follower of a log that is written, rotated and written by one daemon after the other: it has to see each byte
//! once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use logfile::{Follower, Next, Root, Start};

use super::host::{Host, Log};
use super::text::Text;

/// What a follower has seen.
#[derive(Debug, Default)]
pub struct Seen {
    /// Bytes.
    pub bytes: u64,
    /// Times that it was told that something was missed.
    pub missed: u64,
    /// The byte at which it saw something else than what was written.
    pub wrong_at: Option<u64>,
}

/// A follower at work.
pub struct Follow {
    thread: JoinHandle<Seen>,
    stop: Arc<AtomicBool>,
}

impl Follow {
    /// Follows a log without stamps and markers from its beginning.
    pub fn start(host: &Host, log: &Log, seed: u64) -> Follow {
        let root = Root::open(&host.log_dir()).unwrap();
        let (dir, name) = root.entry(log.file.strip_prefix(host.log_dir()).unwrap()).unwrap();
        let mut follower = Follower::open(&dir, &name, Start::Oldest).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let (mut text, mut seen, mut buffer) = (Text::new(seed), Seen::default(), vec![0; 64 << 10]);
            loop {
                // Looked at before, so that all is read that was there when it was told to stop.
                let last = stopped.load(Ordering::SeqCst);
                match follower.read(&mut buffer).unwrap() {
                    Next::Bytes(len) => {
                        if text.follow(&buffer[..len]) < len {
                            seen.wrong_at.get_or_insert(text.offset());
                        }
                        seen.bytes += len as u64;
                    }
                    Next::Missed(_) => seen.missed += 1,
                    Next::UpToDate if last => return seen,
                    Next::UpToDate => std::thread::sleep(Duration::from_millis(20)),
                }
            }
        });
        Follow { thread, stop }
    }

    /// Lets it read to the end.
    pub fn end(self) -> Seen {
        self.stop.store(true, Ordering::SeqCst);
        testbed::until("a follower's end", || self.thread.is_finished().then_some(()));
        self.thread.join().unwrap()
    }
}
