//! One log, line by line.

use super::{Failure, Plan, Work};
use crate::account::Wanted;
use crate::figure::Figure;
use crate::load::Load;
use crate::peers::Peer;
use crate::run::Run;
use crate::scene::Order;
use crate::turns::Turns;

/// Single lines.
pub const WORK: Work =
    Work { id: "W2", title: "one log, lines of 100 bytes, a write each, as fast as they are taken", run };

fn run(plan: Plan, sink: &mut dyn FnMut(Figure)) -> Result<(), Failure> {
    let mut turns = Turns::new("W2", plan, sink);
    let rounds = |peer: &dyn Peer| if peer.class().is_fast() { plan.rounds } else { plan.rounds.min(3) };
    turns.case("", rounds, |peer| {
        let mut run = Run::start(plan, peer, Order::of(1))?;
        let cost = run.load(&Load::Lines { before: 0, each: plan.much(500_000, 20_000) })?;
        run.account(Wanted::All)?;
        Ok(vec![
            ("cpu", "µs/line", cost.cpu.as_secs_f64() * 1e6 / cost.lines()),
            ("wall", "µs/line", cost.wall.as_secs_f64() * 1e6 / cost.lines()),
        ])
    });
    turns.finish()
}
