//! One entry of the store, and the request it makes.

use crate::refusal::shown;
use crate::{Bounds, Code, Defaults, EntryKey, LogId, LogPath, PipePath, Policy, Refusal, RootPath, Stamp, decimal};

/// The nodes of an entry, in the order of [`Entry::nodes`].
pub const NODES: [&str; 7] = ["pipe", "file", "limit", "copies", "policy", "timestamp", "state"];

/// An entry as its nodes stand in the store; `None` where there is no such node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// The values of [`NODES`], in that order.
    pub nodes: [Option<Vec<u8>>; NODES.len()],
}

/// By what an entry is judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Below this, pipes.
    pub run: RootPath,
    /// Below this, log files.
    pub log: RootPath,
    /// What a node that is left out means.
    pub defaults: Defaults,
    /// What may be asked for.
    pub bounds: Bounds,
}

/// A whole entry that passed every check that can be made without touching a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The FIFO to read.
    pub pipe: PipePath,
    /// The file to write.
    pub file: LogPath,
    /// The most bytes that the file may have.
    pub limit: u64,
    /// How many rotated copies are kept.
    pub copies: u32,
    /// What happens when it cannot be written fast enough.
    pub policy: Policy,
    /// Whether lines get the time.
    pub stamp: Stamp,
}

impl Entry {
    fn node(&self, name: &str) -> Option<&[u8]> {
        let at = NODES.iter().position(|node| *node == name)?;
        self.nodes[at].as_deref()
    }

    /// Whether the daemon has answered this entry. One without an answer is a new request.
    pub fn is_answered(&self) -> bool {
        self.node("state").is_some()
    }

    /// Whether nothing at all is there.
    pub fn is_empty(&self) -> bool {
        self.nodes.iter().all(Option::is_none)
    }

    /// The request that this entry makes: `None` while it is only half written.
    pub fn check(&self, key: &EntryKey, rules: &Rules) -> Result<Option<Request>, Refusal> {
        let (Some(pipe), Some(file)) = (self.node("pipe"), self.node("file")) else {
            return Ok(None);
        };
        key.name.parse::<LogId>().map_err(|why| Refusal::new(Code::BadId, format!("{}: {why}", key.path())))?;
        let pipe = PipePath::new(pipe, &rules.run).map_err(|why| self.refuse(Code::BadPipe, key, "pipe", why))?;
        let file = LogPath::new(file, &rules.log).map_err(|why| self.refuse(Code::BadFile, key, "file", why))?;
        let bounds = &rules.bounds;
        let limit = match self.node("limit") {
            None => rules.defaults.limit,
            Some(value) => {
                let limit = decimal(value).ok_or_else(|| {
                    self.refuse(Code::BadLimit, key, "limit", "is not a plain decimal number of bytes")
                })?;
                if !(bounds.min_limit..=bounds.max_limit).contains(&limit) {
                    let why = format!("is not from {} to {} bytes", bounds.min_limit, bounds.max_limit);
                    return Err(self.refuse(Code::BadLimit, key, "limit", why));
                }
                limit
            }
        };
        let copies = match self.node("copies") {
            None => rules.defaults.copies,
            Some(value) => {
                let copies = decimal(value)
                    .ok_or_else(|| self.refuse(Code::BadCopies, key, "copies", "is not a plain decimal number"))?;
                u32::try_from(copies).ok().filter(|copies| *copies <= bounds.max_copies).ok_or_else(|| {
                    let why = format!("is more than {}", bounds.max_copies);
                    self.refuse(Code::BadCopies, key, "copies", why)
                })?
            }
        };
        let policy = self.word(key, "policy", Code::BadPolicy, rules.defaults.policy)?;
        let stamp = self.word(key, "timestamp", Code::BadTimestamp, rules.defaults.timestamp)?;
        Ok(Some(Request { pipe, file, limit, copies, policy, stamp }))
    }

    fn word<T>(&self, key: &EntryKey, node: &str, code: Code, default: T) -> Result<T, Refusal>
    where
        T: std::str::FromStr<Err = crate::state::NotAWord>,
    {
        let Some(value) = self.node(node) else {
            return Ok(default);
        };
        let word = std::str::from_utf8(value).unwrap_or_default();
        word.parse().map_err(|why| self.refuse(code, key, node, format!("is {why}")))
    }

    fn refuse(&self, code: Code, key: &EntryKey, node: &str, why: impl std::fmt::Display) -> Refusal {
        let value = self.node(node).unwrap_or_default();
        Refusal::new(code, format!("{}: {} {why}", key.node(node), shown(value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Config, DomId, Owner};
    use std::path::Path;

    fn key() -> EntryKey {
        EntryKey { owner: Owner::Domain(DomId::new(5).unwrap()), name: "qemu".into() }
    }

    fn rules() -> Rules {
        let Config { defaults, bounds, .. } = Config::default();
        let root = |path| RootPath::new(Path::new(path));
        Rules { run: root("/run/xen"), log: root("/var/log/xen"), defaults, bounds }
    }

    fn entry(changes: &[(&str, &[u8])]) -> Entry {
        let mut entry = Entry::default();
        for (node, value) in [("pipe", &b"/run/xen/p"[..]), ("file", b"/var/log/xen/a.log")].iter().chain(changes) {
            entry.nodes[NODES.iter().position(|n| n == node).unwrap()] = Some(value.to_vec());
        }
        entry
    }

    #[test]
    fn what_is_left_out_has_the_defaults() {
        let (rules, request) = (rules(), entry(&[]).check(&key(), &rules()).unwrap().unwrap());
        assert_eq!((request.limit, request.copies), (rules.defaults.limit, rules.defaults.copies));
        assert_eq!((request.policy, request.stamp), (rules.defaults.policy, rules.defaults.timestamp));
        let nodes: [(&str, &[u8]); 4] =
            [("limit", b"4096"), ("copies", b"0"), ("policy", b"block"), ("timestamp", b"line")];
        let request = entry(&nodes).check(&key(), &rules).unwrap().unwrap();
        assert_eq!((request.limit, request.copies), (4096, 0));
        assert_eq!((request.policy, request.stamp), (Policy::Block, Stamp::Line));
    }

    #[test]
    fn half_an_entry_is_no_request_and_no_error() {
        for missing in [0, 1] {
            let mut entry = entry(&[("limit", b"nonsense")]);
            entry.nodes[missing] = None;
            let odd = EntryKey { name: "a@b".into(), ..key() };
            assert_eq!(entry.check(&key(), &rules()), Ok(None));
            assert_eq!(entry.check(&odd, &rules()), Ok(None));
        }
    }

    #[test]
    fn each_bad_node_has_its_code_and_is_named() {
        let table: &[(&str, &[u8], Code)] = &[
            ("pipe", b"/tmp/p", Code::BadPipe),
            ("pipe", b"", Code::BadPipe),
            ("file", b"/var/log/xen/../x", Code::BadFile),
            ("limit", b"", Code::BadLimit),
            ("limit", b"0", Code::BadLimit),
            ("limit", b"4095", Code::BadLimit),
            ("limit", b"+8192", Code::BadLimit),
            ("limit", b"-1", Code::BadLimit),
            ("limit", b"0x2000", Code::BadLimit),
            ("limit", b" 8192", Code::BadLimit),
            ("limit", b"8192\n", Code::BadLimit),
            ("limit", b"8192\0", Code::BadLimit),
            ("limit", b"8k", Code::BadLimit),
            ("limit", b"18446744073709551615", Code::BadLimit),
            ("limit", b"18446744073709551616", Code::BadLimit),
            ("copies", b"", Code::BadCopies),
            ("copies", b"-1", Code::BadCopies),
            ("copies", b"1000000000", Code::BadCopies),
            ("copies", b"4294967296", Code::BadCopies),
            ("copies", b"1 ", Code::BadCopies),
            ("policy", b"", Code::BadPolicy),
            ("policy", b"Drop", Code::BadPolicy),
            ("policy", b"drop\n", Code::BadPolicy),
            ("policy", b"\xff", Code::BadPolicy),
            ("timestamp", b"yes", Code::BadTimestamp),
        ];
        for (node, value, code) in table {
            let refusal = entry(&[(node, value)]).check(&key(), &rules()).unwrap_err();
            assert_eq!(refusal.code, *code, "{node}={}", value.escape_ascii());
            let named = format!("/libxl/5/logging/qemu/{node}: \"{}\"", value.escape_ascii());
            assert!(refusal.text.starts_with(&named), "{refusal}");
        }
    }

    #[test]
    fn an_odd_id_is_refused_by_name() {
        for name in ["a@b", "x".repeat(65).as_str()] {
            let refusal = entry(&[]).check(&EntryKey { name: name.into(), ..key() }, &rules()).unwrap_err();
            assert_eq!(refusal.code, Code::BadId);
            assert!(refusal.text.contains(name));
        }
    }
}
