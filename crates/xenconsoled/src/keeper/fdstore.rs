//! What is kept.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::notify::message::NAMES;

/// Descriptors by name, within bounds: never more than can be passed on.
#[derive(Debug)]
pub struct FdStore {
    by_name: BTreeMap<String, Vec<OwnedFd>>,
    count: usize,
    /// Of all names, each with what separates it from the next.
    bytes: usize,
    most: usize,
}

/// There is no room for more.
#[derive(Debug, PartialEq, Eq)]
pub struct Full;

impl FdStore {
    /// Nothing yet, and never more than `most`.
    pub fn at_most(most: usize) -> FdStore {
        FdStore { by_name: BTreeMap::new(), count: 0, bytes: 0, most }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// How many there may be.
    pub fn most(&self) -> usize {
        self.most
    }

    /// Keeps these, all or none.
    pub fn add(&mut self, name: &str, descriptors: Vec<OwnedFd>) -> Result<(), Full> {
        let bytes = descriptors.len() * (name.len() + 1);
        if self.count + descriptors.len() > self.most || self.bytes + bytes > NAMES {
            return Err(Full);
        }
        self.count += descriptors.len();
        self.bytes += bytes;
        if !descriptors.is_empty() {
            self.by_name.entry(name.to_owned()).or_default().extend(descriptors);
        }
        Ok(())
    }

    /// Closes all of this name.
    pub fn remove(&mut self, name: &str) {
        let closed = self.by_name.remove(name).map_or(0, |descriptors| descriptors.len());
        self.count -= closed;
        self.bytes -= closed * (name.len() + 1);
    }

    /// All of them: those of one name in the order in which they came.
    pub fn iter(&self) -> impl Iterator<Item = (&str, BorrowedFd<'_>)> {
        self.by_name.iter().flat_map(|(name, descriptors)| descriptors.iter().map(move |fd| (&name[..], fd.as_fd())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;

    fn some(count: usize) -> Vec<OwnedFd> {
        (0..count).map(|_| std::fs::File::open("/dev/null").unwrap().into()).collect()
    }

    #[test]
    fn names_may_repeat_and_are_removed_together() {
        let mut kept = FdStore::at_most(100);
        let [first, second, other] = [some(2), some(1), some(1)];
        let expected: Vec<_> = first.iter().chain(&second).map(AsRawFd::as_raw_fd).collect();
        kept.add("b", first).unwrap();
        kept.add("a", other).unwrap();
        kept.add("b", second).unwrap();
        let b: Vec<_> = kept.iter().filter(|(name, _)| *name == "b").map(|(_, fd)| fd.as_raw_fd()).collect();
        assert_eq!((kept.len(), b), (4, expected));
        kept.remove("b");
        kept.remove("nothing");
        assert_eq!((kept.len(), kept.iter().next().unwrap().0), (1, "a"));
        kept.remove("a");
        assert_eq!((kept.len(), kept.bytes, kept.by_name.len()), (0, 0, 0));
    }

    #[test]
    fn there_are_never_more_than_can_be_passed_on() {
        let mut kept = FdStore::at_most(3);
        kept.add("a", some(2)).unwrap();
        assert_eq!(kept.add("b", some(2)), Err(Full));
        kept.add("b", some(1)).unwrap();
        assert_eq!((kept.add("c", some(1)), kept.len()), (Err(Full), 3));
        let mut kept = FdStore::at_most(usize::MAX);
        for name in 0..NAMES / 256 {
            kept.add(&format!("{name:0255}"), some(1)).unwrap();
        }
        assert_eq!(kept.add(&"x".repeat(255), some(1)), Err(Full));
        kept.remove(&format!("{:0255}", 7));
        assert_eq!(kept.add(&"x".repeat(255), some(1)), Ok(()));
    }

    #[test]
    fn nothing_is_kept_of_nothing() {
        let mut kept = FdStore::at_most(1);
        kept.add("a", Vec::new()).unwrap();
        assert!(kept.by_name.is_empty(), "a flood of names without descriptors costs nothing");
    }
}
