//! Changes of the tree: checked against permissions and limits, carried out, and told to watches.

use super::Limits;
use super::tree::{Node, Tree};
use crate::{Errno, Perm, path};

/// What can be changed.
#[derive(Debug, Clone)]
pub(super) enum Change {
    Write { path: String, value: Vec<u8> },
    Mkdir { path: String },
    Rm { path: String },
    SetPerms { path: String, perms: Vec<Perm> },
}

/// A change that watches are to be told of.
#[derive(Debug)]
pub(super) struct Fired {
    pub(super) path: String,
    /// Only watches on the node itself hear of it: it went with a node above, of which the others hear.
    pub(super) is_exact: bool,
    /// Permissions of the node before and after and of the node above: who may read one of them may hear of it.
    pub(super) readable_by: Vec<Vec<Perm>>,
}

impl Change {
    pub(super) fn path(&self) -> &str {
        match self {
            Change::Write { path, .. }
            | Change::Mkdir { path }
            | Change::Rm { path }
            | Change::SetPerms { path, .. } => path,
        }
    }

    /// Carries the change out for `domid`. `fired` gets what watches are to be told.
    pub(super) fn apply(
        &self,
        tree: &mut Tree,
        domid: u32,
        limits: &Limits,
        generation: u64,
        fired: &mut Vec<Fired>,
    ) -> Result<(), Errno> {
        let path = self.path();
        let old = tree.get(path).map(|node| node.perms.clone());
        if !tree.nearest(path).access(domid).writes() {
            return Err(Errno::Eacces);
        }
        let owner = (domid != 0).then_some(domid);
        match self {
            Change::Write { value, .. } => {
                if value.len() > limits.value {
                    return Err(Errno::Enospc);
                }
                check_room(tree, path, limits)?;
                tree.write(path, Some(value), owner, generation);
            }
            Change::Mkdir { .. } => {
                if old.is_some() {
                    return Ok(());
                }
                check_room(tree, path, limits)?;
                tree.write(path, None, owner, generation);
            }
            Change::Rm { .. } => return remove(tree, path, generation, fired),
            Change::SetPerms { perms, .. } => {
                let Some(node) = tree.get(path) else { return Err(Errno::Enoent) };
                let owner = node.perms.first().map(|perm| perm.domid);
                if domid != 0 && (owner != Some(domid) || perms.first().map(|perm| perm.domid) != owner) {
                    return Err(Errno::Eacces);
                }
                tree.set_perms(path, perms, generation);
            }
        }
        let mut readable_by: Vec<_> = old.into_iter().collect();
        readable_by.extend([path, path::parent(path).unwrap_or("/")].map(|path| tree.nearest(path).perms.clone()));
        fired.push(Fired { path: path.to_owned(), is_exact: false, readable_by });
        Ok(())
    }
}

/// As xenstored does it: every node below is told of by itself, to watches on that very node, and the removed node
/// also to those above it. A node that is not there is fine if the one above is.
fn remove(tree: &mut Tree, path: &str, generation: u64, fired: &mut Vec<Fired>) -> Result<(), Errno> {
    let Some(above) = path::parent(path) else { return Err(Errno::Einval) };
    let Some(above_node) = tree.get(above) else { return Err(Errno::Enoent) };
    let above_perms = above_node.perms.clone();
    let Some(removed) = tree.remove(path, generation) else { return Ok(()) };
    removed.visit_below(path, &mut |path: &str, node: &Node| {
        fired.push(Fired { path: path.to_owned(), is_exact: true, readable_by: vec![node.perms.clone()] });
    });
    let readable_by = vec![removed.perms.clone(), above_perms];
    fired.push(Fired { path: path.to_owned(), is_exact: false, readable_by });
    Ok(())
}

/// Whether the nodes that are missing on the way to `path`, and itself, may be made.
fn check_room(tree: &Tree, path: &str, limits: &Limits) -> Result<(), Errno> {
    let missing = std::iter::successors(Some(path), |path| path::parent(path))
        .take_while(|path| tree.get(path).is_none())
        .count();
    if missing > 0 && tree.count() + missing > limits.nodes {
        return Err(Errno::Enospc);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Access;

    fn apply(tree: &mut Tree, domid: u32, change: &Change) -> Result<Vec<String>, Errno> {
        let mut fired = Vec::new();
        change.apply(tree, domid, &Limits::default(), 1, &mut fired)?;
        Ok(fired.iter().map(|fired| format!("{}{}", fired.path, if fired.is_exact { " exact" } else { "" })).collect())
    }

    fn tree() -> Tree {
        let mut tree = Tree::new();
        tree.write("/a/b/c", Some(b"1"), None, 0);
        tree
    }

    #[test]
    fn each_change_is_told_once_and_nothing_is_no_change() {
        let mut tree = tree();
        let write = Change::Write { path: "/a/x/y".into(), value: b"1".to_vec() };
        assert_eq!(apply(&mut tree, 0, &write), Ok(vec!["/a/x/y".into()]));
        assert_eq!(apply(&mut tree, 0, &Change::Mkdir { path: "/a/b".into() }), Ok(vec![]));
        assert_eq!(apply(&mut tree, 0, &Change::Mkdir { path: "/a/d".into() }), Ok(vec!["/a/d".into()]));
        assert_eq!(apply(&mut tree, 0, &Change::Rm { path: "/a/absent".into() }), Ok(vec![]));
    }

    #[test]
    fn a_removal_is_told_exactly_below_and_widely_at_its_top() {
        let removed = apply(&mut tree(), 0, &Change::Rm { path: "/a".into() });
        assert_eq!(removed, Ok(vec!["/a/b/c exact".into(), "/a/b exact".into(), "/a".into()]));
        assert_eq!(apply(&mut tree(), 0, &Change::Rm { path: "/".into() }), Err(Errno::Einval));
        assert_eq!(apply(&mut tree(), 0, &Change::Rm { path: "/x/y".into() }), Err(Errno::Enoent));
    }

    #[test]
    fn others_need_permission_and_cannot_give_away() {
        let mut tree = tree();
        let write = Change::Write { path: "/a/b/c".into(), value: Vec::new() };
        assert_eq!(apply(&mut tree, 5, &write), Err(Errno::Eacces));
        let give = |domid| Change::SetPerms { path: "/a/b".into(), perms: vec![Perm::new(Access::Both, domid)] };
        assert_eq!(apply(&mut tree, 5, &give(5)), Err(Errno::Eacces));
        assert_eq!(apply(&mut tree, 0, &give(5)), Ok(vec!["/a/b".into()]));
        assert_eq!(apply(&mut tree, 5, &give(6)), Err(Errno::Eacces));
        assert_eq!(apply(&mut tree, 5, &give(5)), Ok(vec!["/a/b".into()]));
    }

    #[test]
    fn who_loses_the_right_to_read_is_still_told() {
        let mut tree = tree();
        let mut fired = Vec::new();
        let limits = Limits::default();
        let open = Change::SetPerms { path: "/a/b".into(), perms: vec![Perm::new(Access::Read, 0)] };
        open.apply(&mut tree, 0, &limits, 1, &mut fired).unwrap();
        let shut = Change::SetPerms { path: "/a/b".into(), perms: vec![Perm::new(Access::None, 0)] };
        shut.apply(&mut tree, 0, &limits, 2, &mut fired).unwrap();
        assert!(fired[1].readable_by.contains(&vec![Perm::new(Access::Read, 0)]));
    }
}
