//! How much CPU a flooding log costs its writer: `cargo run --release -p logfile --example throughput -- DIR [MIB]`.
//!
//! One thread writes lines into a pipe as fast as it can. Another moves them into a log of 10 MiB × (5 + 1) in DIR, 64
//! KiB at a time: by splice(2) through a pipe of its own, as the daemon does, and by read(2) and pwrite(2). Printed are
//! the wall clock and the CPU time of the moving thread alone.

use std::ffi::OsStr;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Instant;

use logfile::{Bounds, Dir, LogFile, Scratch};
use rustix::pipe::{PipeFlags, SpliceFlags, pipe_with, splice};
use rustix::time::{ClockId, clock_gettime};

/// How much is moved at a time.
const CHUNK: usize = 64 * 1024;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let (Some(dir), megabytes) = (arguments.next(), arguments.next()) else {
        eprintln!("usage: throughput DIR [MIB]");
        std::process::exit(2);
    };
    let total = megabytes.map_or(1024, |megabytes| megabytes.parse().expect("a number of MiB")) * 1024 * 1024;
    for round in 1..=3 {
        for way in ["splice", "read+pwrite"] {
            let (wall, cpu) = measure(dir.as_ref(), total, way);
            let gib = total as f64 / f64::from(1 << 30);
            println!("round {round}  {way:12} {:6.0} MiB/s  {:5.2} CPU s/GiB", gib * 1024.0 / wall, cpu / gib);
        }
    }
}

/// Moves so many bytes; returns wall clock and CPU time in seconds.
fn measure(dir: &Path, total: usize, way: &str) -> (f64, f64) {
    let dir = Dir::open(dir).expect("the directory opens");
    let mut log = LogFile::open(&dir, OsStr::new("throughput.log"), Bounds { limit: 10 << 20, copies: 5 })
        .expect("the log opens");
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).expect("a pipe");
    let (private_reader, private_writer) = pipe_with(PipeFlags::CLOEXEC).expect("a pipe");
    let mut scratch = Scratch::new().expect("a pipe");
    let source = std::thread::spawn(move || {
        let line = b"2026-01-01T00:00:00Z qemu-system-x86_64: warning: a guest writes a line of about this length\n";
        let block: Vec<u8> = line.iter().copied().cycle().take(CHUNK / line.len() * line.len()).collect();
        let mut left = total;
        while left > 0 {
            left -= rustix::io::write(&writer, &block[..left.min(block.len())]).expect("the pipe takes bytes");
        }
    });
    let (start, cpu) = (Instant::now(), cpu_seconds());
    let mut buffer = vec![0; CHUNK];
    loop {
        let len = if way == "splice" {
            let len = splice(&reader, None, &private_writer, None, CHUNK, SpliceFlags::empty()).expect("splice");
            log.append_from_pipe(private_reader.as_fd(), len, &mut scratch).expect("the log takes them");
            len
        } else {
            let len = rustix::io::read(&reader, &mut buffer).expect("read");
            log.append(&buffer[..len]).expect("the log takes them");
            len
        };
        if len == 0 {
            break;
        }
    }
    source.join().expect("the source ends");
    (start.elapsed().as_secs_f64(), cpu_seconds() - cpu)
}

/// The CPU time of this thread.
fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
