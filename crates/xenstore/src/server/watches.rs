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
