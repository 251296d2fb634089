//! Libraries in C that stand in for what a program calls, compiled when they are first needed: the hypervisor, for one.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The source: what it does stands at its top.
const SOURCE: &str = include_str!("../../../rig/hypervisor/hypervisor.c");

/// The compiled library: see [`preload`].
///
/// # Errors
/// Why there is none, for a person.
pub(crate) fn library(private: &Path) -> Result<PathBuf, String> {
    preload("hypervisor", SOURCE, private)
}

/// Compiles a library in C for LD_PRELOAD. It lies beside the test program, under a name that is another for another source, so
/// that it is compiled once for all tests; in `private` where nothing can be written there.
///
/// # Errors
/// Why there is none, for a person.
pub fn preload(name: &str, source: &str, private: &Path) -> Result<PathBuf, String> {
    let mut hasher = DefaultHasher::new();
    source.hash(&mut hasher);
    let name = format!("{name}-{:016x}.so", hasher.finish());
    let shared = std::env::current_exe().ok().and_then(|exe| Some(exe.parent()?.join(&name)));
    if let Some(shared) = shared {
        if shared.exists() {
            return Ok(shared);
        }
        if let Ok(dir) = tempfile::Builder::new().prefix("shim").tempdir_in(shared.parent().unwrap_or(private)) {
            compile(source, &dir.path().join(&name))?;
            // Tests that compile at the same time each put the same thing in place.
            if std::fs::rename(dir.path().join(&name), &shared).is_ok() {
                return Ok(shared);
            }
        }
    }
    let own = private.join(&name);
    compile(source, &own)?;
    Ok(own)
}

fn compile(text: &str, library: &Path) -> Result<(), String> {
    let source = library.with_extension("c");
    std::fs::write(&source, text).map_err(|error| format!("cannot write {}: {error}", source.display()))?;
    let output = Command::new("cc")
        .args(["-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-pthread", "-o"])
        .args([library, &source])
        .output()
        .map_err(|error| format!("cannot run cc (Debian: apt install gcc libc6-dev): {error}"))?;
    if output.status.success() {
        Ok(())
    } else {
        Err(format!("cc did not compile {}:\n{}", source.display(), String::from_utf8_lossy(&output.stderr)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compiled_once_and_whole() {
        let dir = tempfile::tempdir().unwrap();
        let first = library(dir.path()).unwrap();
        let second = library(dir.path()).unwrap();
        assert_eq!(first, second);
        assert_eq!(std::fs::read(first).unwrap()[..4], *b"\x7fELF");
    }
}
