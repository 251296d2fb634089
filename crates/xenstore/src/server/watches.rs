//! Who is told of what.

use std::collections::HashMap;

use super::change::Fired;
use super::tree::access;
use crate::{Errno, path};

/// Names one connection to the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct PeerId(pub(super) u64);

#[derive(Debug)]
struct Watch {
    peer: PeerId,
    domid: u32,
    token: String,
    /// Bytes at the front of a path that the peer does not see: it gave a path relative to its domain's home.
    hidden: usize,
}

/// All watches of all peers, by the node they are on.
#[derive(Debug, Default)]
pub(super) struct Watches {
    by_path: HashMap<String, Vec<Watch>>,
}

impl Watches {
    pub(super) fn add(
        &mut self,
        peer: PeerId,
        domid: u32,
        path: &str,
        token: &str,
        hidden: usize,
    ) -> Result<(), Errno> {
        let watches = self.by_path.entry(path.to_owned()).or_default();
        if watches.iter().any(|watch| watch.peer == peer && watch.token == token) {
            return Err(Errno::Eexist);
        }
        watches.push(Watch { peer, domid, token: token.to_owned(), hidden });
        Ok(())
    }

    pub(super) fn remove(&mut self, peer: PeerId, path: &str, token: &str) -> Result<(), Errno> {
        let watches = self.by_path.get_mut(path).ok_or(Errno::Enoent)?;
        let place = watches.iter().position(|watch| watch.peer == peer && watch.token == token).ok_or(Errno::Enoent)?;
        watches.remove(place);
        if watches.is_empty() {
            self.by_path.remove(path);
        }
        Ok(())
    }

    pub(super) fn remove_all(&mut self, peer: PeerId) {
        self.by_path.retain(|_, watches| {
            watches.retain(|watch| watch.peer != peer);
            !watches.is_empty()
        });
    }

    pub(super) fn count(&self, peer: PeerId) -> usize {
        self.by_path.values().flatten().filter(|watch| watch.peer == peer).count()
    }

    /// Calls `tell` with peer, path and token of each watch that is to report `fired`.
    pub(super) fn fire(&self, fired: &Fired, mut tell: impl FnMut(PeerId, &str, &str)) {
        let mut watched = Some(fired.path.as_str());
        while let Some(path) = watched {
            for watch in self.by_path.get(path).into_iter().flatten() {
                if fired.readable_by.iter().any(|perms| access(perms, watch.domid).reads()) {
                    tell(watch.peer, &fired.path[watch.hidden..], &watch.token);
                }
            }
            watched = if fired.is_exact { None } else { path::parent(path) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Access, Perm};

    const HOST: PeerId = PeerId(1);
    const GUEST: PeerId = PeerId(2);

    fn told(watches: &Watches, path: &str, is_exact: bool) -> Vec<String> {
        let readable_by = vec![vec![Perm::new(Access::None, 0)]];
        let mut told = Vec::new();
        watches.fire(&Fired { path: path.into(), is_exact, readable_by }, |PeerId(peer), path, token| {
            told.push(format!("{peer} {path} {token}"));
        });
        told
    }

    #[test]
    fn watches_on_the_node_and_above_hear_of_it() {
        let mut watches = Watches::default();
        for path in ["/", "/a", "/a/b", "/a/b/c", "/ab"] {
            watches.add(HOST, 0, path, path, 0).unwrap();
        }
        assert_eq!(told(&watches, "/a/b", false), ["1 /a/b /a/b", "1 /a/b /a", "1 /a/b /"]);
        assert_eq!(told(&watches, "/a/b", true), ["1 /a/b /a/b"]);
    }

    #[test]
    fn nobody_hears_of_what_he_may_not_read() {
        let mut watches = Watches::default();
        watches.add(GUEST, 5, "/a", "t", 0).unwrap();
        assert!(told(&watches, "/a", false).is_empty());
        let fired = Fired { path: "/a".into(), is_exact: false, readable_by: vec![vec![Perm::new(Access::Read, 0)]] };
        let mut count = 0;
        watches.fire(&fired, |_, _, _| count += 1);
        assert_eq!(count, 1);
    }

    #[test]
    fn a_pair_is_added_once_and_goes_with_its_peer() {
        let mut watches = Watches::default();
        watches.add(HOST, 0, "/a", "t", 0).unwrap();
        assert_eq!(watches.add(HOST, 0, "/a", "t", 0), Err(Errno::Eexist));
        watches.add(GUEST, 5, "/a", "t", 0).unwrap();
        assert_eq!(watches.remove(HOST, "/a", "u"), Err(Errno::Enoent));
        assert_eq!((watches.count(HOST), watches.count(GUEST)), (1, 1));
        watches.remove_all(GUEST);
        assert_eq!((watches.count(HOST), watches.count(GUEST)), (1, 0));
        watches.remove(HOST, "/a", "t").unwrap();
        assert!(watches.by_path.is_empty());
    }
}
