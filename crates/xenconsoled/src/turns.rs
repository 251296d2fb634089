//! Entries that wait, taken owner by owner in turn: one that has thousands of them holds up no other.

use std::collections::BTreeMap;

use logproto::{DomId, EntryKey, Owner};

/// Entries that wait, each with what is to be remembered of it. In one tree: most owners have one, and one tree for each would be
/// mostly empty.
#[derive(Debug)]
pub struct Turns<T> {
    entries: BTreeMap<EntryKey, T>,
    last: Option<Owner>,
}

impl<T> Default for Turns<T> {
    fn default() -> Turns<T> {
        Turns { entries: BTreeMap::new(), last: None }
    }
}

impl<T> Turns<T> {
    /// Lets an entry wait. One that does already keeps its place, with the new value.
    pub fn add(&mut self, key: EntryKey, value: T) {
        self.entries.insert(key, value);
    }

    /// Takes one entry of the owner whose turn it is.
    pub fn take(&mut self) -> Option<(EntryKey, T)> {
        if self.entries.is_empty() {
            // Asked in every round of the main loop: without a key to be made for it.
            return None;
        }
        let after_last = self.last.and_then(after).and_then(|owner| {
            let first = EntryKey { owner, name: "".into() };
            self.entries.range(first..).next().map(|(key, _)| key.clone())
        });
        let (key, value) = match after_last {
            Some(key) => self.entries.remove_entry(&key)?,
            None => self.entries.pop_first()?,
        };
        self.last = Some(key.owner);
        Some((key, value))
    }

    /// Lets an entry wait no longer.
    pub fn remove(&mut self, key: &EntryKey) {
        self.entries.remove(key);
    }

    /// Whether this entry waits.
    pub fn contains(&self, key: &EntryKey) -> bool {
        self.entries.contains_key(key)
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

/// The next owner in order that there can be.
fn after(owner: Owner) -> Option<Owner> {
    let domid = match owner {
        Owner::Host => 0,
        Owner::Domain(domid) => domid.number() + 1,
    };
    DomId::new(domid).map(Owner::Domain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(domid: u16, name: &str) -> EntryKey {
        EntryKey { owner: Owner::Domain(DomId::new(domid).unwrap()), name: name.into() }
    }

    /// Ten thousand entries of one domain came before all those of the domains with higher numbers.
    #[test]
    fn each_owner_has_its_turn() {
        let mut turns = Turns::default();
        for name in ["a", "b", "c", "d"] {
            turns.add(key(5, name), 0);
        }
        turns.add(key(9, "a"), 1);
        turns.add(EntryKey { owner: Owner::Host, name: "a".into() }, 2);
        let mut taken = || turns.take().map(|(key, value)| (key.path(), value));
        assert_eq!(taken(), Some(("/libxl/logging/a".into(), 2)));
        assert_eq!(taken(), Some(("/libxl/5/logging/a".into(), 0)));
        assert_eq!(taken(), Some(("/libxl/9/logging/a".into(), 1)));
        assert_eq!(taken(), Some(("/libxl/5/logging/b".into(), 0)));
        turns.add(key(7, "a"), 3);
        turns.add(key(5, "c"), 4);
        assert!(turns.contains(&key(5, "c")) && !turns.contains(&key(5, "b")));
        let rest: Vec<u8> = std::iter::from_fn(|| turns.take()).map(|(_, value)| value).collect();
        assert_eq!((rest, turns.is_empty()), (vec![3, 4, 0], true));
    }
}
