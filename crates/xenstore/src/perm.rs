//! Permissions of a node, as `n0`, `r5` and so on.

use std::fmt;
use std::str::FromStr;

/// What a domain may do with a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Access {
    /// `n`: nothing.
    None,
    /// `r`: read.
    Read,
    /// `w`: write.
    Write,
    /// `b`: both.
    Both,
}

impl Access {
    /// Whether reading is allowed.
    pub fn reads(self) -> bool {
        matches!(self, Access::Read | Access::Both)
    }

    /// Whether writing is allowed.
    pub fn writes(self) -> bool {
        matches!(self, Access::Write | Access::Both)
    }
}

/// One entry of a node's permissions. The first of the list names the owner, who may do everything, and says what
/// domains without an entry may do; each further one says what one domain may do (docs/misc/xenstore.txt, SET_PERMS).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Perm {
    /// What is allowed.
    pub access: Access,
    /// To which domain.
    pub domid: u32,
}

impl Perm {
    /// The entry that allows `access` to domain `domid`.
    pub const fn new(access: Access, domid: u32) -> Self {
        Perm { access, domid }
    }
}

impl fmt::Display for Perm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letter = match self.access {
            Access::None => 'n',
            Access::Read => 'r',
            Access::Write => 'w',
            Access::Both => 'b',
        };
        write!(f, "{letter}{}", self.domid)
    }
}

/// A text that is not a permission.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a permission: one of n, r, w, b and a domain id were expected")]
pub struct NotAPerm;

impl FromStr for Perm {
    type Err = NotAPerm;

    fn from_str(text: &str) -> Result<Self, NotAPerm> {
        let access = match text.as_bytes().first() {
            Some(b'n') => Access::None,
            Some(b'r') => Access::Read,
            Some(b'w') => Access::Write,
            Some(b'b') => Access::Both,
            _ => return Err(NotAPerm),
        };
        let digits = &text[1..];
        if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(NotAPerm);
        }
        Ok(Perm { access, domid: digits.parse().map_err(|_| NotAPerm)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_back() {
        for text in ["n0", "r5", "w32752", "b1"] {
            assert_eq!(text.parse::<Perm>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn refuses_what_is_not_one() {
        for text in ["", "n", "x0", "n-1", "n+1", "n 1", "n4294967296", "0", "ä0"] {
            assert_eq!(text.parse::<Perm>(), Err(NotAPerm), "{text:?}");
        }
    }
}
