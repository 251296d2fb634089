//! The daemon beside its peers, on the same work in one run.
#![forbid(unsafe_code)]

mod account;
mod clock;
mod data;
mod disk;
mod figure;
mod lines;
mod load;
mod logger;
mod options;
mod peers;
mod processes;
mod raw;
mod report;
mod run;
mod scene;
mod turns;
mod works;

use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use options::Options;
use raw::{Raw, Results};
use turns::Failures;
use works::{Failure, Plan};

/// Descriptors that the largest work needs; no more, for there are programs that close all that they might have.
const DESCRIPTORS: u64 = 32_768;

/// What the measures mean.
const NOTES: [&str; 2] = [
    "cpu is what all threads of all processes of a logger had of the processors (/proc/PID/task/*/schedstat), until they were at \
     rest again; not the kernel's own threads that write files out",
    "disk is what everybody wrote to the block device meanwhile (its counter); charged is what the logger's processes made dirty \
     and did not give up again (write_bytes less cancelled_write_bytes of /proc/PID/io)",
];

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().collect();
    let result = match words.get(1) {
        Some(word) if word == load::child::WORD => load::child::run(&words[2..]).map(|()| true),
        _ => measure(&Options::parse()),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("bench: {why}");
            ExitCode::FAILURE
        }
    }
}

/// Whether ours did everything that was asked for.
fn measure(options: &Options) -> Result<bool, Failure> {
    if let Some(path) = &options.report {
        tell(options, &Results::read(path)?)?;
        return Ok(true);
    }
    let place = std::env::current_exe()?.parent().and_then(Path::parent).unwrap_or(Path::new(".")).join("bench");
    let data = options.data.clone().unwrap_or_else(|| place.join("data"));
    let path = options.raw.clone().unwrap_or_else(|| place.join("figures.tsv"));
    fs::create_dir_all(&place)?;
    let data: &'static Path = Box::leak(data::make(&data)?.into_boxed_path());
    more_descriptors()?;
    let mut raw = Raw::create(&path)?;
    for note in report::machine::before(data) {
        raw.note(&note)?;
    }
    for note in NOTES {
        raw.note(note)?;
    }
    let peers = present(options, &mut raw)?;
    let plan = Plan {
        rounds: if options.trial { 1 } else { options.rounds },
        is_trial: options.trial,
        seconds: options.seconds,
        peers: peers.leak(),
        data,
    };
    let is_good = works(options, plan, &mut raw)?;
    for note in report::machine::after() {
        raw.note(&note)?;
    }
    tell(options, &raw.results)?;
    println!("every figure: {}", path.display());
    Ok(is_good)
}

/// Writes the page, or prints what would be on it: tables stand beside each other there only if all are of one run.
fn tell(options: &Options, results: &Results) -> Result<(), Failure> {
    if options.page || options.is_whole() {
        println!("written: {}", report::write(results)?.display());
    } else {
        println!("{}", report::text(results));
    }
    Ok(())
}

fn works(options: &Options, plan: Plan, raw: &mut Raw) -> Result<bool, Failure> {
    let ours: Vec<&str> =
        plan.peers.iter().filter(|peer| peer.class() == peers::Class::Ours).map(|peer| peer.name()).collect();
    let mut is_good = true;
    let start = Instant::now();
    for work in options.works()? {
        println!("== {} {} ({} s)", work.id, work.title, start.elapsed().as_secs());
        let mut trouble = Ok(());
        let result = (work.run)(plan, &mut |figure| {
            if trouble.is_ok() {
                trouble = raw.figure(&figure);
            }
        });
        trouble?;
        match result.map_err(|why| why.downcast::<Failures>()) {
            Ok(()) => {}
            Err(Ok(failures)) => {
                for (peer, why) in failures.0 {
                    is_good &= !ours.contains(&peer);
                    raw.failure(work.id, peer, &why)?;
                }
            }
            Err(Err(why)) => {
                println!("{}: FAILED: {why}", work.id);
                is_good = false;
                raw.failure(work.id, "", &why.to_string())?;
            }
        }
    }
    println!("== measured in {} s", start.elapsed().as_secs());
    Ok(is_good)
}

/// Those who can run here; who cannot is left out with a line that says so, but ours cannot be left out.
fn present(options: &Options, raw: &mut Raw) -> Result<Vec<&'static dyn peers::Peer>, Failure> {
    let mut present = Vec::new();
    for peer in options.peers()? {
        match peer.missing() {
            None => {
                raw.note(&format!("{}: {}", peer.name(), peer.note()))?;
                present.push(peer);
            }
            Some(why) if peer.class() == peers::Class::Ours => return Err(format!("{}: {why}", peer.name()).into()),
            Some(why) => {
                println!("left out: {}: {why}", peer.name());
                raw.note(&format!("{} was left out: {why}", peer.name()))?;
            }
        }
    }
    Ok(present)
}

fn more_descriptors() -> Result<(), Failure> {
    let limit = getrlimit(Resource::Nofile);
    let current = limit.maximum.map_or(DESCRIPTORS, |maximum| maximum.min(DESCRIPTORS));
    Ok(setrlimit(Resource::Nofile, Rlimit { current: Some(current), maximum: limit.maximum })?)
}
