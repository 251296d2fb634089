//! Xen's own programs, where they are installed.

use std::path::PathBuf;

/// Set to 1, tests fail instead of passing by what is not installed.
const ALL: &str = "XENLOG_TEST_ALL";

/// The newest of what is installed under this name.
pub fn find(program: &str) -> Option<PathBuf> {
    let mut releases: Vec<PathBuf> = std::fs::read_dir("/usr/lib")
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("xen-"))
        .map(|entry| entry.path().join("bin"))
        .collect();
    releases.sort();
    let others = ["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from);
    releases.into_iter().rev().chain(others).map(|dir| dir.join(program)).find(|path| path.is_file())
}

/// Whether all of these programs of Xen and what compiles the hypervisor under them are installed. If not, prints what to
/// install, so that a test can pass it by.
///
/// # Panics
/// If not, and `XENLOG_TEST_ALL=1` is in the environment.
pub fn installed(programs: &[&str]) -> bool {
    let absent = programs.iter().find(|program| find(program).is_none());
    available(absent.map(|program| missing(program)).or_else(no_compiler))
}

/// Whether nothing is missing. If something is, prints what to do about it, so that a test can pass it by.
///
/// # Panics
/// If something is missing, and `XENLOG_TEST_ALL=1` is in the environment.
pub fn available(missing: Option<String>) -> bool {
    match missing {
        None => true,
        Some(reason) if std::env::var_os(ALL).is_some_and(|value| value == "1") => panic!("{reason}"),
        Some(reason) => {
            println!("passed by: {reason}");
            false
        }
    }
}

pub(crate) fn missing(program: &str) -> String {
    format!("no {program} in /usr/lib/xen-*/bin, /usr/sbin or /usr/local/sbin (Debian: apt install xen-utils-4.17)")
}

pub(crate) fn no_compiler() -> Option<String> {
    let has_cc = std::env::split_paths(&std::env::var_os("PATH")?).any(|dir| dir.join("cc").exists());
    (!has_cc)
        .then(|| "no cc in PATH, which compiles rig/hypervisor/hypervisor.c (Debian: apt install gcc libc6-dev)".into())
}
