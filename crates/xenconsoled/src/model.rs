//! A model of a host: the daemon's own code, with real pipes and files, under everything that can happen to it, in an order that a
//! seed decides; after each step every byte that was ever written to a log is looked for.
//!
//! `XENLOG_MODEL_SEED` replays one seed, `XENLOG_MODEL_STEPS` are the steps of each, and `XENLOG_MODEL_SECONDS` is how long new
//! seeds are tried; then they begin where the clock says.

mod audit;
mod chance;
pub mod crash;
mod disk;
pub mod faulty;
mod keeper;
mod life;
mod run;
mod store;
mod stories;
mod tail;
mod toolstack;
mod world;

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use world::{Counts, World};

/// Steps of one seed.
const STEPS: u64 = 400;
/// How long seeds are tried if nobody says.
const SECONDS: u64 = 10;

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap_or_else(|why| panic!("{name}={value}: {why}")))
}

fn run(seed: u64, steps: u64) -> Counts {
    let mut world = World::new(seed);
    let ended = (0..steps).try_for_each(|_| world.step()).and_then(|()| world.end());
    if let Err(why) = ended {
        let step = world.counts.steps;
        let from = world.trace.len().saturating_sub(if setting("XENLOG_MODEL_SEED").is_some() { 1000 } else { 15 });
        for (number, what) in world.trace.iter().enumerate().skip(from) {
            eprintln!("{:5} {what}", number + 1);
        }
        panic!("XENLOG_MODEL_SEED={seed}, step {step}: {why}");
    }
    world.counts
}

#[test]
fn whatever_happens_every_byte_is_accounted_for() {
    let steps = setting("XENLOG_MODEL_STEPS").unwrap_or(STEPS);
    if let Some(seed) = setting("XENLOG_MODEL_SEED") {
        println!("{:?}", run(seed, steps));
        return;
    }
    let seconds = setting("XENLOG_MODEL_SECONDS");
    let clock = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() << 20;
    let first = if seconds.is_some() { clock() } else { 1 };
    let until = Instant::now() + Duration::from_secs(seconds.unwrap_or(SECONDS));
    let mut sum = Counts::default();
    let mut seed = first;
    while seed == first || Instant::now() < until {
        sum += run(seed, steps);
        seed += 1;
    }
    println!("{} seeds from {first}: {sum:?}", seed - first);
}
