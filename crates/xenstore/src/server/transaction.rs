//! Transactions: a copy of the tree as it was, what was read from it, and what is to be changed.

use std::collections::BTreeMap;

use super::Limits;
use super::change::{Change, Fired};
use super::tree::Tree;
use crate::Errno;

/// One transaction that is going on.
#[derive(Debug)]
pub(super) struct Transaction {
    /// The tree when it began.
    base: Tree,
    /// The tree as the transaction sees it.
    pub(super) tree: Tree,
    /// Generations of the nodes that were read, as they were in `base`; `None` for one that was not there.
    read: BTreeMap<String, Option<u64>>,
    changes: Vec<Change>,
}

impl Transaction {
    pub(super) fn new(tree: &Tree) -> Self {
        Transaction { base: tree.clone(), tree: tree.clone(), read: BTreeMap::new(), changes: Vec::new() }
    }

    /// Notes that the outcome depends on the node at `path`, unless only on what the transaction made of it.
    pub(super) fn note_read(&mut self, path: &str) {
        let generation = |tree: &Tree| tree.get(path).map(|node| node.generation);
        let before = generation(&self.base);
        if before == generation(&self.tree) {
            self.read.entry(path.to_owned()).or_insert(before);
        }
    }

    /// Carries a change out for this transaction alone.
    pub(super) fn apply(&mut self, change: Change, domid: u32, limits: &Limits, generation: u64) -> Result<(), Errno> {
        // A removal tells whether the node was there.
        if let Change::Rm { path } = &change {
            let path = path.clone();
            self.note_read(&path);
        }
        change.apply(&mut self.tree, domid, limits, generation, &mut Vec::new())?;
        self.changes.push(change);
        Ok(())
    }

    /// Carries all changes out on `tree`, or none of them when something that was read is another now.
    pub(super) fn commit(
        &self,
        tree: &mut Tree,
        domid: u32,
        limits: &Limits,
        generation: u64,
    ) -> Result<Vec<Fired>, Errno> {
        let is_stale = |(path, before): (&String, &Option<u64>)| tree.get(path).map(|node| node.generation) != *before;
        if self.read.iter().any(is_stale) {
            return Err(Errno::Eagain);
        }
        let mut changed = tree.clone();
        let mut fired = Vec::new();
        for change in &self.changes {
            change.apply(&mut changed, domid, limits, generation, &mut fired).map_err(|_| Errno::Eagain)?;
        }
        *tree = changed;
        Ok(fired)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(path: &str, value: &str) -> Change {
        Change::Write { path: path.into(), value: value.into() }
    }

    fn apply(tree: &mut Tree, change: &Change, generation: u64) {
        change.apply(tree, 0, &Limits::default(), generation, &mut Vec::new()).unwrap();
    }

    #[test]
    fn nobody_sees_it_before_commit_and_all_of_it_after() {
        let mut tree = Tree::new();
        let mut transaction = Transaction::new(&tree);
        transaction.apply(write("/a", "1"), 0, &Limits::default(), 1).unwrap();
        transaction.apply(write("/b", "2"), 0, &Limits::default(), 2).unwrap();
        assert!(tree.get("/a").is_none());
        let fired = transaction.commit(&mut tree, 0, &Limits::default(), 3).unwrap();
        assert!(tree.get("/a").is_some() && tree.get("/b").is_some());
        assert_eq!(fired.iter().map(|fired| fired.path.as_str()).collect::<Vec<_>>(), ["/a", "/b"]);
    }

    #[test]
    fn what_was_read_and_is_another_now_is_a_conflict() {
        let mut tree = Tree::new();
        apply(&mut tree, &write("/a", "1"), 1);
        let mut transaction = Transaction::new(&tree);
        transaction.note_read("/a");
        transaction.apply(write("/b", "2"), 0, &Limits::default(), 2).unwrap();
        apply(&mut tree, &write("/a", "3"), 3);
        assert_eq!(transaction.commit(&mut tree, 0, &Limits::default(), 4).unwrap_err(), Errno::Eagain);
        assert!(tree.get("/b").is_none());
    }

    #[test]
    fn what_was_missing_and_is_there_now_is_a_conflict() {
        let mut tree = Tree::new();
        let mut transaction = Transaction::new(&tree);
        transaction.note_read("/a");
        apply(&mut tree, &write("/a", "1"), 1);
        assert_eq!(transaction.commit(&mut tree, 0, &Limits::default(), 2).unwrap_err(), Errno::Eagain);
    }

    #[test]
    fn changes_elsewhere_and_reading_ones_own_are_none() {
        let mut tree = Tree::new();
        let mut transaction = Transaction::new(&tree);
        transaction.apply(write("/a", "1"), 0, &Limits::default(), 1).unwrap();
        transaction.note_read("/a");
        apply(&mut tree, &write("/a", "2"), 2);
        apply(&mut tree, &write("/c", "3"), 3);
        transaction.commit(&mut tree, 0, &Limits::default(), 4).unwrap();
        assert_eq!(tree.get("/a").unwrap().value, b"1");
        assert_eq!(tree.get("/c").unwrap().value, b"3");
    }
}
