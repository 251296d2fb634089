//! The nodes. A tree is copied in no time: copies share what is the same in both.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::{Access, Perm, path};

/// One node and all below it.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) value: Vec<u8>,
    pub(super) perms: Vec<Perm>,
    pub(super) children: BTreeMap<String, Arc<Node>>,
    /// Another number after each change of the value, the permissions or the list of children.
    pub(super) generation: u64,
}

/// The nodes from `/` on.
#[derive(Debug, Clone)]
pub(super) struct Tree {
    root: Arc<Node>,
    count: usize,
}

impl Tree {
    /// A tree of `/` alone, which domain 0 owns and nobody else may read.
    pub(super) fn new() -> Self {
        let perms = vec![Perm::new(Access::None, 0)];
        let root = Node { value: Vec::new(), perms, children: BTreeMap::new(), generation: 0 };
        Tree { root: Arc::new(root), count: 1 }
    }

    /// How many nodes there are.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// The node at `path`.
    pub(super) fn get(&self, path: &str) -> Option<&Node> {
        names(path).try_fold(&*self.root, |node, name| node.children.get(name).map(|child| &**child))
    }

    /// The node at `path`, or the nearest that is there above it.
    pub(super) fn nearest(&self, path: &str) -> &Node {
        let mut node = &*self.root;
        for name in names(path) {
            match node.children.get(name) {
                Some(child) => node = child,
                None => break,
            }
        }
        node
    }

    /// Sets a value; makes the node, and those above it, where missing. New nodes get `generation`, the permissions
    /// of the node above, and `owner` as their owner if one is given.
    pub(super) fn write(&mut self, path: &str, value: Option<&[u8]>, owner: Option<u32>, generation: u64) {
        let mut node = Arc::make_mut(&mut self.root);
        for name in names(path) {
            if !node.children.contains_key(name) {
                node.generation = generation;
                let mut perms = node.perms.clone();
                if let (Some(owner), Some(first)) = (owner, perms.first_mut()) {
                    first.domid = owner;
                }
                let child = Node { value: Vec::new(), perms, children: BTreeMap::new(), generation };
                node.children.insert(name.to_owned(), Arc::new(child));
                self.count += 1;
            }
            let Some(child) = node.children.get_mut(name) else { return };
            node = Arc::make_mut(child);
        }
        if let Some(value) = value {
            node.value = value.to_vec();
            node.generation = generation;
        }
    }

    /// Sets the permissions of a node that is there.
    pub(super) fn set_perms(&mut self, path: &str, perms: &[Perm], generation: u64) {
        if let Some(node) = self.get_mut(path) {
            node.perms = perms.to_vec();
            node.generation = generation;
        }
    }

    /// Takes a node and all below it out.
    pub(super) fn remove(&mut self, path: &str, generation: u64) -> Option<Arc<Node>> {
        let above = self.get_mut(path::parent(path)?)?;
        let removed = above.children.remove(path.rsplit_once('/')?.1)?;
        above.generation = generation;
        self.count -= removed.count();
        Some(removed)
    }

    fn get_mut(&mut self, path: &str) -> Option<&mut Node> {
        // Looked up first, so that nothing is copied for a node that is not there.
        self.get(path)?;
        let mut node = Arc::make_mut(&mut self.root);
        for name in names(path) {
            node = Arc::make_mut(node.children.get_mut(name)?);
        }
        Some(node)
    }
}

impl Node {
    /// What `domid` may do: domain 0 and the owner everything.
    pub(super) fn access(&self, domid: u32) -> Access {
        access(&self.perms, domid)
    }

    /// How many nodes there are, with this one.
    fn count(&self) -> usize {
        1 + self.children.values().map(|child| child.count()).sum::<usize>()
    }

    /// Calls `each` with the path of every node below, itself at `path`, children before their parents.
    pub(super) fn visit_below(&self, path: &str, each: &mut impl FnMut(&str, &Node)) {
        for (name, child) in &self.children {
            let child_path = format!("{path}/{name}");
            child.visit_below(&child_path, each);
            each(&child_path, child);
        }
    }
}

/// What a node's permissions let `domid` do.
pub(super) fn access(perms: &[Perm], domid: u32) -> Access {
    let Some(owner) = perms.first() else { return Access::None };
    if domid == 0 || domid == owner.domid {
        return Access::Both;
    }
    perms[1..].iter().find(|perm| perm.domid == domid).map_or(owner.access, |perm| perm.access)
}

fn names(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_does_not_change_with_its_original() {
        let mut tree = Tree::new();
        tree.write("/a/b", Some(b"1"), None, 1);
        let copy = tree.clone();
        tree.write("/a/b", Some(b"2"), None, 2);
        tree.write("/a/c", None, None, 3);
        assert_eq!(copy.get("/a/b").unwrap().value, b"1");
        assert!(copy.get("/a/c").is_none());
        assert_eq!(tree.get("/a/b").unwrap().value, b"2");
    }

    #[test]
    fn a_new_child_changes_its_parent_and_no_other() {
        let mut tree = Tree::new();
        tree.write("/a/b", Some(b"1"), None, 1);
        tree.write("/a/b/c", None, None, 2);
        assert_eq!(tree.get("/a").unwrap().generation, 1);
        assert_eq!(tree.get("/a/b").unwrap().generation, 2);
        tree.write("/a/b/c", None, None, 3);
        assert_eq!(tree.get("/a/b").unwrap().generation, 2, "mkdir of what is there changes nothing");
        assert!(tree.remove("/a/b/c", 4).is_some());
        assert_eq!(tree.get("/a/b").unwrap().generation, 4);
        assert!(tree.remove("/a/b/c", 5).is_none() && tree.remove("/", 5).is_none());
    }

    #[test]
    fn children_inherit_and_unprivileged_creators_own() {
        let mut tree = Tree::new();
        tree.write("/a", None, None, 1);
        tree.set_perms("/a", &[Perm::new(Access::Read, 0), Perm::new(Access::Both, 5)], 2);
        tree.write("/a/b/c", None, Some(5), 3);
        assert_eq!(tree.get("/a/b/c").unwrap().perms, [Perm::new(Access::Read, 5), Perm::new(Access::Both, 5)]);
    }

    #[test]
    fn access_is_of_owner_entry_or_default() {
        let mut tree = Tree::new();
        tree.write("/a", None, None, 1);
        tree.set_perms("/a", &[Perm::new(Access::Read, 3), Perm::new(Access::None, 5)], 2);
        let node = tree.get("/a").unwrap();
        assert_eq!(node.access(0), Access::Both);
        assert_eq!(node.access(3), Access::Both);
        assert_eq!(node.access(5), Access::None);
        assert_eq!(node.access(6), Access::Read);
    }

    #[test]
    fn counting_and_visiting() {
        let mut tree = Tree::new();
        tree.write("/a/b/c", None, None, 1);
        tree.write("/a/d", None, None, 1);
        assert_eq!(tree.count(), 5);
        let mut seen = Vec::new();
        tree.get("/a").unwrap().visit_below("/a", &mut |path, _| seen.push(path.to_owned()));
        assert_eq!(seen, ["/a/b/c", "/a/b", "/a/d"]);
        assert_eq!(tree.nearest("/a/x/y").count(), 4);
        tree.remove("/a/b", 2);
        assert_eq!(tree.count(), 3);
    }
}
