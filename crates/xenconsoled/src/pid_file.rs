//! The file with the daemon's process id.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Writes this process's id and a newline, and nothing else: a longer id that an earlier daemon left does not show through.
pub fn write(path: &Path) -> Result<(), String> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let written = options.open(path).and_then(|mut file| writeln!(file, "{}", std::process::id()));
    written.map_err(|why| format!("--pid-file {}: {why}", path.display()))
}

#[cfg(test)]
mod tests {
    #[test]
    fn an_older_longer_id_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pid");
        std::fs::write(&path, "123456789012\n").unwrap();
        super::write(&path).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{}\n", std::process::id()));
        assert!(super::write(&dir.path().join("no/pid")).unwrap_err().contains("no/pid"));
    }
}
