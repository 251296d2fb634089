//! Small file systems of a test's own: the test runs again, as a child, in a mount namespace that ends with it.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;

/// Set for the child: where its file system is.
const MOUNTED: &str = "LOGFILE_TEST_MOUNTED";

/// Runs a test on a file system of its own. `mount` is the shell command that mounts it at `$DIR`, with a scratch
/// directory `$TMP`; `test` is the name of the calling test; `body` is run in the child with the mounted directory.
///
/// Where mounting is not permitted the test is skipped and says so; with XENLOG_TEST_ALL=1 it fails.
pub fn on(mount: &str, test: &str, body: impl FnOnce(PathBuf)) {
    if let Some(dir) = std::env::var_os(MOUNTED) {
        body(dir.into());
        return;
    }
    let held = tempfile::tempdir().unwrap();
    let dir = held.path().join("mounted");
    std::fs::create_dir(&dir).unwrap();
    let mut unshare = Command::new("unshare");
    unshare.arg("--mount");
    if !rustix::process::geteuid().is_root() {
        unshare.arg("--map-root-user");
    }
    let run = format!("{{ {mount}; }} >&2 || exit 77; exec \"$0\" \"$@\"");
    let child = unshare
        .args(["sh", "-c", &run])
        .args([std::env::current_exe().unwrap().into_os_string(), OsString::from(test)])
        .args(["--exact", "--nocapture", "--test-threads=1"])
        .env("DIR", &dir)
        .env("TMP", held.path())
        .env(MOUNTED, &dir)
        .output()
        .unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&child.stdout), String::from_utf8_lossy(&child.stderr));
    if child.status.success() {
        assert!(text.contains("1 passed"), "no test is named {test}:\n{text}");
        // What a test has to report, it reports there.
        print!("{text}");
    } else if text.contains("running 1 test") {
        panic!("on {mount}:\n{text}");
    } else {
        assert!(std::env::var_os("XENLOG_TEST_ALL").is_none_or(|all| all != "1"), "cannot mount: {text}");
        eprintln!("skipped, for want of a file system of its own: {}", text.trim());
    }
}
