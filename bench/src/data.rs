//! The directory that files are written to.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use rustix::fs::{IFlags, ioctl_getflags, ioctl_setflags};

use crate::works::Failure;

/// Makes it, and gives its path without symbolic links: our daemon takes none.
pub fn make(dir: &Path) -> Result<PathBuf, Failure> {
    fs::create_dir_all(dir)?;
    // ext4 without a journal looks at every inode that was freed in the last seconds before it takes another one: thousands of
    // files took twenty times as long after thousands had been removed. With this flag it puts each scene somewhere else. Other
    // file systems may not have it, and need it as little.
    let open = File::open(dir)?;
    if let Ok(flags) = ioctl_getflags(&open) {
        let _ = ioctl_setflags(&open, flags | IFlags::TOPDIR);
    }
    Ok(dir.canonicalize()?)
}
