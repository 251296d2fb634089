//! A page of a guest's memory.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// A page, as a file that others map: what is written to the one is seen in the other.
#[derive(Debug)]
pub(crate) struct Page {
    file: File,
    path: PathBuf,
}

/// The size of a page.
const SIZE: u64 = 4096;

impl Page {
    /// A new page, full of zeros.
    pub(crate) fn create(path: &Path) -> Page {
        let open = || -> std::io::Result<File> {
            let file = File::options().read(true).write(true).create_new(true).open(path)?;
            file.set_len(SIZE)?;
            Ok(file)
        };
        let file = open().unwrap_or_else(|why| panic!("{}: {why}", path.display()));
        Page { file, path: path.to_owned() }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn read(&self, offset: u64, bytes: &mut [u8]) {
        self.file.read_exact_at(bytes, offset).unwrap_or_else(|why| panic!("{}: {why}", self.path.display()));
    }

    pub(crate) fn write(&self, offset: u64, bytes: &[u8]) {
        self.file.write_all_at(bytes, offset).unwrap_or_else(|why| panic!("{}: {why}", self.path.display()));
    }

    pub(crate) fn load(&self, offset: u64) -> u32 {
        let mut bytes = [0; 4];
        self.read(offset, &mut bytes);
        u32::from_ne_bytes(bytes)
    }

    pub(crate) fn store(&self, offset: u64, value: u32) {
        self.write(offset, &value.to_ne_bytes());
    }
}
