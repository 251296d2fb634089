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
