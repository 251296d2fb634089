//! Guests' consoles, beside Xen's own daemon.
//!
//! Both run without Xen, over the same stand-in for its libraries and with Xen's own store, and log every guest. Guests write as
//! fast as they are let (*flood*), and single lines one after the other (*lines*); nobody reads their ptys. Every log is compared
//! with what its guest wrote.

mod flood;
pub mod host;
mod idle;
mod lines;

use std::time::Instant;

use super::{Failure, Plan, Work};
use crate::figure::Figure;
use crate::turns::{ENOUGH, Failures};
use host::{Daemon, Host, text};

/// See above.
pub const WORK: Work = Work {
    id: "W10",
    title: "guests' consoles, beside Xen's own daemon, on a stand-in for the hypervisor: as fast as guests are let (flood), and lines \
            of 80 bytes one by one, at most 2000 a second in all (lines)",
    run,
};

/// How many guests, and how many bytes each writes as fast as it is let, in a round: about what one may write in a second, for
/// both daemons hold a guest back after 30 events in 200 ms.
const SIZES: [(u16, usize); 4] = [(1, 320_000), (10, 320_000), (100, 160_000), (500, 80_000)];

fn run(plan: Plan, sink: &mut dyn FnMut(Figure)) -> Result<(), Failure> {
    let mut daemons = Daemon::all(plan);
    let mut failures = Failures::default();
    let sizes = plan.much(&SIZES[..], &SIZES[..2]);
    for &(guests, bytes) in sizes {
        let bytes = plan.much(bytes, bytes / 10);
        let mut hosts = Vec::new();
        for daemon in &daemons {
            hosts.push(Host::start(plan, daemon, guests)?);
        }
        if guests == sizes[sizes.len() - 1].0 {
            idle::measure(plan, &hosts, sink)?;
        }
        hosts.iter().for_each(Host::spare);
        let start = Instant::now();
        let text = text((bytes + lines::bytes(plan, guests)) * plan.rounds as usize);
        for round in 1..=plan.rounds {
            if round > 1 && start.elapsed() > ENOUGH {
                break;
            }
            for work in ["flood", "lines"] {
                let case = if guests == 1 { format!("{work}, 1 guest") } else { format!("{work}, {guests} guests") };
                hosts.retain_mut(|host| {
                    let measured = match work {
                        "flood" => flood::measure(host, &text, bytes),
                        _ => lines::measure(host, &text, plan),
                    };
                    match measured {
                        Ok(measured) => tell(host, &case, round, &measured, sink),
                        Err(why) => {
                            failures.0.push((host.daemon().name, why.to_string()));
                            return false;
                        }
                    }
                    true
                });
            }
        }
        for host in &hosts {
            if let Err(why) = host.check(&text) {
                failures.0.push((host.daemon().name, why.to_string()));
            }
        }
        // Who has lost something has lost.
        daemons.retain(|daemon| failures.0.iter().all(|(failed, _)| *failed != daemon.name));
    }
    if failures.0.is_empty() { Ok(()) } else { Err(failures.into()) }
}

/// Gives what was measured of a host in a round to the sink.
pub fn tell(
    host: &Host,
    case: &str,
    round: u32,
    measured: &[(&'static str, &'static str, f64)],
    sink: &mut dyn FnMut(Figure),
) {
    let peer = host.daemon().name;
    let told = measured.iter().map(|(measure, unit, value)| format!("{measure} {value:.2} {unit}"));
    println!("{} {case:<20} round {round} {peer:<10} {}", WORK.id, told.collect::<Vec<_>>().join(", "));
    for &(measure, unit, value) in measured {
        sink(Figure { work: WORK.id, case: case.to_owned(), peer, round, measure, unit, value });
    }
}
