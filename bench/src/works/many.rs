//! Many logs at once.

use super::{Failure, Plan, Work};
use crate::account::Wanted;
use crate::figure::Figure;
use crate::load::Load;
use crate::peers::Peer;
use crate::run::Run;
use crate::scene::Order;
use crate::turns::Turns;

/// A thousand logs.
pub const WORK: Work =
    Work { id: "W3", title: "1000 logs in turn, lines of 100 bytes, as fast as they are taken", run };

fn run(plan: Plan, sink: &mut dyn FnMut(Figure)) -> Result<(), Failure> {
    let mut turns = Turns::new("W3", plan, sink);
    // A thousand processes take their time.
    let rounds = |peer: &dyn Peer| if peer.class().serves_all() { plan.rounds } else { 1 };
    let logs = plan.much(1000, 20);
    turns.case(&format!("{logs} logs"), rounds, |peer| {
        let each = if peer.class().serves_all() { 500 } else { 200 };
        let mut run = Run::start(plan, peer, Order::of(logs))?;
        let cost = run.load(&Load::Lines { before: 0, each: plan.much(each, 50) })?;
        run.account(Wanted::All)?;
        Ok(vec![
            ("cpu", "µs/line", cost.cpu.as_secs_f64() * 1e6 / cost.lines()),
            ("wall", "µs/line", cost.wall.as_secs_f64() * 1e6 / cost.lines()),
            ("pss", "MiB", run.processes.pss()? as f64 / 1024.0),
        ])
    });
    turns.finish()
}
