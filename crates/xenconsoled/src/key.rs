//! Whose log it is: an entry's in the store, or one of the daemon's own.

use std::fmt;
use std::str::FromStr;

use logproto::{DomId, EntryKey};

/// Whose log it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LogKey {
    /// What a toolstack asked for.
    Entry(EntryKey),
    /// What the daemon fills itself.
    Own(Own),
}

/// A log that the daemon fills itself. The text form is a name for files and descriptors: `console-7`, `vuart-7`, `hypervisor`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Own {
    /// A guest's console.
    Console(ConsoleKey),
    /// The hypervisor's console.
    Hypervisor,
}

/// Which console of which domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConsoleKey {
    /// The domain.
    pub domid: DomId,
    /// Which of its consoles.
    pub kind: Kind,
}

/// The consoles that a domain may have here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// The primary one of a PV, PVH or HVM guest.
    Pv,
    /// An emulated UART (Arm).
    Vuart,
}

impl ConsoleKey {
    /// The directory of its nodes.
    pub fn path(self) -> String {
        let (domid, below) = (self.domid, if self.kind == Kind::Pv { "console" } else { "vuart/0" });
        format!("/local/domain/{domid}/{below}")
    }
}

impl LogKey {
    /// The entry, if it is one's.
    pub fn entry(&self) -> Option<&EntryKey> {
        match self {
            LogKey::Entry(key) => Some(key),
            LogKey::Own(_) => None,
        }
    }

    /// Where it stands in the store: for messages and counters.
    pub fn path(&self) -> String {
        match self {
            LogKey::Entry(key) => key.path(),
            LogKey::Own(Own::Console(key)) => key.path(),
            LogKey::Own(Own::Hypervisor) => "hypervisor".to_owned(),
        }
    }

    /// What a refusal begins with: the entry's node that it is about.
    pub fn node(&self, node: &str) -> String {
        match self {
            LogKey::Entry(key) => key.node(node),
            LogKey::Own(own) => format!("{} {node}", LogKey::Own(*own)),
        }
    }
}

impl From<EntryKey> for LogKey {
    fn from(key: EntryKey) -> LogKey {
        LogKey::Entry(key)
    }
}

impl fmt::Display for LogKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LogKey::Entry(key) => key.fmt(f),
            LogKey::Own(Own::Console(key)) => write!(f, "log of {key}"),
            LogKey::Own(Own::Hypervisor) => f.write_str("log of the hypervisor"),
        }
    }
}

impl fmt::Display for ConsoleKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.kind == Kind::Pv { "console" } else { "vuart" };
        write!(f, "domain {} {kind}", self.domid)
    }
}

impl Own {
    /// The name of its kind and number.
    pub fn name(self) -> String {
        match self {
            Own::Console(ConsoleKey { domid, kind: Kind::Pv }) => format!("console-{domid}"),
            Own::Console(ConsoleKey { domid, kind: Kind::Vuart }) => format!("vuart-{domid}"),
            Own::Hypervisor => "hypervisor".to_owned(),
        }
    }
}

/// Not a name of [`Own::name`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotOwn;

impl FromStr for Own {
    type Err = NotOwn;

    fn from_str(text: &str) -> Result<Own, NotOwn> {
        if text == "hypervisor" {
            return Ok(Own::Hypervisor);
        }
        let (kind, domid) = text.split_once('-').ok_or(NotOwn)?;
        let kind = match kind {
            "console" => Kind::Pv,
            "vuart" => Kind::Vuart,
            _ => return Err(NotOwn),
        };
        let domid = domid.parse().map_err(|_| NotOwn)?;
        Ok(Own::Console(ConsoleKey { domid, kind }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        let domid = DomId::new(7).unwrap();
        for kind in [Kind::Pv, Kind::Vuart] {
            let own = Own::Console(ConsoleKey { domid, kind });
            assert_eq!(own.name().parse(), Ok(own));
        }
        assert_eq!("hypervisor".parse(), Ok(Own::Hypervisor));
        for bad in ["", "console", "console-", "console-x", "console-07", "uart-7", "console-7-8"] {
            assert_eq!(bad.parse::<Own>(), Err(NotOwn), "{bad}");
        }
    }
}
