//! What a watch reports.

use crate::{path, wire};

/// A watch fired: something at `path` changed, or may have. It says "look again", never what happened: stores merge
/// events and send spurious ones, one of them right after the watch is set.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Event {
    /// The node that changed: the watched one or one below it; or the special node (`@releaseDomain`).
    pub path: String,
    /// The token the watch was set with.
    pub token: String,
}

impl Event {
    /// Reads the payload of a watch event: path and token. `None` if it is not one.
    pub fn decode(payload: &[u8]) -> Option<Self> {
        match wire::strings(payload)?[..] {
            [path, token] if path::check_watch(path).is_ok() => {
                Some(Event { path: path.to_owned(), token: token.to_owned() })
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_and_token() {
        let event = Event::decode(b"/a/b\0dom 5: \xc3\xa4\0").unwrap();
        assert_eq!((event.path.as_str(), event.token.as_str()), ("/a/b", "dom 5: ä"));
        assert_eq!(Event::decode(b"@releaseDomain\0\0").unwrap().token, "");
    }

    #[test]
    fn odd_payloads_are_no_events() {
        for payload in [&b""[..], b"\0", b"/a\0", b"/a\0t\0x\0", b"a b\0t\0", b"/a\0\xff\0", b"\0t\0"] {
            assert_eq!(Event::decode(payload), None, "{payload:?}");
        }
    }
}
