//! From entries that are written to logs that are ready.

use std::fs;
use std::time::Duration;

use testbed::{Store, StoreKind};

use super::{Failure, Plan, Work};
use crate::clock::now;
use crate::figure::Figure;
use crate::logger::Logger;
use crate::peers::Peer;
use crate::peers::xenlog::{Xenlog, ask, wait_until_ready};
use crate::processes::Processes;
use crate::scene::{Order, Scene};
use crate::turns::{Measured, Turns};

/// Readiness.
pub const WORK: Work = Work {
    id: "W9",
    title: "entries, each of a domain of its own, are written as fast as the store takes them, until all are ready",
    run,
};

/// How many entries.
const COUNTS: [usize; 4] = [1, 100, 1000, 4000];

fn run(plan: Plan, sink: &mut dyn FnMut(Figure)) -> Result<(), Failure> {
    let mut turns = Turns::new(WORK.id, plan, sink);
    let rounds = |peer: &dyn Peer| if peer.ours().is_some() { plan.rounds } else { 0 };
    for &count in plan.much(&COUNTS[..], &COUNTS[..2]) {
        let case = if count == 1 { "1 entry".to_owned() } else { format!("{count} entries") };
        turns
            .case(&case, rounds, |peer| peer.ours().map_or(Ok(Measured::new()), |daemon| measure(plan, daemon, count)));
    }
    turns.finish()
}

/// A store and a daemon that begin anew.
fn measure(plan: Plan, daemon: &Xenlog, count: usize) -> Result<Measured, Failure> {
    let scene = Scene::new(plan.data, Order::of(count))?;
    let store = Store::start(StoreKind::C);
    let mut logger = Logger::over(&scene, scene.make_pipes()?);
    daemon.serve(&mut logger, &scene, &store)?;
    let id = fs::read_to_string(store.dir().join("pid"))?.trim().parse()?;
    let of_store = Processes::from(vec![rustix::process::Pid::from_raw(id).ok_or("no process")?]);
    let of_daemon = logger.processes();
    let before = [of_daemon.rest()?, of_store.cpu()?];
    let start = now();
    ask(&store, &scene)?;
    wait_until_ready(&store, count)?;
    let time = now() - start;
    let [daemon, store] = [of_daemon.rest()? - before[0], of_store.cpu()? - before[1]];
    let each = |time: Duration| time.as_secs_f64() * 1e6 / count as f64;
    Ok(vec![
        ("all ready", "ms", time.as_secs_f64() * 1e3),
        ("an entry", "µs", each(time)),
        ("daemon cpu", "µs/entry", each(daemon)),
        ("store cpu", "µs/entry", each(store)),
    ])
}
