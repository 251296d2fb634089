//! What has to be looked at again. Events are merged here: a thousand changes of one entry are one look.

use std::collections::BTreeSet;

use logproto::{Change, EntryKey, Owner};

use crate::turns::Turns;

/// The owners and entries that changed since they were last looked at.
#[derive(Debug, Default)]
pub struct Dirty {
    everything: bool,
    owners: BTreeSet<Owner>,
    entries: Turns<()>,
    /// Entries of which only the answer changed.
    answers: Turns<()>,
}

impl Dirty {
    /// Notes a change.
    pub fn add(&mut self, change: Change) {
        match change {
            Change::Everything => self.everything = true,
            Change::Owner(owner) => {
                self.owners.insert(owner);
            }
            Change::Entry(key) => {
                self.answers.remove(&key);
                self.entries.add(key, ());
            }
            // Whoever looks at all of it sees the answer, too.
            Change::Answer(key) if self.entries.contains(&key) => {}
            Change::Answer(key) => self.answers.add(key, ()),
            Change::Nothing => {}
        }
    }

    /// Whether all owners have to be listed; asked once.
    pub fn take_everything(&mut self) -> bool {
        std::mem::take(&mut self.everything)
    }

    /// The next owner whose entries have to be listed.
    pub fn take_owner(&mut self) -> Option<Owner> {
        self.owners.pop_first()
    }

    /// Up to `most` entries that have to be read, of each owner in turn.
    pub fn take_entries(&mut self, most: usize) -> Vec<EntryKey> {
        std::iter::from_fn(|| self.entries.take()).take(most).map(|(key, ())| key).collect()
    }

    /// Whether there are entries to be read.
    pub fn has_entries(&self) -> bool {
        !self.entries.is_empty()
    }

    /// The next entry of which only the answer has to be read.
    pub fn take_answer(&mut self) -> Option<EntryKey> {
        self.answers.take().map(|(key, ())| key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_changes_of_one_entry_are_one_look() {
        let mut dirty = Dirty::default();
        for node in ["/state", "", "/pipe", "/file", "/state", "/pipe"] {
            dirty.add(Change::of(&format!("/libxl/5/logging/a{node}")));
        }
        dirty.add(Change::of("/libxl/5/device/vbd"));
        assert_eq!(dirty.take_entries(10).len(), 1);
        assert!(
            !dirty.has_entries()
                && dirty.take_answer().is_none()
                && dirty.take_owner().is_none()
                && !dirty.take_everything()
        );
    }

    /// Each answer was followed by a look at all of its entry: a third of what a store had to do for a new log.
    #[test]
    fn an_answer_is_not_a_look_at_all_of_it() {
        let mut dirty = Dirty::default();
        let state = || Change::of("/libxl/5/logging/a/state");
        dirty.add(state());
        assert!(!dirty.has_entries());
        let key = dirty.take_answer();
        assert_eq!((key.clone().map(Change::Answer), dirty.take_answer()), (Some(state()), None));
        // With anything else of it, in any order, all of it is.
        let whole = || Change::of("/libxl/5/logging/a/limit");
        for changes in [[state(), whole()], [whole(), state()]] {
            changes.into_iter().for_each(|change| dirty.add(change));
            assert_eq!((dirty.take_answer(), dirty.take_entries(9)), (None, key.clone().into_iter().collect()));
        }
    }

    #[test]
    fn entries_come_in_batches() {
        let mut dirty = Dirty::default();
        for id in 0..10 {
            dirty.add(Change::of(&format!("/libxl/logging/{id}")));
        }
        assert_eq!((dirty.take_entries(7).len(), dirty.take_entries(7).len(), dirty.take_entries(7).len()), (7, 3, 0));
    }
}
