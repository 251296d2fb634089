//! Entries that wait, taken owner by owner in turn: one that has thousands of them holds up no other.

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::Arc;

use logproto::{EntryKey, Owner};

/// Entries that wait, each with what is to be remembered of it.
#[derive(Debug)]
pub struct Turns<T> {
    of: BTreeMap<Owner, BTreeMap<Arc<str>, T>>,
    last: Option<Owner>,
}

impl<T> Default for Turns<T> {
    fn default() -> Turns<T> {
        Turns { of: BTreeMap::new(), last: None }
    }
}

impl<T> Turns<T> {
    /// Lets an entry wait. One that does already keeps its place, with the new value.
    pub fn add(&mut self, key: EntryKey, value: T) {
        self.of.entry(key.owner).or_default().insert(key.name, value);
    }

    /// Takes one entry of the owner whose turn it is.
    pub fn take(&mut self) -> Option<(EntryKey, T)> {
        let after_last = self.last.and_then(|last| self.of.range((Excluded(last), Unbounded)).next());
        let owner = *after_last.or_else(|| self.of.iter().next())?.0;
        self.last = Some(owner);
        let entries = self.of.get_mut(&owner)?;
        let (name, value) = entries.pop_first()?;
        if entries.is_empty() {
            self.of.remove(&owner);
        }
        Some((EntryKey { owner, name }, value))
    }

    /// Lets an entry wait no longer.
    pub fn remove(&mut self, key: &EntryKey) {
        if let Some(entries) = self.of.get_mut(&key.owner) {
            entries.remove(&key.name);
            if entries.is_empty() {
                self.of.remove(&key.owner);
            }
        }
    }

    /// Whether this entry waits.
    pub fn contains(&self, key: &EntryKey) -> bool {
        self.of.get(&key.owner).is_some_and(|entries| entries.contains_key(&key.name))
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.of.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use logproto::DomId;

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
