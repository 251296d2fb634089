//! No path leads out of a root, whatever is put on the way.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use logfile::{Dir, Error, Root};
use rustix::fs::{FileType, Mode, fstat, mkfifoat};
use tempfile::TempDir;

fn root() -> (TempDir, Root) {
    let held = tempfile::tempdir().unwrap();
    fs::create_dir_all(held.path().join("log/guests")).unwrap();
    fs::create_dir(held.path().join("outside")).unwrap();
    fs::write(held.path().join("log/plain"), "").unwrap();
    let root = Root::open(&held.path().join("log")).unwrap();
    (held, root)
}

#[test]
fn what_is_beneath_opens() {
    let (held, root) = root();
    let (dir, name) = root.entry(Path::new("guests/q.log")).unwrap();
    assert_eq!((dir.path(), name.to_str().unwrap()), (held.path().join("log/guests").as_path(), "q.log"));
    let (dir, name) = root.entry(Path::new("q.log")).unwrap();
    assert_eq!((dir.path(), name.to_str().unwrap()), (held.path().join("log").as_path(), "q.log"));
    assert_eq!(root.dir(Path::new("")).unwrap(), root.dir(Path::new(".")).unwrap());
}

#[test]
fn nothing_leads_outside() {
    let (_held, root) = root();
    for path in ["..", "../outside", "guests/../../outside", "/", "/etc"] {
        let error = root.dir(Path::new(path)).unwrap_err();
        assert!(matches!(error, Error::LeadsOutside { .. }), "{path}: {error}");
        assert!(error.to_string().contains("leads outside"), "{error}");
    }
    for path in ["", "..", "/", "guests/.."] {
        let error = root.entry(Path::new(path)).unwrap_err();
        assert!(matches!(error, Error::BadName { .. }), "{path}: {error}");
    }
    let error = root.entry(Path::new("/etc/passwd")).unwrap_err();
    assert_eq!(error.to_string(), format!("/etc leads outside {}", root.path().display()));
}

#[test]
fn no_link_is_followed_wherever_it_leads() {
    let (held, root) = root();
    symlink(held.path().join("outside"), held.path().join("log/out")).unwrap();
    symlink("guests", held.path().join("log/in")).unwrap();
    symlink("/proc/self/cwd", held.path().join("log/magic")).unwrap();
    for path in ["out", "in", "magic", "out/deeper"] {
        let error = root.dir(Path::new(path)).unwrap_err();
        assert!(matches!(error, Error::SymlinkOnTheWay { .. }), "{path}: {error}");
        assert!(error.to_string().contains("symbolic link"), "{error}");
        let error = root.entry(&Path::new(path).join("q.log")).unwrap_err();
        assert!(matches!(error, Error::SymlinkOnTheWay { .. }), "{path}: {error}");
        let error = root.locate(&Path::new(path).join("fifo")).unwrap_err();
        assert!(matches!(error, Error::SymlinkOnTheWay { .. }), "{path}: {error}");
    }
    // With O_NOFOLLOW the kernel would open the link itself.
    let error = root.locate(Path::new("in")).unwrap_err();
    assert!(matches!(error, Error::SymlinkOnTheWay { .. }), "{error}");
}

#[test]
fn a_link_put_in_place_later_gains_nothing() {
    let (held, root) = root();
    let dir = root.dir(Path::new("guests")).unwrap();
    fs::rename(held.path().join("log/guests"), held.path().join("log/moved")).unwrap();
    symlink("../outside", held.path().join("log/guests")).unwrap();
    let bounds = logfile::Bounds { limit: 10, copies: 1 };
    let mut log = logfile::LogFile::open(&dir, "q.log".as_ref(), bounds).unwrap();
    log.append(b"aaaa\nbbbb\ncccc\n").unwrap();
    assert_eq!(fs::read(held.path().join("log/moved/q.log")).unwrap(), b"cccc\n");
    assert_eq!(fs::read_dir(held.path().join("outside")).unwrap().count(), 0);
    assert!(matches!(root.dir(Path::new("guests")), Err(Error::SymlinkOnTheWay { .. })));
}

#[test]
fn what_is_no_directory_is_named() {
    let (held, root) = root();
    let error = root.dir(Path::new("plain")).unwrap_err();
    assert!(matches!(error, Error::NotADirectory { .. }), "{error}");
    let error = root.dir(Path::new("missing")).unwrap_err();
    assert_eq!(error.to_string(), format!("the directory {} is gone", held.path().join("log/missing").display()));
    assert!(matches!(Root::open(&held.path().join("log/plain")), Err(Error::NotADirectory { .. })));
    assert!(matches!(Root::open(&held.path().join("nowhere")), Err(Error::DirectoryGone { .. })));
}

#[test]
fn links_in_the_path_of_the_root_itself_are_trusted() {
    let (held, _root) = root();
    symlink("log", held.path().join("link")).unwrap();
    let root = Root::open(&held.path().join("link")).unwrap();
    assert!(root.dir(Path::new("guests")).is_ok());
}

#[test]
fn logs_in_one_directory_share_its_descriptor() {
    let (_held, root) = root();
    let first = root.dir(Path::new("guests")).unwrap();
    let held = descriptors();
    let others: Vec<Dir> = (0..100).map(|_| root.dir(Path::new("guests")).unwrap()).collect();
    assert!(others.iter().all(|other| *other == first));
    // Tests that run in other threads of this process open and close descriptors too, but not a hundred.
    assert!(descriptors() < held + 50);
}

fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

#[test]
fn a_directory_that_was_replaced_is_another_one() {
    let (held, root) = root();
    let guests = held.path().join("log/guests");
    let dir = root.dir(Path::new("guests")).unwrap();
    assert!(!dir.is_gone().unwrap());
    fs::remove_dir(&guests).unwrap();
    assert!(dir.is_gone().unwrap());
    fs::create_dir(&guests).unwrap();
    assert!(dir.is_gone().unwrap());
    assert_ne!(root.dir(Path::new("guests")).unwrap(), dir);
}

#[test]
fn a_root_that_was_replaced_is_noticed() {
    let (held, root) = root();
    assert!(root.is_current());
    fs::rename(held.path().join("log"), held.path().join("old")).unwrap();
    assert!(!root.is_current());
    fs::create_dir(held.path().join("log")).unwrap();
    assert!(!root.is_current());
}

#[test]
fn a_fifo_is_located_without_being_opened() {
    let (held, root) = root();
    let dir = Dir::open(&held.path().join("log")).unwrap();
    mkfifoat(&dir, "pipe", Mode::RUSR | Mode::WUSR).unwrap();
    let located = root.locate(Path::new("pipe")).unwrap();
    assert_eq!(FileType::from_raw_mode(fstat(&located).unwrap().st_mode), FileType::Fifo);
    assert!(matches!(root.locate(Path::new("../outside")), Err(Error::LeadsOutside { .. })));
    let missing = root.locate(Path::new("missing")).unwrap_err();
    assert_eq!(missing.raw_os_error(), Some(rustix::io::Errno::NOENT.raw_os_error()), "{missing}");
}
