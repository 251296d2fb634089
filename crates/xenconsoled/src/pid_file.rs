//! The file with the daemon's process id.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// A pid file that is open and not written yet.
#[derive(Debug)]
pub struct PidFile {
    path: PathBuf,
    file: File,
}

impl PidFile {
    /// Opens it, and leaves what is in it. To be done while there is somebody to tell if that fails.
    pub fn open(path: &Path) -> Result<PidFile, String> {
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path);
        let file = file.map_err(|why| failed(path, &why))?;
        Ok(PidFile { path: path.to_owned(), file })
    }

    /// Writes this process's id and a newline, and nothing else: a longer id that an earlier daemon left does not show through.
    pub fn write(mut self) -> Result<(), String> {
        let text = format!("{}\n", std::process::id());
        // In this order: whoever reads it meanwhile finds a whole id in the first line, and never an empty file.
        let written = self.file.write_all(text.as_bytes()).and_then(|()| self.file.set_len(text.len() as u64));
        written.map_err(|why| failed(&self.path, &why))
    }
}

fn failed(path: &Path, why: &io::Error) -> String {
    format!("--pid-file {}: {why}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The file was emptied first, and then written piece by piece: a script that read it in between found no id, or a part of one.
    #[test]
    fn whoever_reads_it_meanwhile_finds_an_id() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pid");
        let own = format!("{}\n", std::process::id());
        std::fs::write(&path, &own).unwrap();
        let is_over = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let mut found = Vec::new();
                while !is_over.load(std::sync::atomic::Ordering::SeqCst) {
                    found.extend(Some(std::fs::read_to_string(&path).unwrap()).filter(|text| *text != own));
                }
                found
            });
            (0..20_000).for_each(|_| PidFile::open(&path).unwrap().write().unwrap());
            is_over.store(true, std::sync::atomic::Ordering::SeqCst);
            assert_eq!(reader.join().unwrap(), [""; 0]);
        });
    }

    #[test]
    fn an_older_longer_id_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pid");
        std::fs::write(&path, "123456789012\n").unwrap();
        PidFile::open(&path).unwrap().write().unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{}\n", std::process::id()));
        assert!(PidFile::open(&dir.path().join("no/pid")).unwrap_err().contains("no/pid"));
    }
}
