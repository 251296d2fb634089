//! The store itself, without I/O: messages of peers in, messages for peers out.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::Limits;
use super::call::Call;
use super::change::{Change, Fired};
use super::outbox::Outbox;
use super::transaction::Transaction;
use super::tree::Tree;
use super::watches::{PeerId, Watches};
use crate::wire::{Kind, Message, PAYLOAD_MAX};
use crate::{Access, Errno, Perm, path};

/// What all connections share.
#[derive(Debug)]
pub(super) struct Store {
    limits: Limits,
    tree: Tree,
    watches: Watches,
    peers: BTreeMap<PeerId, Peer>,
    domains: BTreeSet<u32>,
    /// Permissions of the special nodes; without an entry domain 0 alone may watch.
    special: HashMap<String, Vec<Perm>>,
    generation: u64,
}

/// One connection.
#[derive(Debug)]
struct Peer {
    domid: u32,
    transactions: HashMap<u32, Transaction>,
    last_transaction: u32,
    out: Outbox,
}

impl Store {
    pub(super) fn new(limits: Limits) -> Self {
        let mut tree = Tree::new();
        tree.write("/tool/xenstored", None, None, 0);
        Store {
            limits,
            tree,
            watches: Watches::default(),
            peers: BTreeMap::new(),
            domains: BTreeSet::from([0]),
            special: HashMap::new(),
            generation: 0,
        }
    }

    pub(super) fn connect(&mut self, id: PeerId, domid: u32) {
        let peer = Peer { domid, transactions: HashMap::new(), last_transaction: 0, out: Outbox::default() };
        self.peers.insert(id, peer);
    }

    pub(super) fn disconnect(&mut self, id: PeerId) {
        self.watches.remove_all(id);
        self.peers.remove(&id);
    }

    /// What is to be sent to a peer.
    pub(super) fn outbox(&mut self, id: PeerId) -> Option<&mut Outbox> {
        self.peers.get_mut(&id).map(|peer| &mut peer.out)
    }

    /// Carries a request out; its reply, and events for whom it concerns, are in the outboxes then.
    pub(super) fn receive(&mut self, id: PeerId, message: &Message) {
        let mut after = After::default();
        let result = Call::decode(message).and_then(|call| self.call(id, message.tx, call, &mut after));
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let (kind, payload) = match result {
            Ok(payload) if payload.len() > PAYLOAD_MAX => (Kind::ERROR, b"E2BIG\0".to_vec()),
            Ok(payload) => (message.kind, payload),
            Err(errno) => (Kind::ERROR, format!("{}\0", errno.name()).into_bytes()),
        };
        peer.out.push_reply(&Message { kind, request: message.request, tx: message.tx, payload });
        // A watch's first event comes after its OK; and so do the events of a change, for him who made it.
        if let Some((path, token)) = after.first {
            peer.out.push_event(&path, &token);
        }
        for fired in after.fired {
            self.watches.fire(&fired, |to, path, token| {
                if let Some(peer) = self.peers.get_mut(&to) {
                    peer.out.push_event(path, token);
                }
            });
        }
    }

    fn call(&mut self, id: PeerId, tx: u32, call: Call<'_>, after: &mut After) -> Result<Vec<u8>, Errno> {
        let peer = self.peers.get_mut(&id).ok_or(Errno::Einval)?;
        let domid = peer.domid;
        match call {
            Call::Directory { path } => {
                let path = self.node_path(domid, path)?;
                Ok(list(&self.look(id, tx, &path)?.children))
            }
            Call::DirectoryPart { path, offset } => {
                let path = self.node_path(domid, path)?;
                let node = self.look(id, tx, &path)?;
                Ok(part(node.generation, &list(&node.children), offset))
            }
            Call::Read { path } => {
                let path = self.node_path(domid, path)?;
                Ok(self.look(id, tx, &path)?.value.clone())
            }
            Call::GetPerms { path } if path.starts_with('@') => Ok(perms_text(&self.special_perms(path))),
            Call::GetPerms { path } => {
                let path = self.node_path(domid, path)?;
                Ok(perms_text(&self.look(id, tx, &path)?.perms))
            }
            Call::Write { path, value } => {
                let path = self.node_path(domid, path)?;
                self.change(id, tx, Change::Write { path, value: value.to_vec() }, after)
            }
            Call::Mkdir { path } => {
                let path = self.node_path(domid, path)?;
                self.change(id, tx, Change::Mkdir { path }, after)
            }
            Call::Rm { path } => {
                let path = self.node_path(domid, path)?;
                self.change(id, tx, Change::Rm { path }, after)
            }
            Call::SetPerms { path, perms } if path.starts_with('@') => {
                privileged(domid)?;
                self.special.insert(path.to_owned(), perms);
                ok()
            }
            Call::SetPerms { path, perms } => {
                let path = self.node_path(domid, path)?;
                self.change(id, tx, Change::SetPerms { path, perms }, after)
            }
            Call::Watch { path, token } => {
                let full = self.watch_path(domid, path)?;
                if self.watches.count(id) >= self.limits.watches {
                    return Err(Errno::E2big);
                }
                self.watches.add(id, domid, &full, token, full.len() - path.len())?;
                after.first = Some((path.to_owned(), token.to_owned()));
                ok()
            }
            Call::Unwatch { path, token } => {
                let path = self.watch_path(domid, path)?;
                self.watches.remove(id, &path, token)?;
                ok()
            }
            Call::ResetWatches => {
                peer.transactions.clear();
                self.watches.remove_all(id);
                ok()
            }
            Call::TransactionStart if tx != 0 => Err(Errno::Ebusy),
            Call::TransactionStart => {
                if peer.transactions.len() >= self.limits.transactions {
                    return Err(Errno::Enospc);
                }
                peer.last_transaction = peer.last_transaction.checked_add(1).ok_or(Errno::Enospc)?;
                peer.transactions.insert(peer.last_transaction, Transaction::new(&self.tree));
                Ok(format!("{}\0", peer.last_transaction).into_bytes())
            }
            Call::TransactionEnd { commit } => {
                let transaction = peer.transactions.remove(&tx).ok_or(Errno::Enoent)?;
                if commit {
                    self.generation += 1;
                    after.fired = transaction.commit(&mut self.tree, domid, &self.limits, self.generation)?;
                }
                ok()
            }
            Call::Introduce { domid: new } => {
                privileged(domid)?;
                if self.domains.insert(new) {
                    after.fired.push(self.special_fired("@introduceDomain"));
                }
                ok()
            }
            Call::Release { domid: gone } => {
                privileged(domid)?;
                if gone == 0 || !self.domains.remove(&gone) {
                    return Err(Errno::Enoent);
                }
                after.fired.push(self.special_fired("@releaseDomain"));
                ok()
            }
            Call::IsDomainIntroduced { domid: asked } => {
                privileged(domid)?;
                Ok(if self.domains.contains(&asked) { b"T\0".to_vec() } else { b"F\0".to_vec() })
            }
            Call::GetDomainPath { domid } => Ok(format!("/local/domain/{domid}\0").into_bytes()),
        }
    }

    /// The node at `path` in the tree that `tx` sees, if the peer may read it.
    fn look(&mut self, id: PeerId, tx: u32, path: &str) -> Result<&super::tree::Node, Errno> {
        let peer = self.peers.get_mut(&id).ok_or(Errno::Einval)?;
        let tree = if tx == 0 {
            &self.tree
        } else {
            let transaction = peer.transactions.get_mut(&tx).ok_or(Errno::Enoent)?;
            transaction.note_read(path);
            &transaction.tree
        };
        if !tree.nearest(path).access(peer.domid).reads() {
            return Err(Errno::Eacces);
        }
        tree.get(path).ok_or(Errno::Enoent)
    }

    fn change(&mut self, id: PeerId, tx: u32, change: Change, after: &mut After) -> Result<Vec<u8>, Errno> {
        let peer = self.peers.get_mut(&id).ok_or(Errno::Einval)?;
        self.generation += 1;
        if tx == 0 {
            change.apply(&mut self.tree, peer.domid, &self.limits, self.generation, &mut after.fired)?;
        } else {
            let transaction = peer.transactions.get_mut(&tx).ok_or(Errno::Enoent)?;
            transaction.apply(change, peer.domid, &self.limits, self.generation)?;
        }
        ok()
    }

    /// The absolute path: one that does not begin with `/` is below the home of the peer's domain.
    fn node_path(&self, domid: u32, path: &str) -> Result<String, Errno> {
        let full = if path.starts_with('/') { path.to_owned() } else { format!("/local/domain/{domid}/{path}") };
        match path::check(&full) {
            Ok(()) if full.len() <= self.limits.path => Ok(full),
            _ => Err(Errno::Einval),
        }
    }

    fn watch_path(&self, domid: u32, path: &str) -> Result<String, Errno> {
        if path.starts_with('@') {
            return path::check_watch(path).map(|()| path.to_owned()).map_err(|_| Errno::Einval);
        }
        self.node_path(domid, path)
    }

    fn special_perms(&self, path: &str) -> Vec<Perm> {
        self.special.get(path).cloned().unwrap_or_else(|| vec![Perm::new(Access::None, 0)])
    }

    fn special_fired(&self, path: &str) -> Fired {
        Fired { path: path.to_owned(), is_exact: true, readable_by: vec![self.special_perms(path)] }
    }
}

/// What follows the reply to a request.
#[derive(Debug, Default)]
struct After {
    /// The first event of a new watch: path and token.
    first: Option<(String, String)>,
    fired: Vec<Fired>,
}

fn ok() -> Result<Vec<u8>, Errno> {
    Ok(b"OK\0".to_vec())
}

fn privileged(domid: u32) -> Result<(), Errno> {
    if domid == 0 { Ok(()) } else { Err(Errno::Eacces) }
}

fn list<T>(children: &BTreeMap<String, T>) -> Vec<u8> {
    children.keys().flat_map(|name| name.bytes().chain([0])).collect()
}

fn perms_text(perms: &[Perm]) -> Vec<u8> {
    perms.iter().map(|perm| format!("{perm}\0")).collect::<String>().into_bytes()
}

/// The reply to DIRECTORY_PART: generation, whole names from `offset` on as far as they fit, an empty one at the end.
fn part(generation: u64, list: &[u8], offset: usize) -> Vec<u8> {
    let mut reply = format!("{generation}\0").into_bytes();
    let rest = list.get(offset..).unwrap_or_default();
    let room = PAYLOAD_MAX - reply.len() - 1;
    let fitting = if rest.len() <= room {
        rest.len()
    } else {
        rest[..room].iter().rposition(|&byte| byte == 0).map_or(0, |end| end + 1)
    };
    reply.extend_from_slice(&rest[..fitting]);
    if fitting == rest.len() {
        reply.push(0);
    }
    reply
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Decoder;
    use crate::{Request, TxId};

    const PEER: PeerId = PeerId(1);

    fn store() -> Store {
        let mut store = Store::new(Limits::default());
        store.connect(PEER, 0);
        store
    }

    /// Sends a request and gives all that comes out for the peer.
    fn ask(store: &mut Store, request: Request<'_>) -> Vec<Message> {
        let mut bytes = Vec::new();
        request.encode(1, TxId::NONE, &mut bytes).unwrap();
        let message = Decoder::new().next(&mut &bytes[..]).unwrap().unwrap();
        store.receive(PEER, &message);
        let mut out = Vec::new();
        let outbox = store.outbox(PEER).unwrap();
        while !outbox.front().is_empty() {
            let mut front = outbox.front();
            let length = front.len();
            out.push(Decoder::new().next(&mut front).unwrap().unwrap());
            outbox.advance(length);
        }
        out
    }

    #[test]
    fn a_reply_comes_before_the_events_of_its_request() {
        let mut store = store();
        let out = ask(&mut store, Request::Watch { path: "/a", token: "t" });
        assert_eq!(out.iter().map(|message| message.kind).collect::<Vec<_>>(), [Kind::WATCH, Kind::WATCH_EVENT]);
        let out = ask(&mut store, Request::Write { path: "/a/b", value: b"1" });
        assert_eq!(out.iter().map(|message| message.kind).collect::<Vec<_>>(), [Kind::WRITE, Kind::WATCH_EVENT]);
        assert_eq!(out[1].payload, b"/a/b\0t\0");
    }

    #[test]
    fn a_list_beyond_one_message_is_refused_as_a_whole() {
        let mut store = store();
        for number in 0..500 {
            ask(&mut store, Request::Mkdir { path: &format!("/a/child{number:03}") });
        }
        let out = ask(&mut store, Request::Directory { path: "/a" });
        assert_eq!((out[0].kind, &out[0].payload[..]), (Kind::ERROR, &b"E2BIG\0"[..]));
    }

    #[test]
    fn parts_hold_whole_names_and_end_with_an_empty_one() {
        let list: Vec<u8> = (0..1000).flat_map(|number| format!("child{number:03}\0").into_bytes()).collect();
        let mut offset = 0;
        loop {
            let part = part(7, &list, offset);
            assert!(part.len() <= PAYLOAD_MAX && part.starts_with(b"7\0"));
            let names = &part[2..];
            if names.ends_with(&[0, 0]) {
                offset += names.len() - 1;
                break;
            }
            assert_eq!(names.len() % 9, 0, "a name was cut");
            assert!(names.len() > 4000, "room was left");
            offset += names.len();
        }
        assert_eq!(offset, list.len());
        assert_eq!(part(7, &list, offset), b"7\0\0");
        assert_eq!(part(7, &list, usize::MAX), b"7\0\0");
    }

    #[test]
    fn a_peer_that_is_gone_leaves_nothing() {
        let mut store = store();
        ask(&mut store, Request::Watch { path: "/a", token: "t" });
        ask(&mut store, Request::TransactionStart);
        store.disconnect(PEER);
        assert!(store.outbox(PEER).is_none() && store.peers.is_empty());
        assert_eq!(store.watches.count(PEER), 0);
    }
}
