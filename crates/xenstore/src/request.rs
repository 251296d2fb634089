//! Requests, checked and turned into bytes.

use crate::wire::{self, Kind, PayloadTooLarge};
use crate::{Error, Perm, path};

/// Names one request until its reply; never used twice by one [`crate::Connection`] or [`crate::Session`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(pub(crate) u64);

/// A transaction of one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct TxId(pub u32);

impl TxId {
    /// No transaction: the request is carried out at once.
    pub const NONE: TxId = TxId(0);
}

/// What can be asked of a store (docs/misc/xenstore.txt). Paths are absolute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request<'a> {
    /// The names of a node's children; answered with [`crate::Reply::Names`], however many they are.
    Directory {
        /// The node.
        path: &'a str,
    },
    /// The value of a node; answered with [`crate::Reply::Value`].
    Read {
        /// The node.
        path: &'a str,
    },
    /// The permissions of a node; answered with [`crate::Reply::Perms`].
    GetPerms {
        /// The node, or a special node.
        path: &'a str,
    },
    /// Report changes at and below a node, whether it is there or not.
    Watch {
        /// The node, or a special node.
        path: &'a str,
        /// Comes back in each event.
        token: &'a str,
    },
    /// Take a watch back. Events that are on their way still come.
    Unwatch {
        /// As it was given to `Watch`.
        path: &'a str,
        /// As it was given to `Watch`.
        token: &'a str,
    },
    /// Start a transaction; answered with [`crate::Reply::Transaction`].
    TransactionStart,
    /// End the transaction that the request is made in. `EAGAIN` at commit: something changed meanwhile, start over.
    TransactionEnd {
        /// Carry it out, or forget it.
        commit: bool,
    },
    /// The home of a domain, `/local/domain/<domid>`, whether it exists or not; answered with [`crate::Reply::Path`].
    GetDomainPath {
        /// The domain.
        domid: u32,
    },
    /// Set the value of a node; it and the nodes above it are made where missing.
    Write {
        /// The node.
        path: &'a str,
        /// Any bytes.
        value: &'a [u8],
    },
    /// Make a node and the nodes above it where missing.
    Mkdir {
        /// The node.
        path: &'a str,
    },
    /// Remove a node and everything below it. No error if it is not there but the node above is.
    Rm {
        /// The node, not `/`.
        path: &'a str,
    },
    /// Set the permissions of a node.
    SetPerms {
        /// The node, or a special node.
        path: &'a str,
        /// The owner's entry first.
        perms: &'a [Perm],
    },
    /// Whether the store serves a domain; answered with [`crate::Reply::Flag`].
    IsDomainIntroduced {
        /// The domain.
        domid: u32,
    },
    /// Tell the store of a new domain (domain 0 only).
    Introduce {
        /// The domain.
        domid: u32,
        /// Guest frame number of its store ring.
        frame: u64,
        /// Its event channel port for the ring.
        port: u32,
    },
    /// Tell the store that a domain is gone (domain 0 only).
    Release {
        /// The domain.
        domid: u32,
    },
}

impl Request<'_> {
    /// The request's name in docs/misc/xenstore.txt.
    pub fn name(&self) -> &'static str {
        self.table().1
    }

    pub(crate) fn kind(&self) -> Kind {
        self.table().0
    }

    fn table(&self) -> (Kind, &'static str) {
        match self {
            Request::Directory { .. } => (Kind::DIRECTORY, "DIRECTORY"),
            Request::Read { .. } => (Kind::READ, "READ"),
            Request::GetPerms { .. } => (Kind::GET_PERMS, "GET_PERMS"),
            Request::Watch { .. } => (Kind::WATCH, "WATCH"),
            Request::Unwatch { .. } => (Kind::UNWATCH, "UNWATCH"),
            Request::TransactionStart => (Kind::TRANSACTION_START, "TRANSACTION_START"),
            Request::TransactionEnd { .. } => (Kind::TRANSACTION_END, "TRANSACTION_END"),
            Request::GetDomainPath { .. } => (Kind::GET_DOMAIN_PATH, "GET_DOMAIN_PATH"),
            Request::Write { .. } => (Kind::WRITE, "WRITE"),
            Request::Mkdir { .. } => (Kind::MKDIR, "MKDIR"),
            Request::Rm { .. } => (Kind::RM, "RM"),
            Request::SetPerms { .. } => (Kind::SET_PERMS, "SET_PERMS"),
            Request::IsDomainIntroduced { .. } => (Kind::IS_DOMAIN_INTRODUCED, "IS_DOMAIN_INTRODUCED"),
            Request::Introduce { .. } => (Kind::INTRODUCE, "INTRODUCE"),
            Request::Release { .. } => (Kind::RELEASE, "RELEASE"),
        }
    }

    /// What it is about, for error texts: a path, or `domain 5`, or nothing.
    pub fn subject(&self) -> String {
        match *self {
            Request::Directory { path }
            | Request::Read { path }
            | Request::GetPerms { path }
            | Request::Watch { path, .. }
            | Request::Unwatch { path, .. }
            | Request::Write { path, .. }
            | Request::Mkdir { path }
            | Request::Rm { path }
            | Request::SetPerms { path, .. } => path.to_owned(),
            Request::GetDomainPath { domid }
            | Request::IsDomainIntroduced { domid }
            | Request::Introduce { domid, .. }
            | Request::Release { domid } => format!("domain {domid}"),
            Request::TransactionStart | Request::TransactionEnd { .. } => String::new(),
        }
    }

    /// Checks the request and appends it as one message to `out`.
    ///
    /// # Errors
    /// [`Error::Malformed`] or [`Error::TooLarge`], with nothing appended.
    pub fn encode(&self, id: u32, tx: TxId, out: &mut Vec<u8>) -> Result<(), Error> {
        self.check()?;
        let payload = self.payload();
        wire::encode(self.kind(), id, tx.0, &[&payload], out).map_err(|PayloadTooLarge { length }| Error::TooLarge {
            request: self.name(),
            path: self.subject(),
            size: length,
        })
    }

    fn check(&self) -> Result<(), Error> {
        match *self {
            Request::Directory { path }
            | Request::Read { path }
            | Request::Write { path, .. }
            | Request::Mkdir { path } => path::check(path),
            Request::Rm { path } => path::check_removable(path),
            Request::GetPerms { path } | Request::SetPerms { path, .. } => path::check_watch(path),
            Request::Watch { path, token } | Request::Unwatch { path, token } => {
                path::check_watch(path)?;
                path::check_token(token)
            }
            _ => Ok(()),
        }
    }

    fn payload(&self) -> Vec<u8> {
        match *self {
            Request::Directory { path }
            | Request::Read { path }
            | Request::GetPerms { path }
            | Request::Mkdir { path }
            | Request::Rm { path } => strings([path]),
            Request::Watch { path, token } | Request::Unwatch { path, token } => strings([path, token]),
            // An empty payload is refused by Xen's stores; a lone NUL is what libxenstore sends.
            Request::TransactionStart => vec![0],
            Request::TransactionEnd { commit } => strings([if commit { "T" } else { "F" }]),
            Request::Write { path, value } => [path.as_bytes(), b"\0", value].concat(),
            Request::SetPerms { path, perms } => {
                let perms: String = perms.iter().map(|perm| format!("{perm}\0")).collect();
                [path.as_bytes(), b"\0", perms.as_bytes()].concat()
            }
            Request::GetDomainPath { domid } | Request::IsDomainIntroduced { domid } | Request::Release { domid } => {
                strings([domid.to_string().as_str()])
            }
            Request::Introduce { domid, frame, port } => {
                strings([domid.to_string().as_str(), &frame.to_string(), &port.to_string()])
            }
        }
    }
}

fn strings<'a>(parts: impl IntoIterator<Item = &'a str>) -> Vec<u8> {
    let mut payload = Vec::new();
    for part in parts {
        payload.extend_from_slice(part.as_bytes());
        payload.push(0);
    }
    payload
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Access;

    fn payload(request: Request<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        request.encode(1, TxId(3), &mut out).unwrap();
        let message = wire::Decoder::new().next(&mut &out[..]).unwrap().unwrap();
        assert_eq!((message.kind, message.request, message.tx), (request.kind(), 1, 3));
        message.payload
    }

    #[test]
    fn payloads_are_those_of_xenstore_txt() {
        assert_eq!(payload(Request::Read { path: "/a" }), b"/a\0");
        assert_eq!(payload(Request::Write { path: "/a", value: b"1\0\xff" }), b"/a\x001\0\xff");
        assert_eq!(payload(Request::Watch { path: "@releaseDomain", token: "t" }), b"@releaseDomain\0t\0");
        assert_eq!(payload(Request::TransactionStart), b"\0");
        assert_eq!(payload(Request::TransactionEnd { commit: true }), b"T\0");
        assert_eq!(payload(Request::TransactionEnd { commit: false }), b"F\0");
        assert_eq!(payload(Request::GetDomainPath { domid: 7 }), b"7\0");
        assert_eq!(payload(Request::Introduce { domid: 7, frame: 4096, port: 2 }), b"7\x004096\x002\0");
        let perms = [Perm::new(Access::None, 0), Perm::new(Access::Read, 5)];
        assert_eq!(payload(Request::SetPerms { path: "/a", perms: &perms }), b"/a\0n0\0r5\0");
    }

    #[test]
    fn nothing_is_sent_of_what_no_store_takes() {
        let mut out = Vec::new();
        let refused = Request::Read { path: "/a b" }.encode(1, TxId::NONE, &mut out);
        assert!(matches!(refused, Err(Error::Malformed { what: "path", .. })), "{refused:?}");
        let refused = Request::Watch { path: "/a", token: "a\0" }.encode(1, TxId::NONE, &mut out);
        assert!(matches!(refused, Err(Error::Malformed { what: "token", .. })), "{refused:?}");
        let refused = Request::Read { path: "@releaseDomain" }.encode(1, TxId::NONE, &mut out);
        assert!(matches!(refused, Err(Error::Malformed { what: "path", .. })), "{refused:?}");
        let refused = Request::Write { path: "/a", value: &[0; 4094] }.encode(1, TxId::NONE, &mut out);
        assert_eq!(refused, Err(Error::TooLarge { request: "WRITE", path: "/a".into(), size: 4097 }));
        assert!(out.is_empty());
        Request::Write { path: "/a", value: &[0; 4093] }.encode(1, TxId::NONE, &mut out).unwrap();
    }
}
