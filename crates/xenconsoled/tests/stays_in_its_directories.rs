//! Whatever is put in place while the daemon looks, opens and writes, it never leaves its directories.

mod host;

use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use host::{Host, domain, fifo, has_reader, numbered, snapshot, until};
use logproto::State;
use rustix::fs::{CWD, RenameFlags, renameat_with};

/// Exchanges two names as fast as it goes, until it is dropped.
struct Flipper {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<u64>>,
}

impl Flipper {
    fn start(pairs: Vec<(PathBuf, PathBuf)>) -> Flipper {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let flip = move || {
            let mut flips = 0;
            while !stopped.load(Ordering::Relaxed) {
                for (one, other) in &pairs {
                    // One of them may be being made or rotated at this moment.
                    flips += u64::from(renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE).is_ok());
                }
            }
            flips
        };
        Flipper { stop, thread: Some(thread::spawn(flip)) }
    }

    /// How often it exchanged something.
    fn flips(mut self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap()
    }
}

impl Drop for Flipper {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

const ROUNDS: usize = 150;

/// Asks for logs while the way to them is changed; what is served is written to. Gives how many were served and how many not.
fn ask(host: &Host, pipe: impl Fn(usize) -> PathBuf, file: impl Fn(usize) -> PathBuf) -> (usize, usize) {
    let (mut served, mut refused) = (0, 0);
    for round in 0..ROUNDS {
        let log = host.log(domain(5), &format!("a{round}")).limit(4096).copies(2).pipe(pipe(round)).file(file(round));
        log.write();
        match log.answer() {
            State::Ready => {
                served += 1;
                // The pipe's own name may lead elsewhere at this moment.
                let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::WRONLY;
                if let Ok(end) = rustix::fs::open(&log.pipe, flags, rustix::fs::Mode::empty()) {
                    let _ = fs::File::from(end).write_all(numbered(0..1024).as_bytes());
                }
            }
            State::Error(_) => refused += 1,
        }
        log.remove();
    }
    (served, refused)
}

/// A directory on the way is exchanged with a symbolic link that leads out.
#[test]
fn a_directory_exchanged_with_a_link_leads_nowhere() {
    let host = Host::start();
    let (run, log, outside) = (host.run_dir(), host.log_dir(), host.outside());
    for dir in [&run, &log] {
        fs::create_dir(dir.join("sub")).unwrap();
        symlink(&outside, dir.join("link")).unwrap();
    }
    for round in 0..ROUNDS {
        let name = format!("p{round}");
        fifo(&run.join("sub").join(&name));
        fifo(&outside.join(name));
        fs::write(outside.join(format!("{round}.log")), "precious").unwrap();
    }
    let before = snapshot(&outside);
    let flipper = Flipper::start(vec![(run.join("sub"), run.join("link")), (log.join("sub"), log.join("link"))]);
    let (served, refused) = ask(
        &host,
        |round| run.join("sub").join(format!("p{round}")),
        |round| log.join("sub").join(format!("{round}.log")),
    );
    let flips = flipper.flips();
    host.barrier();
    assert_eq!(snapshot(&outside), before);
    nobody_reads(&outside);
    println!("{served} served, {refused} refused, {flips} exchanges");
    assert!(flips > 0 && served + refused == ROUNDS);
}

fn nobody_reads(outside: &Path) {
    for round in 0..ROUNDS {
        assert!(!has_reader(&outside.join(format!("p{round}"))));
    }
}

/// The file and the pipe themselves are exchanged with symbolic links that lead out.
#[test]
fn a_file_exchanged_with_a_link_leads_nowhere() {
    let host = Host::start();
    let (run, log, outside) = (host.run_dir(), host.log_dir(), host.outside());
    let mut pairs = Vec::new();
    fs::write(outside.join("victim"), "precious").unwrap();
    for round in 0..ROUNDS {
        fifo(&outside.join(format!("p{round}")));
    }
    for name in ["q.log", "q.log.1", "q.log.2"] {
        fs::write(log.join(name), "").unwrap();
        symlink(outside.join("victim"), log.join(format!("link-{name}"))).unwrap();
        pairs.push((log.join(name), log.join(format!("link-{name}"))));
    }
    fifo(&run.join("kept"));
    symlink(outside.join("p0"), run.join("link")).unwrap();
    pairs.push((run.join("pipe"), run.join("link")));
    let pipe = |_| {
        // The end of a log takes its FIFO's name away; whichever of the two was it is the one that is missing.
        for name in ["pipe", "link"] {
            let _ = fs::hard_link(run.join("kept"), run.join(name));
        }
        run.join("pipe")
    };
    let before = snapshot(&outside);
    let flipper = Flipper::start(pairs);
    let (served, refused) = ask(&host, pipe, |_| log.join("q.log"));
    let flips = flipper.flips();
    host.barrier();
    assert_eq!(snapshot(&outside), before);
    nobody_reads(&outside);
    println!("{served} served, {refused} refused, {flips} exchanges");
    assert!(flips > 0 && served + refused == ROUNDS);
}

/// While a log runs and rotates, its own names are made to lead out.
#[test]
fn a_running_log_never_follows_a_link() {
    let host = Host::start();
    let (log_dir, outside) = (host.log_dir(), host.outside());
    fs::create_dir(log_dir.join("sub")).unwrap();
    symlink(&outside, log_dir.join("link")).unwrap();
    fs::write(outside.join("q.log"), "precious").unwrap();
    symlink(outside.join("q.log"), log_dir.join("sub/evil")).unwrap();
    let log = host.log(domain(5), "a").file(log_dir.join("sub/q.log")).limit(4096).copies(2);
    let mut end = log.open();
    let before = snapshot(&outside);
    let flipper = Flipper::start(vec![
        (log_dir.join("sub"), log_dir.join("link")),
        (log_dir.join("sub/q.log"), log_dir.join("sub/evil")),
        (log_dir.join("sub/q.log.1"), log_dir.join("sub/evil")),
    ]);
    for first in (0..256 * 200).step_by(256) {
        end.write_all(numbered(first..first + 256).as_bytes()).unwrap();
    }
    let flips = flipper.flips();
    assert!(flips > 0);
    // The dust settles: the directory has its name again, and what is no file is away.
    if fs::symlink_metadata(log_dir.join("sub")).unwrap().is_symlink() {
        renameat_with(CWD, log_dir.join("sub"), CWD, log_dir.join("link"), RenameFlags::EXCHANGE).unwrap();
    }
    for entry in fs::read_dir(log_dir.join("sub")).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_symlink() {
            fs::remove_file(entry).unwrap();
        }
    }
    // The daemon looks at the names once a second, when it writes.
    until("the last line in a file of the right name", || {
        end.write_all(b"the end\n").unwrap();
        log.content().ends_with(b"the end\n").then_some(())
    });
    assert_eq!(snapshot(&outside), before);
}
