//! Numbers that nobody else has.

use std::hash::{BuildHasher, RandomState};

/// 64 random bits, other ones at each call. `RandomState` is seeded by the system and differs from call to call; the
/// process id goes in so that forked processes, which inherit the seed, differ too.
pub(crate) fn unique() -> u64 {
    RandomState::new().hash_one(std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_are_the_same() {
        let numbers: std::collections::HashSet<u64> = (0..1000).map(|_| unique()).collect();
        assert_eq!(numbers.len(), 1000);
    }
}
