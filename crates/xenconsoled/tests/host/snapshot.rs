//! All there is to know about a directory tree, to see that nothing of it was touched.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Every file below a directory, and the directory itself.
pub type Snapshot = BTreeMap<PathBuf, Node>;

/// What can be known of a file without opening what could notice it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    mode: u32,
    inode: u64,
    links: u64,
    owner: u32,
    size: u64,
    /// Seconds and nanoseconds of the last change of the content.
    modified: (i64, i64),
    /// The same of the last change of anything: names, mode, owner, extended attributes.
    changed: (i64, i64),
    content: Option<Content>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Content {
    Bytes(Vec<u8>),
    Link(PathBuf),
}

/// Looks at everything below `dir` but the daemon's own files, without following symbolic links.
pub fn snapshot(dir: &Path) -> Snapshot {
    let mut nodes = Snapshot::new();
    add(dir, &mut nodes);
    nodes
}

fn add(path: &Path, nodes: &mut Snapshot) {
    // What it notes for itself in the run directory comes when it comes.
    if path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"xenlog.")) {
        return;
    }
    let found = fs::symlink_metadata(path).unwrap();
    let kind = found.file_type();
    if kind.is_dir() {
        fs::read_dir(path).unwrap().for_each(|entry| add(&entry.unwrap().path(), nodes));
    }
    let content = if kind.is_file() {
        Some(Content::Bytes(fs::read(path).unwrap()))
    } else if kind.is_symlink() {
        Some(Content::Link(fs::read_link(path).unwrap()))
    } else {
        assert!(kind.is_dir() || kind.is_fifo() || kind.is_socket() || kind.is_char_device());
        None
    };
    let node = Node {
        mode: found.mode(),
        inode: found.ino(),
        links: found.nlink(),
        owner: found.uid(),
        size: found.size(),
        modified: (found.mtime(), found.mtime_nsec()),
        changed: (found.ctime(), found.ctime_nsec()),
        content,
    };
    nodes.insert(path.to_owned(), node);
}
