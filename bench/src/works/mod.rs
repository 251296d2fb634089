//! The works.

use crate::figure::Figure;

/// Why a work has no result: somebody lost bytes, or could not be run.
pub type Failure = Box<dyn std::error::Error>;

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Rounds of each work: medians are of so many.
    pub rounds: u32,
    /// A little only, to see that everything runs: figures mean nothing then.
    pub is_trial: bool,
}

/// One work.
pub struct Work {
    /// As it is named on the command line and in the tables: "W1".
    pub id: &'static str,
    /// What is done, in a line.
    pub title: &'static str,
    /// Does it, every peer once in each round, in turns. Figures go to the sink as they come.
    pub run: fn(Plan, &mut dyn FnMut(Figure)) -> Result<(), Failure>,
}

/// All of them, in the order in which they are run.
pub const WORKS: &[Work] = &[];
