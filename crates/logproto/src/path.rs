//! Paths that were checked once and are carried as types.
//!
//! Copies of one share its text: a daemon has several of each, for thousands of logs.
//!
//! A [`PipePath`] or [`LogPath`] is below its root as text. That no symlink on the way leads out is for whoever opens it to
//! see to: openat2(2) beneath the root.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Linux: the longest name of a file (`NAME_MAX`, include/uapi/linux/limits.h).
const NAME_MAX: usize = 255;
/// Linux: the longest path, without its NUL (`PATH_MAX` - 1).
const PATH_MAX: usize = 4095;
/// A rotated copy's name is the file's and `.1` to `.999`.
const SUFFIX_MAX: usize = 4;

/// Why a value is not a path that may be given to the daemon. The text goes after the node's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Nothing there.
    #[error("is empty")]
    Empty,
    /// NUL, newline or another control character.
    #[error("holds a control character")]
    Control,
    /// Bytes that are not text.
    #[error("is not UTF-8")]
    NotText,
    /// Relative.
    #[error("is not absolute")]
    Relative,
    /// `//`, `.`, `..` or a slash at the end.
    #[error("has an empty, \".\" or \"..\" part")]
    Dots,
    /// Not below the root.
    #[error("is not below {}", .0.display())]
    Outside(PathBuf),
    /// Longer than Linux takes, or so long that the names of rotated copies would be.
    #[error("is too long (a name may have {most} bytes, a path {PATH_MAX}, rotated copies' suffixes included)")]
    TooLong {
        /// The most bytes of one name.
        most: usize,
    },
}

/// A directory below which paths may lie: absolute, and known by each of its usual names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootPath {
    names: Vec<PathBuf>,
}

impl RootPath {
    /// The root at `path`. `/run` and `/var/run` are the same place on Linux (FHS 3.0, 3.15), so a root below one of them is
    /// known below the other too.
    pub fn new(path: &Path) -> RootPath {
        let mut names = vec![path.to_owned()];
        if let Ok(below) = path.strip_prefix("/var/run") {
            names.push(Path::new("/run").join(below));
        } else if let Ok(below) = path.strip_prefix("/run") {
            names.push(Path::new("/var/run").join(below));
        }
        RootPath { names }
    }

    /// The directory, by its first name.
    pub fn path(&self) -> &Path {
        &self.names[0]
    }

    fn below(&self, value: &[u8], suffix: usize) -> Result<PathBuf, PathError> {
        if value.is_empty() {
            return Err(PathError::Empty);
        }
        let text = std::str::from_utf8(value).map_err(|_| PathError::NotText)?;
        if text.chars().any(char::is_control) {
            return Err(PathError::Control);
        }
        let inside = text.strip_prefix('/').ok_or(PathError::Relative)?;
        if inside.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err(PathError::Dots);
        }
        let most = NAME_MAX - suffix;
        if text.len() > PATH_MAX - suffix || inside.split('/').any(|part| part.len() > most) {
            return Err(PathError::TooLong { most });
        }
        // strip_prefix compares whole components: /var/log/xenfoo is not below /var/log/xen.
        let found = self.names.iter().find_map(|root| Path::new(text).strip_prefix(root).ok());
        match found {
            Some(relative) if !relative.as_os_str().is_empty() => Ok(relative.to_owned()),
            _ => Err(PathError::Outside(self.path().to_owned())),
        }
    }
}

macro_rules! path_below {
    ($(#[$doc:meta])* $name:ident, $suffix:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<Path>);

        impl $name {
            /// Checks a store value against its root.
            pub fn new(value: &[u8], root: &RootPath) -> Result<$name, PathError> {
                root.below(value, $suffix).map(|path| $name(path.into()))
            }

            /// The path relative to the root: one or more plain names.
            pub fn relative(&self) -> &Path {
                &self.0
            }

            /// The file's own name.
            pub fn name(&self) -> &OsStr {
                // A checked path has at least one part and none of them is "..".
                self.0.file_name().unwrap_or_default()
            }

            /// The absolute path, by the root's first name.
            pub fn below(&self, root: &RootPath) -> PathBuf {
                root.path().join(&self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.display().fmt(f)
            }
        }
    };
}

path_below!(
    /// Where a FIFO is, below the run directory.
    PipePath,
    0
);
path_below!(
    /// Where a log file is, below the log directory, with room in its name for the suffix of a rotated copy.
    LogPath,
    SUFFIX_MAX
);

impl LogPath {
    /// The name of this file's rotated copy `number`, 1 being the newest.
    pub fn copy(&self, number: u32) -> LogPath {
        let mut name = self.name().to_owned();
        name.push(format!(".{number}"));
        LogPath(self.0.with_file_name(name).into())
    }

    /// This file's name taken apart as if it were a rotated copy: `qemu.log.3` is copy 3 of `qemu.log`.
    pub(crate) fn as_copy(&self) -> Option<(LogPath, u32)> {
        let name = self.name().as_bytes();
        let dot = name.iter().rposition(|&b| b == b'.').filter(|&dot| dot > 0)?;
        let digits = &name[dot + 1..];
        if digits.first() == Some(&b'0') {
            return None;
        }
        let number = u32::try_from(crate::decimal(digits)?).ok()?;
        Some((LogPath(self.0.with_file_name(OsStr::from_bytes(&name[..dot])).into()), number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(value: &[u8]) -> Result<LogPath, PathError> {
        LogPath::new(value, &RootPath::new(Path::new("/var/log/xen")))
    }

    #[test]
    fn a_path_below_the_root_is_carried_relative() {
        assert_eq!(log(b"/var/log/xen/a.log").unwrap().relative(), Path::new("a.log"));
        let deep = log(b"/var/log/xen/sub/a b.log").unwrap();
        assert_eq!((deep.relative(), deep.name()), (Path::new("sub/a b.log"), OsStr::new("a b.log")));
    }

    #[test]
    fn everything_else_is_an_error() {
        let outside = || PathError::Outside("/var/log/xen".into());
        for (value, error) in [
            (&b""[..], PathError::Empty),
            (b"a.log", PathError::Relative),
            (b"./a.log", PathError::Relative),
            (b"/var/log/xen", outside()),
            (b"/var/log/xen/", PathError::Dots),
            (b"/var/log/xenfoo/a.log", outside()),
            (b"/var/log/xenfoo", outside()),
            (b"/etc/passwd", outside()),
            (b"/", PathError::Dots),
            (b"/var/log/xen/../passwd", PathError::Dots),
            (b"/var/log/xen/a/./b", PathError::Dots),
            (b"/var/log/xen//a.log", PathError::Dots),
            (b"//var/log/xen/a.log", PathError::Dots),
            (b"/var/log/xen/a.log/", PathError::Dots),
            (b"/var/log/xen/a\0.log", PathError::Control),
            (b"/var/log/xen/a.log\0", PathError::Control),
            (b"/var/log/xen/a.log\n", PathError::Control),
            (b"/var/log/xen/a\x1b.log", PathError::Control),
            (b"/var/log/xen/\xff.log", PathError::NotText),
        ] {
            assert_eq!(log(value), Err(error), "{}", value.escape_ascii());
        }
    }

    #[test]
    fn names_leave_room_for_the_suffix_of_a_copy() {
        let path = |name: usize| format!("/var/log/xen/{}", "x".repeat(name)).into_bytes();
        assert!(log(&path(251)).is_ok());
        assert_eq!(log(&path(252)), Err(PathError::TooLong { most: 251 }));
        let run = RootPath::new(Path::new("/run/xen"));
        assert!(PipePath::new(format!("/run/xen/{}", "x".repeat(255)).as_bytes(), &run).is_ok());
        let deep = format!("/var/log/xen{}", "/xxxxxxxxx".repeat(410));
        assert_eq!(log(deep.as_bytes()), Err(PathError::TooLong { most: 251 }));
    }

    #[test]
    fn run_and_var_run_are_one_place() {
        for root in ["/run/xen", "/var/run/xen"] {
            let root = RootPath::new(Path::new(root));
            for value in [&b"/run/xen/p"[..], b"/var/run/xen/p"] {
                assert_eq!(PipePath::new(value, &root).unwrap().relative(), Path::new("p"));
            }
            assert!(PipePath::new(b"/run/xenstored/p", &root).is_err());
        }
    }

    #[test]
    fn a_name_may_look_like_a_copy() {
        let (file, copy) = log(b"/var/log/xen/sub/a.log.12").unwrap().as_copy().unwrap();
        assert_eq!((file.relative(), copy), (Path::new("sub/a.log"), 12));
        for plain in [&b"/var/log/xen/a.log"[..], b"/var/log/xen/a.01", b"/var/log/xen/.5", b"/var/log/xen/a."] {
            assert_eq!(log(plain).unwrap().as_copy(), None);
        }
    }
}
