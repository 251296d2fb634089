//! Quiet logs beside one that never stops.
//!
//! The logger has a processor of its own, and who looks goes before who is noisy on the other one: else what is measured is how long
//! three wait for two processors.
//!
//! Our daemon is there twice: as it comes, where a log has 64 MiB a second and 256 MiB at once, and with no such budget, as in all other
//! works. Lines are looked at when the noisy one has had what it may have at once.

use std::fs::File;
use std::io::Write;
use std::num::NonZeroU64;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rustix::process::nice;

use super::{Failure, Plan, Work};
use crate::account::Wanted;
use crate::clock::{now, sleep_until};
use crate::figure::Figure;
use crate::lines::{self, LINE};
use crate::load::Load;
use crate::peers::Peer;
use crate::peers::xenlog::Xenlog;
use crate::processes::{pin_self, two_processors};
use crate::run::Run;
use crate::scene::Order;
use crate::turns::{ENOUGH, Failures};

/// A noisy neighbour.
pub const WORK: Work = Work {
    id: "noisy",
    title: "from write(2) until a line of one of 100 quiet logs is in its file, alone and beside a log at full speed",
    run,
};

/// The last log is the noisy one.
const QUIET: usize = 100;
/// Between two lines of the quiet.
const GAP: Duration = Duration::from_millis(1);
/// The quiet are looked at when the noisy one has written so much, or tried for so long.
const FIRST: u64 = 300 << 20;
const FIRST_TIME: Duration = Duration::from_secs(3);
/// The daemon as it comes, but for this: no log drops anything, for accounts must balance.
const AS_IT_COMES: &str = "[defaults]\npolicy = \"block\"\n";
/// How often a file is looked at: looking without a pause would take a processor from those who are measured.
const LOOK: Duration = Duration::from_micros(20);
/// How long a line may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes of a write of the noisy one.
const BLOCK: usize = 64 << 10;

fn run(plan: Plan, sink: &mut dyn FnMut(Figure)) -> Result<(), Failure> {
    let mut failures = Failures::default();
    let start = now();
    let peers: Vec<&dyn Peer> =
        plan.peers.iter().filter(|peer| peer.class().serves_all()).flat_map(|peer| twice(*peer)).collect();
    for round in 1..=plan.rounds {
        if round > 1 && now() - start > ENOUGH {
            break;
        }
        for peer in &peers {
            let name = peer.name();
            if failures.0.iter().any(|(failed, _)| *failed == name) {
                continue;
            }
            match apart(plan, *peer) {
                Ok((cases, noise)) => {
                    for (case, [p50, p90, p99]) in ["alone", "beside"].into_iter().zip(cases) {
                        println!(
                            "noisy {case:<8} round {round} {name:<10} p50 {p50:.0} µs, p90 {p90:.0} µs, p99 {p99:.0} µs"
                        );
                        let noise = (case == "beside").then_some(("noise", "MB/s", noise));
                        for (measure, unit, value) in
                            [("p50", "µs", p50), ("p90", "µs", p90), ("p99", "µs", p99)].into_iter().chain(noise)
                        {
                            let case = case.to_owned();
                            sink(Figure { work: WORK.id, case, peer: name, round, measure, unit, value });
                        }
                    }
                }
                Err(why) => {
                    println!("noisy round {round} {name:<10} FAILED: {why}");
                    failures.0.push((name, why));
                }
            }
        }
    }
    if failures.0.is_empty() { Ok(()) } else { Err(failures.into()) }
}

/// Our daemon as it comes, and with no budget; any other as it is.
fn twice(peer: &'static dyn Peer) -> Vec<&'static dyn Peer> {
    match peer.ours() {
        Some(ours) if peer.name() == "xenlog" => {
            let program = || ours.program().to_owned();
            let as_it_comes = Xenlog::of("xenlog", program()).configured(AS_IT_COMES.to_owned());
            // Two, for as long as this program runs.
            vec![&*Box::leak(Box::new(as_it_comes)), &*Box::leak(Box::new(Xenlog::of("no budget", program())))]
        }
        _ => vec![peer],
    }
}

/// Measures in a thread of its own, which may be moved to one processor for good.
fn apart(plan: Plan, peer: &dyn Peer) -> Result<([[f64; 3]; 2], f64), String> {
    let measured =
        std::thread::scope(|threads| threads.spawn(|| measure(plan, peer).map_err(|why| why.to_string())).join());
    measured.unwrap_or_else(|_| Err("it has panicked".into()))
}

/// The 50th, the 90th and the 99th percentile of the quiet ones' times alone and beside the noisy one, and how fast that is.
fn measure(plan: Plan, peer: &dyn Peer) -> Result<([[f64; 3]; 2], f64), Failure> {
    // Sleeps end when they shall.
    rustix::thread::set_current_timer_slack(NonZeroU64::new(1))?;
    let order = Order { limit: 10 << 20, copies: 5, keeps_all: false, ..Order::of(QUIET + 1) };
    let mut run = Run::start(plan, peer, order)?;
    // The first line of each makes its file.
    run.load(&Load::Lines { before: 0, each: 1 })?;
    let mut quiet = Quiet::open(&run)?;
    if let Some((others, logger)) = two_processors() {
        run.processes.pin(logger)?;
        pin_self(others)?;
    }
    let rounds = plan.much(8, 1);
    let alone = quiet.lines(rounds)?;
    let mut noisy = File::options().write(true).open(&run.logger.pipes[QUIET])?;
    let (is_over, so_far) = (AtomicBool::new(false), AtomicU64::new(0));
    let (beside, noise, rate) = std::thread::scope(|threads| {
        let noise = threads.spawn(|| {
            // Those who look come first. A thread can always be nicer, and on Linux this is of this thread only.
            let _ = nice(19);
            flood(&mut noisy, &so_far, &is_over)
        });
        let begin = now();
        while !plan.is_trial && so_far.load(Ordering::Relaxed) < FIRST && now() - begin < FIRST_TIME {
            sleep_until(now() + GAP);
        }
        let (start, before) = (now(), so_far.load(Ordering::Relaxed));
        let beside = quiet.lines(rounds);
        let rate = (so_far.load(Ordering::Relaxed) - before) as f64 / 1e6 / (now() - start).as_secs_f64();
        is_over.store(true, Ordering::Relaxed);
        (beside, noise.join(), rate)
    });
    let noise = noise.map_err(|_| "the noisy one has panicked")??;
    let beside = beside?;
    wait_for_end(&run, noise)?;
    for log in 0..QUIET {
        run.account_of(log, quiet.written, Wanted::All)?;
    }
    run.account_of(QUIET, noise, Wanted::End(peer.least(&run.scene)))?;
    Ok(([percentiles(alone), percentiles(beside)], rate))
}

fn percentiles(mut times: Vec<Duration>) -> [f64; 3] {
    times.sort();
    [50, 90, 99].map(|part| times[(times.len() - 1) * part / 100].as_secs_f64() * 1e6)
}

/// Writes to the noisy log until it is over; gives how many bytes that log has then.
fn flood(pipe: &mut File, so_far: &AtomicU64, is_over: &AtomicBool) -> Result<u64, std::io::Error> {
    let mut block = vec![0; BLOCK];
    let mut written = LINE as u64;
    loop {
        let is_last = is_over.load(Ordering::Relaxed);
        // It ends with a whole line.
        let size = if is_last { LINE - written as usize % LINE } else { BLOCK };
        lines::fill(QUIET, written, &mut block[..size]);
        pipe.write_all(&block[..size])?;
        written += size as u64;
        so_far.store(written, Ordering::Relaxed);
        if is_last {
            return Ok(written);
        }
    }
}

/// Waits until the last line of the noisy log is in its file.
fn wait_for_end(run: &Run, written: u64) -> Result<(), Failure> {
    let end = now() + PATIENCE;
    while run.account_of(QUIET, written, Wanted::End(1)).is_err() {
        if now() > end {
            return run.account_of(QUIET, written, Wanted::End(1));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// The quiet logs: pipes, files, and how many bytes each has.
struct Quiet {
    logs: Vec<(File, File)>,
    written: u64,
}

impl Quiet {
    fn open(run: &Run) -> Result<Quiet, Failure> {
        let open = |log: usize| -> Result<(File, File), Failure> {
            let path: PathBuf = run.peer.files(&run.scene, log)?.pop().ok_or("no file")?;
            Ok((File::options().write(true).open(&run.logger.pipes[log])?, File::open(path)?))
        };
        let logs = (0..QUIET).map(open).collect::<Result<_, _>>()?;
        Ok(Quiet { logs, written: LINE as u64 })
    }

    /// So many lines to each log, one at a time; how long each took until it was in its file.
    fn lines(&mut self, rounds: usize) -> Result<Vec<Duration>, Failure> {
        let mut times = Vec::with_capacity(rounds * self.logs.len());
        for _ in 0..rounds {
            for (log, (pipe, file)) in self.logs.iter_mut().enumerate() {
                sleep_until(now() + GAP);
                let start = now();
                pipe.write_all(&lines::line(log, self.written / LINE as u64))?;
                while file.metadata()?.size() < self.written + LINE as u64 {
                    if now() - start > PATIENCE {
                        return Err(format!("a line of log {log} does not come").into());
                    }
                    sleep_until(now() + LOOK);
                }
                times.push(now() - start);
            }
            self.written += LINE as u64;
        }
        Ok(times)
    }
}
