//! How long a torture is: short unless the environment says otherwise.

use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::random::{Random, mix};

/// The value of `XENLOG_TORTURE_<name>`.
///
/// # Panics
/// If there is one that makes no sense.
pub fn knob<T: FromStr>(name: &str, default: T) -> T {
    let name = format!("XENLOG_TORTURE_{name}");
    match std::env::var(&name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name}: \"{text}\" is no value")),
        Err(_) => default,
    }
}

/// The same in seconds.
pub fn seconds(name: &str, default: u64) -> Duration {
    Duration::from_secs(knob(name, default))
}

/// This run's seed: XENLOG_TORTURE_SEED, or one that was never there. It is printed, so that a failure can be had
/// again.
pub fn seed(torture: &str) -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let fresh = mix(u64::from(since.subsec_nanos()) ^ since.as_secs() ^ u64::from(std::process::id()) << 32) >> 16;
    let seed = knob("SEED", fresh);
    println!("{torture}: XENLOG_TORTURE_SEED={seed}");
    seed
}

/// Random numbers of this run.
pub fn random(torture: &str) -> Random {
    Random::new(seed(torture))
}
