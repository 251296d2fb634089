//! Peers take turns: in each round every one of them does the same work, so that they stand beside each other in time, too.

use std::fmt;
use std::time::{Duration, Instant};

use crate::figure::Figure;
use crate::peers::Peer;
use crate::works::{Failure, Plan};

/// Who could not do a work, and why: whoever loses a byte has no figures.
#[derive(Debug, Default)]
pub struct Failures(pub Vec<(&'static str, String)>);

impl fmt::Display for Failures {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let all: Vec<String> = self.0.iter().map(|(peer, why)| format!("{peer}: {why}")).collect();
        f.write_str(&all.join("; "))
    }
}

impl std::error::Error for Failures {}

/// The turns of one work.
pub struct Turns<'a> {
    work: &'static str,
    plan: Plan,
    sink: &'a mut dyn FnMut(Figure),
    failures: Failures,
}

/// On a slow machine no round of a case begins after this, or the whole would not end in time.
pub const ENOUGH: Duration = Duration::from_secs(60);

/// What one peer did in one round: measure, unit, value.
pub type Measured = Vec<(&'static str, &'static str, f64)>;

impl<'a> Turns<'a> {
    /// Those of a work.
    pub fn new(work: &'static str, plan: Plan, sink: &'a mut dyn FnMut(Figure)) -> Turns<'a> {
        Turns { work, plan, sink, failures: Failures::default() }
    }

    /// One case of the work. `rounds` says how often a peer has its turn, 0 for never.
    pub fn case(
        &mut self,
        case: &str,
        rounds: impl Fn(&dyn Peer) -> u32,
        mut one: impl FnMut(&'static dyn Peer) -> Result<Measured, Failure>,
    ) {
        let start = Instant::now();
        for round in 1..=self.plan.rounds {
            if round > 1 && start.elapsed() > ENOUGH {
                println!("{} {case:<20} has had its time", self.work);
                break;
            }
            for &peer in self.plan.peers {
                let name = peer.name();
                if round > rounds(peer) || self.failures.0.iter().any(|(failed, _)| *failed == name) {
                    continue;
                }
                let place = format!("{} {case:<20} round {round}/{} {name:<10}", self.work, self.plan.rounds);
                match one(peer) {
                    Ok(measured) => {
                        let told: Vec<String> = measured
                            .iter()
                            .map(|(measure, unit, value)| format!("{measure} {value:.3} {unit}"))
                            .collect();
                        println!("{place} {}", told.join(", "));
                        for (measure, unit, value) in measured {
                            let case = case.to_owned();
                            (self.sink)(Figure { work: self.work, case, peer: name, round, measure, unit, value });
                        }
                    }
                    Err(why) => {
                        println!("{place} FAILED: {why}");
                        self.failures.0.push((name, why.to_string()));
                    }
                }
            }
        }
    }

    /// The end of the work.
    pub fn finish(self) -> Result<(), Failure> {
        if self.failures.0.is_empty() { Ok(()) } else { Err(self.failures.into()) }
    }
}
