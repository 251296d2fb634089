//! From a write to a line in the file.

use std::time::Duration;

use super::{Failure, Plan, Work};
use crate::account::Wanted;
use crate::figure::Figure;
use crate::load::Load;
use crate::peers::Peer;
use crate::processes::two_processors;
use crate::run::Run;
use crate::scene::Order;
use crate::turns::Turns;

/// Latency.
pub const WORK: Work = Work {
    id: "W5",
    title: "one idle log: from write(2) until the line is in the file, writer and logger on processors of their own",
    run,
};

fn run(plan: Plan, sink: &mut dyn FnMut(Figure)) -> Result<(), Failure> {
    let mut turns = Turns::new("W5", plan, sink);
    let rounds = |peer: &dyn Peer| if peer.class().is_fast() { plan.rounds } else { plan.rounds.min(3) };
    // A write to a pipe wakes its reader on the writer's processor, where the writer goes on looking: without two processors what
    // is measured is when the scheduler moves one of them.
    let processors = two_processors();
    turns.case("", rounds, |peer| {
        let each = plan.much(600, 50);
        let mut run = Run::start(plan, peer, Order::of(1))?;
        // The first line makes the file.
        run.load(&Load::Lines { before: 0, each: 1 })?;
        let file = run.peer.files(&run.scene, 0)?.pop().ok_or("no file")?;
        if let Some((_, cpu)) = processors {
            run.processes.pin(cpu)?;
        }
        let cpu = processors.map(|(cpu, _)| cpu);
        let cost = run.load(&Load::Latency { before: 1, each, gap: Duration::from_millis(2), file, cpu })?;
        run.account(Wanted::All)?;
        let mut sorted = cost.latencies;
        sorted.sort();
        let percent = |part: usize| sorted[(sorted.len() - 1) * part / 100].as_secs_f64() * 1e6;
        Ok(vec![
            ("p50", "µs", percent(50)),
            ("p90", "µs", percent(90)),
            ("p99", "µs", percent(99)),
            ("cpu", "µs/line", cost.cpu.as_secs_f64() * 1e6 / each as f64),
        ])
    });
    turns.finish()
}
