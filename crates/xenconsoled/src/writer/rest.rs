//! How long the writer rests after a round: lines that are written one by one then come in bunches, which costs a fifth of the
//! CPU (measured at one line a write). Only while rounds follow one another: a line after a silence is not delayed, and one that comes
//! alone costs no rest.

use std::time::Duration;

/// Rounds with no more than that between them follow one another.
const SOON: Duration = Duration::from_micros(700);
/// The first rest, and the longest, which no eye sees. A pipe of 64 KiB, the smallest that a log usually has, is not filled by a burst
/// that falls into one as long as it has no more than 64 MB/s.
const SHORT: Duration = Duration::from_micros(200);
const LONG: Duration = Duration::from_millis(1);
/// Shares of a pipe, in [`WHOLE`]ths: with as much in it, it may be full before a rest is over, and who writes to it would wait; with
/// as little a longer rest is no risk.
const MUCH: u32 = WHOLE / 4;
const LITTLE: u32 = WHOLE / 16;
/// The parts of a pipe's room that shares are counted in.
pub const WHOLE: u32 = 256;

/// What the writer knows of its rounds.
#[derive(Debug)]
pub(super) struct Rest {
    length: Duration,
    /// To be had before the next round.
    due: Option<Duration>,
    /// Whether rounds follow one another.
    is_busy: bool,
    /// Whether some pipe was so full that there is no time for a rest.
    is_flooded: bool,
}

impl Rest {
    pub fn new() -> Rest {
        Rest { length: SHORT, due: None, is_busy: false, is_flooded: false }
    }

    /// A round is over in which the fullest pipe had this share of its room taken.
    pub fn after(&mut self, share: u32) {
        self.is_flooded = share >= MUCH;
        self.due = (self.is_busy && (1..MUCH).contains(&share)).then_some(self.length);
        if self.due.is_none() {
            self.length = SHORT;
        } else if share < LITTLE {
            self.length = (self.length * 2).min(LONG);
        }
    }

    /// The rest that is due now.
    pub fn take(&mut self) -> Option<Duration> {
        self.due.take()
    }

    /// Whether more is expected at once.
    pub fn expects_more(&self) -> bool {
        self.is_busy || self.is_flooded
    }

    /// After the rest it took so long until something came.
    pub fn waited(&mut self, time: Duration) {
        self.is_busy = time < SOON;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_comes_alone_costs_no_rest() {
        let mut rest = Rest::new();
        for _ in 0..9 {
            rest.after(1);
            assert_eq!(rest.take(), None);
            rest.waited(SOON);
        }
    }

    #[test]
    fn rounds_that_follow_one_another_come_to_have_long_rests() {
        let mut rest = Rest::new();
        let mut lengths = Vec::new();
        for _ in 0..9 {
            rest.waited(Duration::ZERO);
            rest.after(LITTLE - 1);
            lengths.extend(rest.take());
            assert_eq!(rest.take(), None, "once");
        }
        assert!(lengths.is_sorted() && lengths[0] == SHORT && lengths[8] == LONG, "{lengths:?}");
        rest.waited(SOON);
        rest.after(1);
        assert_eq!(rest.take(), None, "the last of them");
        rest.waited(Duration::ZERO);
        rest.after(1);
        assert_eq!(rest.take(), Some(SHORT), "after a silence it begins anew");
    }

    #[test]
    fn a_pipe_that_fills_is_not_kept_waiting() {
        let mut rest = Rest::new();
        rest.waited(Duration::ZERO);
        rest.after(MUCH);
        assert!(rest.take().is_none() && rest.expects_more());
        for _ in 0..9 {
            rest.waited(Duration::ZERO);
            rest.after(LITTLE);
            assert_eq!(rest.take(), Some(SHORT), "what has more than a little gets no longer rests");
        }
        rest.after(0);
        assert_eq!(rest.take(), None, "nothing was taken");
    }
}
