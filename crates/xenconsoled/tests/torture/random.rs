//! Random numbers that can be had again: a torture that failed is repeated with its seed.

use std::time::Duration;

/// A generator (SplitMix64, Steele, Lea and Flood 2014).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    /// Another one, that has nothing to do with this one but comes of the same seed.
    pub fn fork(&self, number: u64) -> Random {
        Random(mix(self.0 ^ mix(number.wrapping_add(1))))
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number below a bound, which is not 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// True once in so many times.
    pub fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// A size from 1 to 2^`power`, each order of magnitude as likely as any other.
    pub fn size(&mut self, power: u32) -> usize {
        let order = self.below(u64::from(power) + 1);
        let size = (1u64 << order) - self.below((1 << order) / 2 + 1);
        usize::try_from(size).unwrap()
    }

    /// A time below a bound, to the microsecond.
    pub fn time(&mut self, bound: Duration) -> Duration {
        let bound = u64::try_from(bound.as_micros()).unwrap();
        Duration::from_micros(self.below(bound.max(1)))
    }

    /// Another order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = usize::try_from(self.below(last as u64 + 1)).unwrap();
            items.swap(last, other);
        }
    }
}

/// The generator's mixing function, for values that have to be found again by their number.
pub fn mix(mut value: u64) -> u64 {
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}
