//! The process that writes. Its pipes are named on its standard input, a line each; what came of it is printed as numbers: when
//! it began (ns), bytes to each log, latencies (ns).

use std::fs::File;
use std::io::{Read, Write};
use std::num::NonZeroU64;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use crate::clock::{now, sleep_until};
use crate::lines::{self, LINE};
use crate::processes;
use crate::works::Failure;

/// The first word of its command line.
pub const WORD: &str = "load";

/// Bytes of a write at full speed.
const BLOCK: usize = 64 << 10;
/// How long a line may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Does what the words say.
pub fn run(words: &[String]) -> Result<(), Failure> {
    // Sleeps end when they shall.
    rustix::thread::set_current_timer_slack(NonZeroU64::new(1))?;
    let mut list = String::new();
    std::io::stdin().read_to_string(&mut list)?;
    let open = |path| File::options().write(true).open(path);
    let mut pipes = list.lines().map(open).collect::<Result<Vec<File>, _>>()?;
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut latencies = Vec::new();
    let began = now();
    let each = match *words {
        ["stream", bytes, time] => stream(&mut pipes[0], bytes.parse()?, Duration::from_nanos(time.parse()?))?,
        ["lines", before, each] => in_turn(&mut pipes, before.parse()?, each.parse()?, |_| {})?,
        ["paced", before, each, rate] => {
            let rate: f64 = rate.parse()?;
            let at = |line: u64| sleep_until(began + Duration::from_secs_f64(line as f64 / rate));
            in_turn(&mut pipes, before.parse()?, each.parse()?, at)?
        }
        ["latency", before, each, gap, file, cpu] => {
            if let Ok(cpu) = cpu.parse() {
                processes::pin_self(cpu)?;
            }
            let (before, each, gap) = (before.parse()?, each.parse()?, Duration::from_nanos(gap.parse()?));
            latencies = latency(&mut pipes[0], before, each, gap, Path::new(file))?;
            each * LINE as u64
        }
        _ => return Err("load: words that mean nothing".into()),
    };
    let mut out = format!("{} {each}\n", began.as_nanos());
    out.extend(latencies.iter().map(|latency| format!("{}\n", latency.as_nanos())));
    std::io::stdout().write_all(out.as_bytes())?;
    Ok(())
}

/// Writes so many bytes, or, with a time, until it is over and a line has ended.
fn stream(pipe: &mut File, bytes: u64, time: Duration) -> Result<u64, Failure> {
    let mut block = vec![0; BLOCK];
    let end = now() + time;
    let mut written = 0;
    while written < bytes {
        let is_last = !time.is_zero() && now() >= end;
        let size = if is_last { LINE - written as usize % LINE } else { BLOCK.min((bytes - written) as usize) };
        lines::fill(0, written, &mut block[..size]);
        pipe.write_all(&block[..size])?;
        written += size as u64;
        if is_last {
            break;
        }
    }
    Ok(written)
}

/// Writes the next line of each log, and again.
fn in_turn(pipes: &mut [File], before: u64, each: u64, mut wait: impl FnMut(u64)) -> Result<u64, Failure> {
    let mut all: Vec<_> = (0..pipes.len()).map(|log| lines::line(log, 0)).collect();
    let mut count = 0;
    for number in before..before + each {
        for (pipe, line) in pipes.iter_mut().zip(&mut all) {
            wait(count);
            count += 1;
            lines::renumber(line, number);
            pipe.write_all(line)?;
        }
    }
    Ok(each * LINE as u64)
}

/// Writes a line, looks until the file has grown by it, and again after a silence.
fn latency(pipe: &mut File, before: u64, each: u64, gap: Duration, file: &Path) -> Result<Vec<Duration>, Failure> {
    let file = File::open(file)?;
    let size = || file.metadata().map(|meta| meta.size());
    let mut all = Vec::with_capacity(each as usize);
    for number in before..before + each {
        sleep_until(now() + gap);
        let (line, had) = (lines::line(0, number), size()?);
        let began = now();
        pipe.write_all(&line)?;
        while size()? < had + LINE as u64 {
            if now() - began > PATIENCE {
                return Err("load: a line that does not come".into());
            }
        }
        all.push(now() - began);
    }
    Ok(all)
}
