//! From a logger's start to the first line of each log.

use super::{Failure, Plan, Work};
use crate::account::Wanted;
use crate::figure::Figure;
use crate::peers::Peer;
use crate::run::Run;
use crate::scene::Order;
use crate::turns::Turns;

/// The start.
pub const WORK: Work = Work {
    id: "W7",
    title: "the start with 1000 logs whose first lines wait, until all are in the files (virtlogd and conmon make the pipes: until \
            lines that are written at once are)",
    run,
};

fn run(plan: Plan, sink: &mut dyn FnMut(Figure)) -> Result<(), Failure> {
    let mut turns = Turns::new("W7", plan, sink);
    let rounds = |peer: &dyn Peer| if peer.class().serves_all() { plan.rounds } else { 1 };
    let logs = plan.much(1000, 20);
    turns.case(&format!("{logs} logs"), rounds, |peer| {
        let run = Run::begin(plan, peer, Order { is_waiting: true, ..Order::of(logs) })?;
        let wall = run.wait_until_stored()? - run.logger.began;
        let cpu = run.with_words(run.processes.rest())?;
        run.account(Wanted::All)?;
        Ok(vec![("wall", "s", wall.as_secs_f64()), ("cpu", "s", cpu.as_secs_f64())])
    });
    turns.finish()
}
