//! What logs there are, as the store and the log directory tell it.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use logproto::{Code, DAEMON_NODE, DomId, Entry, EntryKey, NODES, Owner, State, WATCH_PATH, decimal};
use xenstore::{Client, Error};

/// The most rotated copies that are looked for where an entry does not say how many there are; no daemon keeps more.
const COPIES_MAX: u32 = 999;

/// One entry of the store, and what is there of its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Info {
    /// Whose it is, and its id.
    pub key: EntryKey,
    /// The domain's name, if it has one.
    pub domain_name: Option<String>,
    /// The FIFO, as the entry has it.
    pub pipe: Option<PathBuf>,
    /// The file, as the entry has it: not necessarily one that the daemon accepted.
    pub file: Option<PathBuf>,
    /// The most bytes of the file. `None`: the daemon's default, or not a number.
    pub limit: Option<u64>,
    /// Rotated copies. `None`: the daemon's default, or not a number.
    pub copies: Option<u64>,
    /// `block` or `drop`. `None`: the daemon's default.
    pub policy: Option<String>,
    /// `none` or `line`. `None`: the daemon's default.
    pub timestamp: Option<String>,
    /// The daemon's answer. `None`: none yet.
    pub state: Option<State>,
    /// What is on the disk; `None` if the file cannot be seen, or the request was refused.
    pub usage: Option<Usage>,
}

/// How much of the disk a log takes, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// The file.
    pub file: u64,
    /// The file and its rotated copies.
    pub total: u64,
}

/// Whether a daemon says that it runs.
///
/// # Errors
/// The store's.
pub fn daemon_runs(store: &mut Client) -> Result<bool, Error> {
    Ok(value(store.read(DAEMON_NODE))?.is_some())
}

/// Every entry in the store: the host's first, then by domain and id.
///
/// # Errors
/// The store's. What is removed while it is read is left out.
pub fn all(store: &mut Client) -> Result<Vec<Info>, Error> {
    let mut owners: Vec<Owner> = names(store, WATCH_PATH)?
        .iter()
        .filter_map(|name| if name == "logging" { Some(Owner::Host) } else { name.parse().ok().map(Owner::Domain) })
        .collect();
    owners.sort();
    let mut found = Vec::new();
    for owner in owners {
        let mut ids = names(store, &owner.logging_path())?;
        ids.sort();
        let mut domain_name = None;
        if let (Owner::Domain(domid), false) = (owner, ids.is_empty()) {
            domain_name = name_of(store, domid)?;
        }
        for name in ids {
            found.extend(info(store, EntryKey { owner, name: name.into() }, domain_name.clone())?);
        }
    }
    Ok(found)
}

/// A domain's name, as the toolstack wrote it.
///
/// # Errors
/// The store's.
pub fn name_of(store: &mut Client, domid: DomId) -> Result<Option<String>, Error> {
    let name = value(store.read(&format!("/local/domain/{domid}/name")))?;
    Ok(name.map(|name| String::from_utf8_lossy(&name).into_owned()).filter(|name| !name.is_empty()))
}

/// What there is on the disk of a log file and its rotated copies; `None` if the file itself is not there, or not a
/// file.
///
/// A log that rotates between two looks would be counted wrongly, so it is looked at again until the files were the
/// same before and after; a bounded number of times.
pub fn usage(file: &Path, copies: Option<u64>) -> Option<Usage> {
    const LOOKS: u32 = 10;
    let mut seen = files(file, copies);
    for _ in 0..LOOKS {
        let again = files(file, copies);
        let identity = |files: &[fs::Metadata]| files.iter().map(|file| (file.dev(), file.ino())).collect::<Vec<_>>();
        if identity(&seen) == identity(&again) {
            break;
        }
        seen = again;
    }
    let file = seen.first()?.len();
    Some(Usage { file, total: seen.iter().map(fs::Metadata::len).sum() })
}

/// The live file and its rotated copies, newest first. Nothing if there is no live file.
fn files(file: &Path, copies: Option<u64>) -> Vec<fs::Metadata> {
    let look = |path: &Path| fs::symlink_metadata(path).ok().filter(fs::Metadata::is_file);
    let Some(live) = look(file) else {
        return Vec::new();
    };
    let copy = |number: u32| {
        let mut path = file.as_os_str().to_owned();
        path.push(format!(".{number}"));
        look(Path::new(&path))
    };
    let mut found = vec![live];
    match copies {
        Some(copies) => {
            let most = u32::try_from(copies).map_or(COPIES_MAX, |copies| copies.min(COPIES_MAX));
            found.extend((1..=most).filter_map(copy));
        }
        None => found.extend((1..=COPIES_MAX).map_while(copy)),
    }
    found
}

fn info(store: &mut Client, key: EntryKey, domain_name: Option<String>) -> Result<Option<Info>, Error> {
    let mut entry = Entry::default();
    for (node, slot) in NODES.iter().zip(&mut entry.nodes) {
        *slot = value(store.read(&key.node(node)))?;
    }
    if entry.is_empty() {
        return Ok(None);
    }
    let [pipe, file, limit, copies, policy, timestamp, state] = entry.nodes;
    let error = match state.as_deref() {
        Some(b"error") => value(store.read(&key.node("error")))?,
        _ => None,
    };
    let path = |value: Vec<u8>| PathBuf::from(OsString::from_vec(value));
    let text = |value: Vec<u8>| String::from_utf8_lossy(&value).into_owned();
    let (pipe, file) = (pipe.map(path), file.map(path));
    let (limit, copies) = (limit.and_then(|limit| decimal(&limit)), copies.and_then(|copies| decimal(&copies)));
    let (policy, timestamp) = (policy.map(text), timestamp.map(text));
    let state = State::read(state.as_deref(), error.as_deref());
    // The file of a request that was refused is not its log, and need not be a log at all.
    let is_refused = matches!(&state, Some(State::Error(refusal)) if refusal.code != Code::Lost);
    let file_of_log = file.as_deref().filter(|file| file.is_absolute() && !is_refused);
    let usage = file_of_log.and_then(|file| usage(file, copies));
    Ok(Some(Info { key, domain_name, pipe, file, limit, copies, policy, timestamp, state, usage }))
}

fn names(store: &mut Client, path: &str) -> Result<Vec<String>, Error> {
    match store.directory(path) {
        Err(error) if error.is_absent() => Ok(Vec::new()),
        names => names,
    }
}

fn value(read: Result<Vec<u8>, Error>) -> Result<Option<Vec<u8>>, Error> {
    match read {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_absent() => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_counts_the_copies_that_belong_to_the_log() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a.log");
        assert_eq!(usage(&file, None), None);
        for (name, size) in [("a.log", 1), ("a.log.1", 10), ("a.log.2", 100), ("a.log.4", 1000)] {
            fs::write(dir.path().join(name), vec![0; size]).unwrap();
        }
        assert_eq!(usage(&file, None), Some(Usage { file: 1, total: 111 }));
        assert_eq!(usage(&file, Some(0)), Some(Usage { file: 1, total: 1 }));
        assert_eq!(usage(&file, Some(1)), Some(Usage { file: 1, total: 11 }));
        assert_eq!(usage(&file, Some(u64::MAX)), Some(Usage { file: 1, total: 1111 }));
        assert_eq!(usage(dir.path(), None), None);
    }
}
