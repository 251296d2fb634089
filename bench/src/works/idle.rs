//! Logs that nobody writes to.

use std::time::Duration;

use super::{Failure, Plan, Work};
use crate::figure::Figure;
use crate::peers::Peer;
use crate::run::Run;
use crate::scene::Order;
use crate::turns::Turns;

/// Idle logs.
pub const WORK: Work = Work { id: "W4", title: "idle logs, a writer each that says nothing", run };

fn run(plan: Plan, sink: &mut dyn FnMut(Figure)) -> Result<(), Failure> {
    let mut turns = Turns::new("W4", plan, sink);
    // So many processes as logs: 500 show what one costs.
    for (logs, has_processes) in [(plan.much(500, 20), true), (plan.much(4000, 100), false)] {
        let rounds = |peer: &dyn Peer| u32::from(has_processes || peer.class().serves_all());
        turns.case(&format!("{logs} logs"), rounds, |peer| {
            let run = Run::start(plan, peer, Order::of(logs))?;
            let time = Duration::from_millis(plan.much(3000, 200));
            // What a start leaves for a second later is no part of idling; what comes again and again is.
            used_in(&run, time / 2)?;
            let used = used_in(&run, time)?;
            Ok(vec![
                ("cpu", "ms/s", used.as_secs_f64() * 1e3 / time.as_secs_f64()),
                ("descriptors", "a log", run.processes.descriptors()? as f64 / logs as f64),
                ("pss", "MiB", run.processes.pss()? as f64 / 1024.0),
                ("processes", "", run.processes.count() as f64),
            ])
        });
    }
    turns.finish()
}

/// What a logger uses in a time from now on.
fn used_in(run: &Run, time: Duration) -> Result<Duration, Failure> {
    let before = run.processes.cpu()?;
    std::thread::sleep(time);
    Ok(run.processes.cpu()? - before)
}
