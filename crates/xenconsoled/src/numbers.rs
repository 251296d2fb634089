//! Numbers that are given out and come back.

use std::collections::BTreeSet;

/// Gives out the smallest number that nobody has, below a bound.
#[derive(Debug)]
pub struct Numbers {
    taken: BTreeSet<u32>,
    bound: u32,
    /// No number below is free.
    from: u32,
}

impl Numbers {
    /// The numbers below `bound`, all free.
    pub fn below(bound: u32) -> Numbers {
        Numbers { taken: BTreeSet::new(), bound, from: 0 }
    }

    /// Somebody has this one already.
    pub fn mark_taken(&mut self, number: u32) {
        self.taken.insert(number);
    }

    /// The smallest that is free, if there is one.
    pub fn take(&mut self) -> Option<u32> {
        let number = (self.from..self.bound).find(|number| !self.taken.contains(number))?;
        self.from = number + 1;
        self.taken.insert(number);
        Some(number)
    }

    /// It is free again.
    pub fn give_back(&mut self, number: u32) {
        self.taken.remove(&number);
        self.from = self.from.min(number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_one_holder_and_the_smallest_comes_first() {
        let mut numbers = Numbers::below(4);
        numbers.mark_taken(1);
        assert_eq!([numbers.take(), numbers.take(), numbers.take(), numbers.take()], [Some(0), Some(2), Some(3), None]);
        numbers.give_back(2);
        numbers.give_back(0);
        assert_eq!([numbers.take(), numbers.take(), numbers.take()], [Some(0), Some(2), None]);
    }
}
