//! What reaches the disk.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The block device that a directory lies on.
#[derive(Debug)]
pub struct Disk {
    stat: PathBuf,
}

impl Disk {
    /// That of a directory; none if it lies on no block device of its own (tmpfs, overlayfs).
    pub fn of(dir: &Path) -> Option<Disk> {
        let device = fs::metadata(dir).ok()?.dev();
        let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
        let stat = PathBuf::from(format!("/sys/dev/block/{major}:{minor}/stat"));
        stat.is_file().then_some(Disk { stat })
    }

    /// Bytes that were written to it so far, by everybody (Documentation/block/stat.rst in Linux: sectors of 512 bytes).
    pub fn written(&self) -> Option<u64> {
        let text = fs::read_to_string(&self.stat).ok()?;
        Some(text.split_whitespace().nth(6)?.parse::<u64>().ok()? * 512)
    }
}
