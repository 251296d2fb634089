//! How much a flood may take of the disk.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use super::{Failure, Plan, Work};
use crate::account::Wanted;
use crate::figure::Figure;
use crate::load::Load;
use crate::run::Run;
use crate::scene::Order;
use crate::turns::Turns;

/// The bound.
pub const WORK: Work =
    Work { id: "W6", title: "the most that file and copies have in a flood, of limit × (copies + 1), sampled", run };

/// Files beside the logs: locks, configurations, what a logger remembers.
const NO_LOGS: [&str; 4] = ["lock", "config", "state", "status"];

fn run(plan: Plan, sink: &mut dyn FnMut(Figure)) -> Result<(), Failure> {
    let mut turns = Turns::new("W6", plan, sink);
    let order = Order { limit: 2 << 20, copies: 5, keeps_all: false, ..Order::of(1) };
    turns.case(
        "",
        |_| 1,
        |peer| {
            let mut run = Run::start(plan, peer, order)?;
            let (mut most, mut samples) = (0, 0);
            let time = Duration::from_millis(plan.much(2000, 300));
            run.load_and(&Load::Flood { time }, Duration::from_micros(200), |run| {
                most = most.max(taken(&run.scene.log())?);
                samples += 1;
                Ok(())
            })?;
            run.account(Wanted::End(peer.least(&run.scene)))?;
            Ok(vec![
                ("most", "% of the bound", 100.0 * most as f64 / order.bound() as f64),
                ("samples", "", f64::from(samples)),
            ])
        },
    );
    turns.finish()
}

/// The bytes of all logs below a directory. Files change their names meanwhile, so each counts once whatever it is called.
fn taken(dir: &Path) -> Result<u64, Failure> {
    let mut sizes = HashMap::new();
    gather(dir, &mut sizes)?;
    Ok(sizes.values().sum())
}

fn gather(dir: &Path, sizes: &mut HashMap<u64, u64>) -> Result<(), Failure> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        // It may be gone by now.
        let Ok(meta) = entry.metadata() else { continue };
        if meta.is_dir() {
            gather(&entry.path(), sizes)?;
        } else if !NO_LOGS.iter().any(|name| *name == entry.file_name()) {
            sizes.insert(meta.ino(), meta.len());
        }
    }
    Ok(())
}
