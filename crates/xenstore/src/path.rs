//! Which paths and tokens a store takes, checked before anything is sent.
//!
//! Source: docs/misc/xenstore.txt ("Absolute paths") and `XENSTORE_ABS_PATH_MAX` in xen/include/public/io/xs_wire.h.

use crate::Error;

/// Most bytes of an absolute path, without its NUL.
pub const PATH_MAX: usize = 3072;

/// Checks the absolute path of a node: `/`, or names of `A-Z a-z 0-9 - / _ @`, each after one `/`.
///
/// # Errors
/// [`Error::Malformed`] with the rule that is broken.
pub fn check(path: &str) -> Result<(), Error> {
    let why = if path.is_empty() {
        "is empty"
    } else if !path.starts_with('/') {
        "is not absolute"
    } else if path.len() > PATH_MAX {
        "is longer than 3072 bytes"
    } else if path.contains("//") {
        "has an empty name in it"
    } else if path.len() > 1 && path.ends_with('/') {
        "ends with /"
    } else if !path.bytes().all(is_allowed) {
        "holds a character other than A-Z a-z 0-9 - / _ @"
    } else {
        return Ok(());
    };
    Err(malformed("path", path, why))
}

/// Checks what can be removed: any node but `/`. oxenstored would empty the store of the whole host.
///
/// # Errors
/// [`Error::Malformed`] with the rule that is broken.
pub fn check_removable(path: &str) -> Result<(), Error> {
    if path == "/" { Err(malformed("path", path, "cannot be removed")) } else { check(path) }
}

/// Checks what can be watched: a node, or a special one such as `@releaseDomain`.
///
/// # Errors
/// [`Error::Malformed`] with the rule that is broken.
pub fn check_watch(path: &str) -> Result<(), Error> {
    match path.strip_prefix('@') {
        None => check(path),
        Some("") => Err(malformed("path", path, "names no special node")),
        Some(name) if !name.bytes().all(is_allowed) => {
            Err(malformed("path", path, "holds a character other than A-Z a-z 0-9 - / _ @"))
        }
        Some(_) if path.len() > PATH_MAX => Err(malformed("path", path, "is longer than 3072 bytes")),
        Some(_) => Ok(()),
    }
}

/// Checks a watch's token: any text without a NUL. Its length is checked with the message it goes into.
///
/// # Errors
/// [`Error::Malformed`].
pub fn check_token(token: &str) -> Result<(), Error> {
    if token.contains('\0') { Err(malformed("token", token, "holds a NUL")) } else { Ok(()) }
}

/// The path of the node above `path`; `None` above `/`.
pub fn parent(path: &str) -> Option<&str> {
    match path.rsplit_once('/')? {
        ("", "") => None,
        ("", _) => Some("/"),
        (above, _) => Some(above),
    }
}

/// Whether `path` is `above` itself or a node somewhere below it.
pub fn is_at_or_below(path: &str, above: &str) -> bool {
    if above == "/" {
        return path.starts_with('/');
    }
    path.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn is_allowed(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-/_@".contains(&byte)
}

fn malformed(what: &'static str, text: &str, why: &'static str) -> Error {
    Error::Malformed { what, text: text.to_owned(), why }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_what_xen_uses() {
        for path in ["/", "/a", "/local/domain/5/device/vbd/51712", "/libxl/5/logging/qemu-dm_1", "/a@b/-"] {
            assert_eq!(check(path), Ok(()), "{path}");
        }
        assert_eq!(check(&format!("/{}", "a".repeat(PATH_MAX - 1))), Ok(()));
    }

    #[test]
    fn refuses_what_stores_refuse() {
        for path in ["", "a", "a/b", "//", "/a//b", "/a/", "/a.b", "/a b", "/ä", "/a\0", "/a\n", "@releaseDomain"] {
            assert!(check(path).is_err(), "{path:?}");
        }
        assert!(check(&format!("/{}", "a".repeat(PATH_MAX))).is_err());
    }

    #[test]
    fn the_root_is_not_removed() {
        assert!(check_removable("/").is_err());
        assert_eq!(check_removable("/a"), Ok(()));
    }

    #[test]
    fn special_nodes_can_be_watched() {
        for path in ["@releaseDomain", "@introduceDomain", "@releaseDomain/5", "/a"] {
            assert_eq!(check_watch(path), Ok(()), "{path}");
        }
        for path in ["@", "@a\0", "@ä", "relative", ""] {
            assert!(check_watch(path).is_err(), "{path:?}");
        }
    }

    #[test]
    fn tokens_hold_anything_but_nul() {
        assert_eq!(check_token("any text: / . ä\n"), Ok(()));
        assert_eq!(check_token(""), Ok(()));
        assert!(check_token("a\0b").is_err());
    }

    #[test]
    fn parents() {
        assert_eq!(parent("/a/b"), Some("/a"));
        assert_eq!(parent("/a"), Some("/"));
        assert_eq!(parent("/"), None);
    }

    #[test]
    fn below_is_by_whole_names() {
        assert!(is_at_or_below("/a/b", "/a"));
        assert!(is_at_or_below("/a", "/a"));
        assert!(is_at_or_below("/a", "/"));
        assert!(!is_at_or_below("/ab", "/a"));
        assert!(!is_at_or_below("/a", "/a/b"));
        assert!(!is_at_or_below("@releaseDomain", "/"));
    }
}
