//! The works.

mod bound;
mod consoles;
mod flood;
mod hostile;
mod idle;
mod latency;
mod many;
mod neighbour;
mod paced;
mod ready;
mod single;
mod start;

use std::path::Path;

use crate::figure::Figure;
use crate::peers::Peer;

/// Why a work has no result: somebody lost bytes, or could not be run.
pub type Failure = Box<dyn std::error::Error>;

/// How much is measured.
#[derive(Clone, Copy)]
pub struct Plan {
    /// Rounds of each work: medians are of so many.
    pub rounds: u32,
    /// A little only, to see that everything runs: figures mean nothing then.
    pub is_trial: bool,
    /// How long what may last longer lasts, in seconds, if that was said.
    pub seconds: Option<u64>,
    /// Who is measured, in this order.
    pub peers: &'static [&'static dyn Peer],
    /// Where files are written.
    pub data: &'static Path,
}

impl Plan {
    /// So much, or, in a trial, so little.
    pub fn much<T>(&self, much: T, little: T) -> T {
        if self.is_trial { little } else { much }
    }

    /// The kind of file system under the files, as statfs(2) tells it, for the names of cases.
    pub fn file_system(&self) -> &'static str {
        match rustix::fs::statfs(self.data).map(|found| found.f_type as u64) {
            Ok(0xef53) => "ext4",
            Ok(0x0102_1994) => "tmpfs",
            Ok(0x5846_5342) => "xfs",
            Ok(0x9123_683e) => "btrfs",
            Ok(0x794c_7630) => "overlay",
            _ => "files",
        }
    }
}

/// One work.
pub struct Work {
    /// As it is named on the command line and in the tables: "W1".
    pub id: &'static str,
    /// What is done, in a line.
    pub title: &'static str,
    /// Does it, every peer once in each round, in turns. Figures go to the sink as they come.
    pub run: Doing,
}

/// How a work is done.
pub type Doing = fn(Plan, &mut dyn FnMut(Figure)) -> Result<(), Failure>;

/// All of them, in the order in which they are run.
pub const WORKS: &[Work] = &[
    flood::WORK,
    single::WORK,
    many::WORK,
    idle::WORK,
    latency::WORK,
    bound::WORK,
    start::WORK,
    paced::WORK,
    ready::WORK,
    consoles::WORK,
    neighbour::WORK,
    hostile::WORK,
];
