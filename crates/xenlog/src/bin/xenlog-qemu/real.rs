//! Where the real QEMU is.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Where distributions and Xen itself put their QEMU, in the order in which they are tried, after the places that the
/// settings name. `*` stands for a release, the newest first.
///
/// Debian's qemu-system-xen; Debian's and Xen's older places; Xen's own build below /usr and /usr/local (`LIBEXEC_BIN`,
/// m4/paths.m4); a plain QEMU built with Xen's support.
const PLACES: [&str; 8] = [
    "/usr/libexec/xen-qemu-system-i386",
    "/usr/lib/xen-*/bin/qemu-system-i386",
    "/usr/lib/xen/bin/qemu-system-i386",
    "/usr/libexec/xen/bin/qemu-system-i386",
    "/usr/local/lib/xen/bin/qemu-system-i386",
    "/usr/local/libexec/xen/bin/qemu-system-i386",
    "/usr/bin/qemu-system-i386",
    "/usr/bin/qemu-system-x86_64",
];

/// The first program that can be the real QEMU: one of `named`, else one of the usual places. Every named one that
/// cannot be it leaves a line in `complaints`.
pub fn find(named: &[PathBuf], complaints: &mut Vec<String>) -> Option<PathBuf> {
    let own = fs::metadata("/proc/self/exe").ok().map(|own| (own.dev(), own.ino()));
    for path in named {
        match usable(path, own) {
            Ok(()) => return Some(path.clone()),
            Err(why) => complaints.push(format!("{}: {why}; looking for another QEMU", path.display())),
        }
    }
    let mut places = PLACES.iter().flat_map(|place| spelled_out(place));
    places.find(|path| usable(path, own).is_ok())
}

/// All places that are looked at, for a message.
pub fn places() -> String {
    PLACES.join(", ")
}

/// Whether it is a program that may be run in our stead: never ourselves again, which would go on for ever.
fn usable(path: &Path, own: Option<(u64, u64)>) -> Result<(), String> {
    let found = fs::metadata(path).map_err(|error| error.to_string())?;
    if own == Some((found.dev(), found.ino())) {
        return Err("is xenlog-qemu itself".into());
    }
    if !found.is_file() || found.permissions().mode() & 0o111 == 0 {
        return Err("is not a program".into());
    }
    Ok(())
}

/// The paths that a place with one `*` in a directory's name stands for, the highest version first.
fn spelled_out(place: &str) -> Vec<PathBuf> {
    let Some((before, after)) = place.split_once('*') else {
        return vec![place.into()];
    };
    let (directory, prefix) = before.rsplit_once('/').unwrap_or((".", before));
    let mut releases: Vec<(Vec<u32>, PathBuf)> = fs::read_dir(directory)
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let name = entry.ok()?.file_name().into_string().ok()?;
            let release = name.strip_prefix(prefix)?;
            let version = release.split('.').map(|number| number.parse().unwrap_or(0)).collect();
            Some((version, format!("{before}{release}{after}").into()))
        })
        .collect();
    releases.sort();
    releases.into_iter().rev().map(|(_, path)| path).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_release_comes_first() {
        let dir = tempfile::tempdir().unwrap();
        for release in ["xen-4.9", "xen-4.17", "xen-4.14", "other-9"] {
            fs::create_dir(dir.path().join(release)).unwrap();
        }
        let place = format!("{}/xen-*/bin/qemu", dir.path().display());
        let found = spelled_out(&place);
        let want = ["xen-4.17", "xen-4.14", "xen-4.9"].map(|release| dir.path().join(release).join("bin/qemu"));
        assert_eq!(found, want);
        assert_eq!(spelled_out("/nowhere/xen-*/q"), Vec::<PathBuf>::new());
        assert_eq!(spelled_out("/a/b"), [PathBuf::from("/a/b")]);
    }

    #[test]
    fn a_named_program_is_taken_and_a_wrong_one_told() {
        let dir = tempfile::tempdir().unwrap();
        let plain = dir.path().join("plain");
        fs::write(&plain, "").unwrap();
        let own = dir.path().join("own");
        std::os::unix::fs::symlink(std::env::current_exe().unwrap(), &own).unwrap();
        let named = [dir.path().join("gone"), plain, own, dir.path().to_owned(), "/bin/sh".into()];
        let mut complaints = Vec::new();
        assert_eq!(find(&named, &mut complaints), Some("/bin/sh".into()));
        assert_eq!(complaints.len(), 4, "{complaints:?}");
        assert!(complaints[2].contains("itself"), "{complaints:?}");
    }
}
