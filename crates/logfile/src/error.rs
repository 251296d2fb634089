//! What can go wrong, in words for a person at night: each text names the path it is about.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::FileType;
use rustix::io::Errno;

/// What stands where a regular file, or a directory, should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A regular file (where a directory should be).
    Regular,
    /// A directory.
    Directory,
    /// A FIFO (named pipe).
    Fifo,
    /// A socket.
    Socket,
    /// A character device.
    CharacterDevice,
    /// A block device.
    BlockDevice,
    /// A symbolic link.
    Symlink,
    /// Something else, that this program does not know.
    Unknown,
}

impl From<FileType> for Kind {
    fn from(kind: FileType) -> Self {
        match kind {
            FileType::RegularFile => Self::Regular,
            FileType::Directory => Self::Directory,
            FileType::Fifo => Self::Fifo,
            FileType::Socket => Self::Socket,
            FileType::CharacterDevice => Self::CharacterDevice,
            FileType::BlockDevice => Self::BlockDevice,
            FileType::Symlink => Self::Symlink,
            FileType::Unknown => Self::Unknown,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Regular => "a regular file",
            Self::Directory => "a directory",
            Self::Fifo => "a FIFO",
            Self::Socket => "a socket",
            Self::CharacterDevice => "a character device",
            Self::BlockDevice => "a block device",
            Self::Symlink => "a symbolic link",
            Self::Unknown => "of an unknown kind",
        })
    }
}

/// Why a log could not be opened, written, rotated or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The log itself is a symbolic link: it may lead anywhere, so it is not followed.
    #[error("{path} is a symbolic link: a log is never written or read through one")]
    Symlink {
        /// The log.
        path: PathBuf,
    },
    /// The log is there, but it is not a regular file.
    #[error("{path} is {kind}, not a regular file")]
    NotRegular {
        /// The log.
        path: PathBuf,
        /// What it is.
        kind: Kind,
    },
    /// The log has more than one name: writing it would also write the file of that other name.
    #[error("{path} is hard-linked ({links} names): the other name may be any file of this file system")]
    HardLinked {
        /// The log.
        path: PathBuf,
        /// How many names the file has.
        links: u64,
    },
    /// The log belongs to another user than the one that this process acts as.
    #[error("{path} belongs to user {owner}, not to user {expected} as whom this process runs")]
    ForeignOwner {
        /// The log.
        path: PathBuf,
        /// The uid of the owner.
        owner: u32,
        /// The effective uid of this process.
        expected: u32,
    },
    /// A directory has the name of a rotated copy. Nothing is removed for it: somebody made it on purpose.
    #[error("{path} is a directory: no rotated copy can have that name until it is moved away")]
    InTheWay {
        /// The directory.
        path: PathBuf,
    },
    /// A component of the path is a symbolic link.
    #[error("{path} leads through a symbolic link: those are not followed below {root}")]
    SymlinkOnTheWay {
        /// The path as asked for.
        path: PathBuf,
        /// The root that it should be beneath.
        root: PathBuf,
    },
    /// The path is absolute, or `..` climbs out of the root.
    #[error("{path} leads outside {root}")]
    LeadsOutside {
        /// The path as asked for.
        path: PathBuf,
        /// The root that it should be beneath.
        root: PathBuf,
    },
    /// A directory on the path, or the root, is something else.
    #[error("{path} leads through something that is not a directory")]
    NotADirectory {
        /// The path as asked for.
        path: PathBuf,
    },
    /// The directory of the log was removed while the log was open, or is not there at all. Whoever opened the log has
    /// to open it again once there is a directory of that name.
    #[error("the directory {path} is gone")]
    DirectoryGone {
        /// The directory.
        path: PathBuf,
    },
    /// Not the name of one file in a directory.
    #[error("{name:?} is not a file name")]
    BadName {
        /// The name as given.
        name: String,
    },
    /// The name leaves no room for the number of the oldest copy.
    #[error("{path}: the name is longer than {longest} bytes, which leaves no room for the number of a rotated copy")]
    NameTooLong {
        /// The log.
        path: PathBuf,
        /// The longest name that does, in bytes.
        longest: usize,
    },
    /// A limit of 0 bytes, or more copies than [`Bounds::MAX_COPIES`](crate::Bounds::MAX_COPIES).
    #[error("a limit of {limit} bytes with {copies} rotated copies makes no log")]
    BadBounds {
        /// The limit in bytes.
        limit: u64,
        /// The number of copies.
        copies: u32,
    },
    /// The pipe held less than the caller said.
    #[error("a pipe ran dry {missing} bytes early, before {path} had them")]
    PipeRanDry {
        /// The log.
        path: PathBuf,
        /// How many bytes were still expected.
        missing: usize,
    },
    /// A system call failed.
    #[error("cannot {action} {path}: {error}")]
    Io {
        /// What was tried: `open`, `create`, `write`, `rename`, …
        action: &'static str,
        /// What it was tried on.
        path: PathBuf,
        /// Why not. It is part of the text above and therefore not the `source` of this error too.
        error: io::Error,
    },
}

impl Error {
    /// A failed system call with what it was for.
    pub(crate) fn io(action: &'static str, path: impl AsRef<Path>, errno: Errno) -> Self {
        Self::Io { action, path: path.as_ref().to_owned(), error: errno.into() }
    }

    /// The errno of the system call that failed, if this is such an error: lets a caller tell a full disk (`ENOSPC`,
    /// `EDQUOT`), which is worth a retry, from the rest.
    #[must_use]
    pub fn raw_os_error(&self) -> Option<i32> {
        match self {
            Self::Io { error, .. } => error.raw_os_error(),
            _ => None,
        }
    }
}

/// Part of a chunk may be in the log when an append fails. The text is that of `source`.
#[derive(Debug)]
pub struct AppendError {
    /// How many bytes, from the start of the chunk, are in the log (and gone from the pipe). A retry goes on from
    /// there.
    pub written: usize,
    /// Why not more.
    pub source: Error,
}

impl fmt::Display for AppendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.source.fmt(f)
    }
}

impl std::error::Error for AppendError {}
