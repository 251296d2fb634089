//! Whose log it is, and where that stands in the store.

use std::fmt;
use std::sync::Arc;

use crate::{DomId, LogId, WATCH_PATH};

/// Who a log belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Owner {
    /// The host: the log lives until its entry is removed.
    Host,
    /// A domain: the toolstack removes the log's entry with the domain.
    Domain(DomId),
}

impl Owner {
    /// The store directory of this owner's entries.
    pub fn logging_path(self) -> String {
        match self {
            Owner::Host => "/libxl/logging".to_owned(),
            Owner::Domain(domid) => format!("/libxl/{domid}/logging"),
        }
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Owner::Host => f.write_str("host"),
            Owner::Domain(domid) => write!(f, "domain {domid}"),
        }
    }
}

/// Where one entry stands: its owner and its directory's name, which need not be a good [`LogId`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EntryKey {
    /// Whose entry it is.
    pub owner: Owner,
    /// The name of the entry's directory as it stands in the store. Shared by all who know of it.
    pub name: Arc<str>,
}

impl EntryKey {
    /// The entry of a log whose id was checked.
    pub fn new(owner: Owner, id: &LogId) -> EntryKey {
        EntryKey { owner, name: id.as_str().into() }
    }

    /// The entry's directory in the store.
    pub fn path(&self) -> String {
        format!("{}/{}", self.owner.logging_path(), self.name)
    }

    /// One of the entry's nodes in the store.
    pub fn node(&self, node: &str) -> String {
        format!("{}/{node}", self.path())
    }
}

impl fmt::Display for EntryKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} log {}", self.owner, self.name)
    }
}

/// What a watch event below [`WATCH_PATH`] says has to be looked at again.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Change {
    /// All owners: the top itself changed.
    Everything,
    /// All entries of one owner.
    Owner(Owner),
    /// One entry.
    Entry(EntryKey),
    /// The answer to one entry, and nothing that it asks for.
    Answer(EntryKey),
    /// Nothing of ours: one of the many other things that live there.
    Nothing,
}

impl Change {
    /// What an event for `path` is about.
    pub fn of(path: &str) -> Change {
        let Some(below) = path.strip_prefix(WATCH_PATH) else {
            return Change::Nothing;
        };
        if below.is_empty() {
            return Change::Everything;
        }
        let mut parts = below.split('/').skip(1);
        let first = parts.next().unwrap_or_default();
        let owner = match first.parse() {
            Ok(domid) => match parts.next() {
                None => return Change::Owner(Owner::Domain(domid)),
                Some("logging") => Owner::Domain(domid),
                Some(_) => return Change::Nothing,
            },
            Err(_) if first == "logging" => Owner::Host,
            Err(_) => return Change::Nothing,
        };
        let Some(name) = parts.next() else { return Change::Owner(owner) };
        let key = EntryKey { owner, name: name.into() };
        match (parts.next(), parts.next()) {
            (Some("state"), None) => Change::Answer(key),
            _ => Change::Entry(key),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dom5() -> Owner {
        Owner::Domain(DomId::new(5).unwrap())
    }

    #[test]
    fn paths_are_the_protocols() {
        let id: LogId = "qemu".parse().unwrap();
        assert_eq!(EntryKey::new(dom5(), &id).node("pipe"), "/libxl/5/logging/qemu/pipe");
        assert_eq!(EntryKey::new(Owner::Host, &id).path(), "/libxl/logging/qemu");
    }

    #[test]
    fn an_event_names_the_least_that_must_be_read() {
        let entry = |owner, name: &str| Change::Entry(EntryKey { owner, name: name.into() });
        for (path, change) in [
            ("/libxl", Change::Everything),
            ("/libxl/5", Change::Owner(dom5())),
            ("/libxl/5/logging", Change::Owner(dom5())),
            ("/libxl/5/logging/qemu", entry(dom5(), "qemu")),
            ("/libxl/5/logging/qemu/limit", entry(dom5(), "qemu")),
            ("/libxl/5/logging/a@b/limit/deep", entry(dom5(), "a@b")),
            ("/libxl/5/logging/qemu/state", Change::Answer(EntryKey { owner: dom5(), name: "qemu".into() })),
            ("/libxl/5/logging/qemu/state/deep", entry(dom5(), "qemu")),
            ("/libxl/logging", Change::Owner(Owner::Host)),
            ("/libxl/logging/xl/pipe", entry(Owner::Host, "xl")),
            ("/libxl/5/device/vbd/1", Change::Nothing),
            ("/libxl/5/loggingx/qemu", Change::Nothing),
            ("/libxl/05/logging/qemu", Change::Nothing),
            ("/libxlx", Change::Nothing),
            ("/local/domain/5/logging/x", Change::Nothing),
            ("@releaseDomain", Change::Nothing),
        ] {
            assert_eq!(Change::of(path), change, "{path}");
        }
    }
}
