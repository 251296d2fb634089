//! Everyday load: each line at a time of its own, spread over many logs.

use super::{Failure, Plan, Work};
use crate::account::Wanted;
use crate::figure::Figure;
use crate::load::Load;
use crate::peers::Peer;
use crate::run::Run;
use crate::scene::Order;
use crate::turns::Turns;

/// Paced lines.
pub const WORK: Work = Work { id: "W8", title: "lines of 100 bytes, each at its own time, spread over many logs", run };

/// Logs, and lines a second of all of them.
const CASES: [(usize, u32); 3] = [(1000, 10_000), (4000, 10_000), (4000, 2000)];

fn run(plan: Plan, sink: &mut dyn FnMut(Figure)) -> Result<(), Failure> {
    let mut turns = Turns::new("W8", plan, sink);
    for (logs, rate) in CASES {
        let rounds = |peer: &dyn Peer| match (peer.class().serves_all(), logs) {
            (true, 1000) => plan.rounds,
            (true, _) => plan.rounds.min(3),
            // A thousand processes are enough.
            (false, 1000) => 1,
            (false, _) => 0,
        };
        let logs = plan.much(logs, logs / 50);
        turns.case(&format!("{logs} logs, {rate} a second"), rounds, |peer| {
            let each = u64::from(plan.much(3 * rate, rate / 10)) / logs as u64;
            let mut run = Run::start(plan, peer, Order::of(logs))?;
            let cost = run.load(&Load::Paced { before: 0, each: each.max(1), rate })?;
            run.account(Wanted::All)?;
            Ok(vec![
                ("cpu", "µs/line", cost.cpu.as_secs_f64() * 1e6 / cost.lines()),
                ("wall", "s", cost.wall.as_secs_f64()),
            ])
        });
    }
    turns.finish()
}
