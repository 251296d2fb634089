//! Domain ids and log ids.

use std::fmt;
use std::str::FromStr;

/// A domain's number, `0..=0x7FEF`. Larger ones are reserved (`DOMID_FIRST_RESERVED`, xen/include/public/xen.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DomId(u16);

impl DomId {
    /// The largest domain id that a domain can have.
    pub const MAX: DomId = DomId(0x7FEF);

    /// The domain id with this number, if a domain can have it.
    pub fn new(number: u16) -> Option<DomId> {
        (number <= DomId::MAX.0).then_some(DomId(number))
    }

    /// The number itself.
    pub fn number(self) -> u16 {
        self.0
    }
}

impl fmt::Display for DomId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Why a text is not a domain id or not a log id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Not `0..=32751` in plain decimal.
    #[error("a domain id is a decimal number from 0 to 32751")]
    DomId,
    /// Not 1 to 64 of the characters that an id may have.
    #[error("a log id is 1 to 64 of A-Z a-z 0-9 _ -")]
    LogId,
}

impl FromStr for DomId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<DomId, IdError> {
        // A node name like "007" or "+7" is not the directory of domain 7, so only the one canonical spelling counts.
        let canonical = text == "0" || (!text.starts_with('0') && text.bytes().all(|b| b.is_ascii_digit()));
        canonical.then(|| text.parse().ok().and_then(DomId::new)).flatten().ok_or(IdError::DomId)
    }
}

/// A log's name within its owner's directory: 1 to 64 of `A-Z a-z 0-9 _ -`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LogId(String);

impl LogId {
    /// The most characters an id may have.
    pub const MAX_LEN: usize = 64;

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id that is nearest to `text`: characters that an id cannot have become `_`, and it is cut at the right length.
    /// `None` only for an empty text.
    pub fn near(text: &str) -> Option<LogId> {
        let id: String = text.chars().take(LogId::MAX_LEN).map(|c| if id_char(c) { c } else { '_' }).collect();
        (!id.is_empty()).then_some(LogId(id))
    }
}

fn id_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '-'
}

impl FromStr for LogId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<LogId, IdError> {
        let good = (1..=LogId::MAX_LEN).contains(&text.len()) && text.chars().all(id_char);
        good.then(|| LogId(text.to_owned())).ok_or(IdError::LogId)
    }
}

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domain_ids_have_one_spelling_and_an_end() {
        for good in ["0", "7", "32751"] {
            assert_eq!(good.parse::<DomId>().unwrap().to_string(), good);
        }
        for bad in ["", "00", "07", "+7", "-1", " 7", "7 ", "0x7", "32752", "65536", "4294967303", "logging"] {
            assert_eq!(bad.parse::<DomId>(), Err(IdError::DomId), "{bad:?}");
        }
    }

    #[test]
    fn log_ids_are_short_and_plain() {
        for good in ["a", "qemu-dm", "A_1", &"x".repeat(64)] {
            assert_eq!(good.parse::<LogId>().unwrap().as_str(), good);
        }
        for bad in ["", "a.b", "a/b", "a@b", "é", "a b", "a\n", &"x".repeat(65)] {
            assert_eq!(bad.parse::<LogId>(), Err(IdError::LogId), "{bad:?}");
        }
    }

    #[test]
    fn any_text_has_a_near_id() {
        assert_eq!(LogId::near("my prog.sh").unwrap().as_str(), "my_prog_sh");
        assert_eq!(LogId::near(&"é".repeat(100)).unwrap().as_str(), "_".repeat(64));
        assert_eq!(LogId::near(""), None);
    }
}
