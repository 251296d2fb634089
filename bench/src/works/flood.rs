//! One log as fast as it is taken, with rotation.

use super::{Failure, Plan, Work};
use crate::account::Wanted;
use crate::figure::Figure;
use crate::lines::LINE;
use crate::load::Load;
use crate::run::Run;
use crate::scene::Order;
use crate::turns::Turns;

/// One log at full speed.
pub const WORK: Work =
    Work { id: "W1", title: "one log at full speed, writes of 64 KiB, rotation at 10 MiB with 5 copies", run };

/// Who looks at every byte needs twenty times as long.
const FAST: u64 = 1 << 30;
const SLOW: u64 = 160 << 20;

fn run(plan: Plan, sink: &mut dyn FnMut(Figure)) -> Result<(), Failure> {
    let mut turns = Turns::new("W1", plan, sink);
    let order = Order { limit: 10 << 20, copies: 5, keeps_all: false, ..Order::of(1) };
    let rounds = |peer: &dyn crate::peers::Peer| if peer.class().is_fast() { plan.rounds } else { plan.rounds.min(3) };
    turns.case(plan.file_system(), rounds, |peer| {
        let bytes = plan.much(if peer.class().is_fast() { FAST } else { SLOW }, 80 << 20);
        let bytes = bytes.next_multiple_of(LINE as u64);
        let mut run = Run::start(plan, peer, order)?;
        let cost = run.load(&Load::Stream { bytes })?;
        run.account(Wanted::End(peer.least(&run.scene)))?;
        let percent = |part: u64| 100.0 * part as f64 / cost.bytes as f64;
        let mut measured = vec![
            ("cpu", "s/GiB", cost.cpu.as_secs_f64() / cost.gib()),
            ("wall", "s/GiB", cost.wall.as_secs_f64() / cost.gib()),
            ("charged", "% of bytes in", percent(cost.charged)),
        ];
        measured.extend(cost.disk.map(|disk| ("disk", "% of bytes in", percent(disk))));
        Ok(measured)
    });
    turns.finish()
}
