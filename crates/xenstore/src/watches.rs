//! The watches a session keeps up.

use std::collections::{BTreeMap, BTreeSet};

use crate::{Event, path};

/// Watched paths by token.
#[derive(Debug, Default)]
pub(crate) struct Watches {
    paths: BTreeMap<String, BTreeSet<String>>,
}

impl Watches {
    /// Adds one; false if it is there.
    pub(crate) fn insert(&mut self, path: &str, token: &str) -> bool {
        self.paths.entry(token.to_owned()).or_default().insert(path.to_owned())
    }

    /// Removes one; false if it is not there.
    pub(crate) fn remove(&mut self, path: &str, token: &str) -> bool {
        let Some(paths) = self.paths.get_mut(token) else { return false };
        let was_there = paths.remove(path);
        if paths.is_empty() {
            self.paths.remove(token);
        }
        was_there
    }

    /// Every path and token.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.paths.iter().flat_map(|(token, paths)| paths.iter().map(|path| (path.as_str(), token.as_str())))
    }

    /// Whether one of them can have reported `event`.
    pub(crate) fn explain(&self, event: &Event) -> bool {
        let Some(paths) = self.paths.get(&event.token) else { return false };
        std::iter::successors(Some(event.path.as_str()), |path| path::parent(path)).any(|path| paths.contains(path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(path: &str, token: &str) -> Event {
        Event { path: path.into(), token: token.into() }
    }

    #[test]
    fn an_event_is_explained_by_a_watch_at_or_above_with_its_token() {
        let mut watches = Watches::default();
        assert!(watches.insert("/a/b", "t"));
        assert!(watches.insert("@releaseDomain", "d"));
        for (path, token) in [("/a/b", "t"), ("/a/b/c/d", "t"), ("@releaseDomain", "d"), ("@releaseDomain/5", "d")] {
            assert!(watches.explain(&event(path, token)), "{path} {token}");
        }
        for (path, token) in [("/a", "t"), ("/a/bc", "t"), ("/a/b", "x"), ("@introduceDomain", "d"), ("/", "t")] {
            assert!(!watches.explain(&event(path, token)), "{path} {token}");
        }
        assert!(watches.insert("/", "t"));
        assert!(watches.explain(&event("/x", "t")) && watches.explain(&event("/", "t")));
    }

    #[test]
    fn each_pair_is_kept_once() {
        let mut watches = Watches::default();
        assert!(watches.insert("/a", "t") && watches.insert("/b", "t") && watches.insert("/a", "u"));
        assert!(!watches.insert("/a", "t"));
        assert_eq!(watches.iter().collect::<Vec<_>>(), [("/a", "t"), ("/b", "t"), ("/a", "u")]);
        assert!(watches.remove("/a", "t"));
        assert!(!watches.remove("/a", "t") && !watches.remove("/a", "x"));
        assert_eq!(watches.iter().count(), 2);
    }
}
