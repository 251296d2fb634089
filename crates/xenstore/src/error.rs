//! What can go wrong, in words for a person.

use std::time::Duration;

use crate::{Address, Errno};

/// Everything that can go wrong between a caller and a store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The store answered with an error.
    #[error("xenstore: {request} {path}: {errno}")]
    Store {
        /// The request's name, as in docs/misc/xenstore.txt.
        request: &'static str,
        /// The path or domain it was about; may be empty.
        path: String,
        /// What the store answered.
        errno: Errno,
    },
    /// There is no connection, or it was lost before the answer came.
    #[error("xenstore: no connection: {0}")]
    Disconnected(String),
    /// No answer within the caller's bound. Whether the request was carried out is not known.
    #[error("xenstore: no answer to {request} {path} within {} ms", .waited.as_millis())]
    Timeout {
        /// The request's name.
        request: &'static str,
        /// The path or domain it was about; may be empty.
        path: String,
        /// The bound.
        waited: Duration,
    },
    /// One address could not be connected to.
    #[error("xenstore: cannot connect to {address}: {source}")]
    Connect {
        /// Where a store was looked for.
        address: Address,
        /// The system's error.
        source: rustix::io::Errno,
    },
    /// None of several addresses could be connected to (or there was none).
    #[error("xenstore: no store can be reached{}", list(.0))]
    Unreachable(Vec<Error>),
    /// The embedded store cannot listen.
    #[cfg(feature = "server")]
    #[error("xenstore: cannot listen at {}: {source}", .path.display())]
    Listen {
        /// The socket.
        path: std::path::PathBuf,
        /// The system's error.
        source: rustix::io::Errno,
    },
    /// The store sent what the protocol does not allow.
    #[error("xenstore: the store broke the protocol: {0}")]
    Protocol(String),
    /// A request that does not fit into one message; nothing was sent.
    #[error("xenstore: {request} {path}: {size} bytes, where one message holds {}", crate::wire::PAYLOAD_MAX)]
    TooLarge {
        /// The request's name.
        request: &'static str,
        /// The path it was about.
        path: String,
        /// Bytes of the message's payload.
        size: usize,
    },
    /// A path or token that no store would take; nothing was sent.
    #[error("xenstore: {what} {text:?}: {why}")]
    Malformed {
        /// `path` or `token`.
        what: &'static str,
        /// The text that was refused.
        text: String,
        /// The rule that it breaks.
        why: &'static str,
    },
    /// A transaction met a conflict as often as it was tried.
    #[error("xenstore: transaction given up after {attempts} conflicts")]
    Conflict {
        /// How often it was tried.
        attempts: u32,
    },
}

impl Error {
    /// The store's own error, if this is one.
    pub fn errno(&self) -> Option<Errno> {
        match self {
            Error::Store { errno, .. } => Some(*errno),
            _ => None,
        }
    }

    /// What requests end with that are not answered because `self` ended the connection.
    pub(crate) fn as_disconnected(&self) -> Error {
        match self {
            Error::Disconnected(_) => self.clone(),
            other => Error::Disconnected(reason(other)),
        }
    }

    /// Whether the store answered that the node is not there.
    pub fn is_absent(&self) -> bool {
        self.errno() == Some(Errno::Enoent)
    }
}

/// The text of an error that goes into another's.
fn reason(error: &Error) -> String {
    let text = error.to_string();
    text.strip_prefix("xenstore: ").map(str::to_owned).unwrap_or(text)
}

fn list(errors: &[Error]) -> String {
    errors.iter().map(|error| format!("; {}", reason(error))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_names_request_path_and_reason() {
        let error = Error::Store { request: "READ", path: "/libxl/5".into(), errno: Errno::Enoent };
        assert_eq!(error.to_string(), "xenstore: READ /libxl/5: no such node (ENOENT)");
        assert!(error.is_absent());
    }

    #[test]
    fn a_lost_connection_says_once_what_happened() {
        let lost = Error::Protocol("a message of 5000 bytes".into()).as_disconnected();
        let text = "xenstore: no connection: the store broke the protocol: a message of 5000 bytes";
        assert_eq!(lost.to_string(), text);
        assert_eq!(lost.as_disconnected(), lost);
    }

    #[test]
    fn every_address_tried_is_named() {
        let refused = |path| Error::Connect { address: Address::unix(path), source: rustix::io::Errno::NOENT };
        let text = Error::Unreachable(vec![refused("/run/a"), refused("/run/b")]).to_string();
        assert!(text.contains("/run/a") && text.contains("/run/b"), "{text}");
        assert_eq!(text.matches("xenstore:").count(), 1, "{text}");
        assert_eq!(Error::Unreachable(Vec::new()).to_string(), "xenstore: no store can be reached");
    }
}
