//! What one log may cost: a token bucket over its bytes.

use std::time::{Duration, Instant};

/// How fast a log may be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Bytes a second in the long run; 0: no bound.
    pub bytes: u64,
    /// Bytes at once after a silence.
    pub burst: u64,
}

/// The bytes that a log may still have.
#[derive(Debug)]
pub struct Budget {
    rate: Rate,
    left: u64,
    filled: Instant,
    /// All was spent, and not enough has come since.
    is_spent: bool,
}

/// A log over its budget is taken up again when so much may come: small bites would cost more than they move.
const BITE: u64 = 64 << 10;

impl Budget {
    /// A full bucket.
    pub fn new(rate: Rate, now: Instant) -> Budget {
        Budget { rate, left: rate.burst, filled: now, is_spent: rate.burst == 0 }
    }

    /// How many bytes may be taken now, or when some may.
    pub fn allow(&mut self, now: Instant) -> Result<u64, Instant> {
        if self.rate.bytes == 0 {
            return Ok(u64::MAX);
        }
        let elapsed = now.saturating_duration_since(self.filled);
        let new = u128::from(self.rate.bytes) * elapsed.as_micros() / 1_000_000;
        if new > 0 {
            let new = u64::try_from(new).unwrap_or(u64::MAX);
            (self.left, self.filled) = (self.left.saturating_add(new).min(self.rate.burst.max(BITE)), now);
        }
        self.is_spent &= self.left < BITE;
        if !self.is_spent {
            return Ok(self.left);
        }
        let wait = Duration::from_micros((BITE - self.left) * 1_000_000 / self.rate.bytes + 1);
        Err(self.filled + wait)
    }

    /// So many were taken.
    pub fn spend(&mut self, bytes: u64) {
        self.left = self.left.saturating_sub(bytes);
        self.is_spent |= self.left == 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_and_then_the_rate() {
        let mut now = Instant::now();
        let mut budget = Budget::new(Rate { bytes: 1 << 20, burst: 4 << 20 }, now);
        assert_eq!(budget.allow(now), Ok(4 << 20));
        budget.spend(4 << 20);
        let mut taken = 0;
        let end = now + Duration::from_secs(10);
        while now < end {
            match budget.allow(now) {
                Ok(bytes) => {
                    budget.spend(bytes);
                    taken += bytes;
                }
                Err(until) => now = until,
            }
        }
        let rate = taken / 10;
        assert!((1000 << 10..=(1 << 20) + BITE).contains(&rate), "{rate} bytes a second");
    }

    /// A log that is looked at all the time had the few bytes that had come since the last look, each time anew: it was never over
    /// its budget, so nothing was dropped, and whoever wrote to it waited.
    #[test]
    fn what_was_spent_comes_back_in_bites() {
        let start = Instant::now();
        let mut now = start;
        let mut budget = Budget::new(Rate { bytes: 1 << 20, burst: BITE }, now);
        budget.spend(BITE);
        while let Err(until) = budget.allow(now) {
            assert!(until > now);
            now += Duration::from_micros(300);
        }
        // A sixteenth of a second.
        assert!((62..=64).contains(&(now - start).as_millis()), "{:?}", now - start);
        assert_eq!(budget.allow(now), Ok(BITE));
        budget.spend(BITE / 2);
        assert!(budget.allow(now).is_ok(), "a bite may be taken in pieces");
    }

    #[test]
    fn without_a_rate_there_is_no_bound_and_a_silence_fills_no_more_than_the_burst() {
        let now = Instant::now();
        assert_eq!(Budget::new(Rate { bytes: 0, burst: 0 }, now).allow(now), Ok(u64::MAX));
        let mut budget = Budget::new(Rate { bytes: 1 << 30, burst: 1 << 20 }, now);
        assert_eq!(budget.allow(now + Duration::from_secs(3600)), Ok(1 << 20));
    }
}
