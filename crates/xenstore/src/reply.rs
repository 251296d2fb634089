//! Replies, read from bytes by what was asked.

use crate::wire::{self, Kind};
use crate::{Perm, TxId};

/// What a store answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// Done, with nothing to tell.
    Done,
    /// A node's value.
    Value(Vec<u8>),
    /// The names of a node's children, in the store's order.
    Names(Vec<String>),
    /// A node's permissions, the owner's entry first.
    Perms(Vec<Perm>),
    /// A transaction was started.
    Transaction(TxId),
    /// A domain's home.
    Path(String),
    /// Yes or no.
    Flag(bool),
}

impl Reply {
    /// Reads the payload of the reply to a request of type `kind`. `None` if it is not one.
    pub fn decode(kind: Kind, payload: Vec<u8>) -> Option<Reply> {
        Some(match kind {
            Kind::READ => Reply::Value(payload),
            Kind::DIRECTORY => Reply::Names(names(&payload)?),
            Kind::GET_PERMS => {
                let perms: Option<Vec<Perm>> =
                    wire::strings(&payload)?.into_iter().map(|text| text.parse().ok()).collect();
                Reply::Perms(perms?)
            }
            Kind::TRANSACTION_START => match one(&payload)?.parse() {
                Ok(id) if id != 0 => Reply::Transaction(TxId(id)),
                _ => return None,
            },
            Kind::GET_DOMAIN_PATH => Reply::Path(one(&payload)?.to_owned()),
            Kind::IS_DOMAIN_INTRODUCED => Reply::Flag(match one(&payload)? {
                "T" => true,
                "F" => false,
                _ => return None,
            }),
            _ => Reply::Done,
        })
    }
}

/// The names in the payload of a directory's reply: each ends with a NUL. None is empty.
pub(crate) fn names(payload: &[u8]) -> Option<Vec<String>> {
    let names = wire::strings(payload)?;
    Some(names.into_iter().filter(|name| !name.is_empty()).map(str::to_owned).collect())
}

fn one(payload: &[u8]) -> Option<&str> {
    match wire::strings(payload)?[..] {
        [text] => Some(text),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Access;

    fn decode(kind: Kind, payload: &[u8]) -> Option<Reply> {
        Reply::decode(kind, payload.to_vec())
    }

    #[test]
    fn each_by_what_was_asked() {
        assert_eq!(decode(Kind::READ, b"\0\xff"), Some(Reply::Value(vec![0, 0xff])));
        assert_eq!(decode(Kind::WRITE, b"OK\0"), Some(Reply::Done));
        assert_eq!(decode(Kind::DIRECTORY, b"a\0b\0"), Some(Reply::Names(vec!["a".into(), "b".into()])));
        assert_eq!(decode(Kind::DIRECTORY, b""), Some(Reply::Names(vec![])));
        assert_eq!(decode(Kind::DIRECTORY, b"\0"), Some(Reply::Names(vec![])));
        assert_eq!(decode(Kind::TRANSACTION_START, b"12\0"), Some(Reply::Transaction(TxId(12))));
        assert_eq!(decode(Kind::IS_DOMAIN_INTRODUCED, b"F\0"), Some(Reply::Flag(false)));
        assert_eq!(decode(Kind::GET_DOMAIN_PATH, b"/local/domain/1\0"), Some(Reply::Path("/local/domain/1".into())));
        let perms = vec![Perm::new(Access::None, 0), Perm::new(Access::Both, 3)];
        assert_eq!(decode(Kind::GET_PERMS, b"n0\0b3\0"), Some(Reply::Perms(perms)));
    }

    #[test]
    fn what_is_no_reply_is_none() {
        assert_eq!(decode(Kind::TRANSACTION_START, b"x\0"), None);
        assert_eq!(decode(Kind::TRANSACTION_START, b"0\0"), None, "0 would be no transaction");
        assert_eq!(decode(Kind::TRANSACTION_START, b""), None);
        assert_eq!(decode(Kind::IS_DOMAIN_INTRODUCED, b"maybe\0"), None);
        assert_eq!(decode(Kind::GET_PERMS, b"q0\0"), None);
        assert_eq!(decode(Kind::DIRECTORY, b"\xff\0"), None);
    }
}
