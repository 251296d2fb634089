//! What may be a log, and what opening one changes.

mod scene;

use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::net::UnixListener;
use std::sync::atomic::{AtomicBool, Ordering};

use logfile::{Bounds, Dir, Error, Follower, Kind, Listings, LogFile, Next, Start};
use rustix::fs::{FileType, Mode, RenameFlags, XattrFlags, makedev, mkfifoat, mknodat, renameat_with};
use scene::{NAME, Scene};

/// Opens what is not a log: it is refused, and the directory stays as it is.
#[track_caller]
fn refused(scene: &Scene) -> Error {
    let state = || -> Vec<(String, u64, u32, u64, i64)> {
        let mut entries: Vec<_> = fs::read_dir(scene.root())
            .unwrap()
            .map(|entry| entry.unwrap())
            .map(|entry| {
                let metadata = entry.path().symlink_metadata().unwrap();
                let name = entry.file_name().into_string().unwrap();
                (name, metadata.ino(), metadata.mode(), metadata.size(), metadata.ctime_nsec())
            })
            .collect();
        entries.sort();
        entries
    };
    let before = state();
    let error = scene.open(10, 2).unwrap_err();
    assert_eq!(state(), before);
    assert!(error.to_string().contains(scene.root().to_str().unwrap()), "{error}");
    error
}

#[test]
fn a_new_log_is_for_its_owner_to_write_and_its_group_to_read() {
    let scene = Scene::new();
    let mut log = scene.open(10, 2).unwrap();
    log.append(b"aaaa\nbbbb\ncccc\n").unwrap();
    for number in 0..2 {
        assert_eq!(fs::metadata(scene.path(number)).unwrap().mode() & 0o7777, 0o640);
    }
}

#[test]
fn an_existing_log_is_appended_to() {
    let scene = Scene::new();
    scene.put(0, "old\n");
    fs::set_permissions(scene.path(0), Permissions::from_mode(0o644)).unwrap();
    let inode = fs::metadata(scene.path(0)).unwrap().ino();
    let mut log = scene.open(10, 2).unwrap();
    log.append(b"new\n").unwrap();
    assert_eq!(scene.texts(), [("q.log".into(), "old\nnew\n".into())]);
    assert_eq!(fs::metadata(scene.path(0)).unwrap().ino(), inode);
    assert_eq!(fs::metadata(scene.path(0)).unwrap().mode() & 0o7777, 0o644, "the mode is its owner's choice");
}

#[test]
fn a_log_larger_than_its_limit_is_rotated_and_never_truncated() {
    let scene = Scene::new();
    scene.put(0, "larger than the limit\n");
    scene.put(1, "aaaa\n");
    let log = scene.open(10, 3).unwrap();
    assert_eq!(log.size(), 0);
    assert_eq!(scene.get(1), "larger than the limit\n");
    assert_eq!(scene.get(0), "");
    assert_eq!(scene.get(2), "aaaa\n");
}

#[test]
fn a_log_of_exactly_the_limit_is_rotated_when_there_is_more() {
    let scene = Scene::new();
    scene.put(0, "123456789\n");
    let mut log = scene.open(10, 3).unwrap();
    assert_eq!(scene.files().len(), 1);
    log.append(b"a\n").unwrap();
    assert_eq!((scene.get(1).as_str(), scene.get(0).as_str()), ("123456789\n", "a\n"));
}

#[test]
fn surplus_copies_are_removed_however_far_away() {
    let scene = Scene::new();
    for number in [1, 2, 3, 4, 9, 50, 99_999] {
        scene.put(number, format!("{number}\n"));
    }
    let others = ["q.log.20240131", "q.log.05", "q.log.5.gz", "q.logs", "other.log.7"];
    for other in others {
        fs::write(scene.root().join(other), other).unwrap();
    }
    fs::create_dir(scene.path(60)).unwrap();
    symlink("/etc/passwd", scene.path(61)).unwrap();
    let mut log = scene.open(100, 3).unwrap();
    let names = || scene.files().into_keys().collect::<Vec<_>>();
    let mut expected = vec!["q.log", "q.log.1", "q.log.2", "q.log.3", "q.log.60"];
    expected.extend(others);
    expected.sort_unstable();
    assert_eq!(names(), expected);
    log.set_bounds(Bounds { limit: 100, copies: 1 }).unwrap();
    expected.retain(|name| !["q.log.2", "q.log.3"].contains(name));
    assert_eq!(names(), expected);
    scene.put(2, "again");
    log.reopen().unwrap();
    assert_eq!(names(), expected);
    assert!(fs::metadata("/etc/passwd").is_ok());
}

#[test]
fn many_logs_are_opened_with_one_listing() {
    let scene = Scene::new();
    let mut listings = Listings::new();
    let names: Vec<String> = (0..20).map(|number| format!("q{number}.log")).collect();
    for name in &names {
        for copy in [1, 2, 3, 7] {
            fs::write(scene.root().join(format!("{name}.{copy}")), "x\n").unwrap();
        }
    }
    let bounds = Bounds { limit: 10, copies: 2 };
    let mut open = |name: &str| LogFile::open_with(&scene.dir, OsStr::new(name), bounds, &mut listings).unwrap();
    let mut logs: Vec<LogFile> = names.iter().map(|name| open(name)).collect();
    assert_eq!(scene.files().len(), 20 * 3);
    // The listing is out of date by now, but what rotations make leaves no gaps.
    for copy in [3, 4] {
        fs::write(scene.root().join(format!("q5.log.{copy}")), "x\n").unwrap();
    }
    logs[5].reopen_with(&mut listings).unwrap();
    assert_eq!(scene.files().len(), 20 * 3);
}

#[test]
fn a_lower_limit_holds_at_once_and_for_the_copies_too() {
    let scene = Scene::new();
    let mut log = scene.open(100, 3).unwrap();
    for letter in ["a", "b", "c", "d"] {
        log.append(format!("{}\n", letter.repeat(60)).as_bytes()).unwrap();
    }
    assert_eq!(scene.total(), 4 * 61);
    log.set_bounds(Bounds { limit: 50, copies: 3 }).unwrap();
    // The live file did not fit and went to file.1; what is left of the copies fits in 3 × 50 bytes.
    assert_eq!(log.size(), 0);
    assert_eq!((scene.get(1), scene.get(2)), (format!("{}\n", "d".repeat(60)), format!("{}\n", "c".repeat(60))));
    assert_eq!(scene.total(), 2 * 61);
}

#[test]
fn a_foreign_large_log_is_kept_until_the_next_rotation() {
    let scene = Scene::new();
    let large = "x".repeat(1000);
    scene.put(0, &large);
    let mut log = scene.open(10, 3).unwrap();
    assert_eq!(scene.get(1), large);
    log.append(b"aaaa\n").unwrap();
    drop(log);
    let mut log = scene.open(10, 3).unwrap();
    assert_eq!(scene.get(1), large, "opening once more does not take it either");
    log.append(b"bbbb\ncccc\n").unwrap();
    assert_eq!(scene.texts(), [("q.log".into(), "cccc\n".into()), ("q.log.1".into(), "aaaa\nbbbb\n".into())]);
}

#[test]
fn without_copies_what_is_there_goes() {
    let scene = Scene::new();
    scene.put(0, "larger than the limit\n");
    scene.put(1, "aaaa\n");
    let log = scene.open(10, 0).unwrap();
    assert_eq!(scene.texts(), [("q.log".into(), String::new())]);
    assert_eq!(log.offset(), 22);
}

#[test]
fn the_offset_goes_on_where_the_last_writer_stopped() {
    let scene = Scene::new();
    let mut log = scene.open(10, 3).unwrap();
    log.append(b"aaaa\nbbbb\ncccc\n").unwrap();
    drop(log);
    assert_eq!(scene.open(10, 3).unwrap().offset(), 15);
    fs::remove_file(scene.path(0)).unwrap();
    let mut log = scene.open(10, 3).unwrap();
    assert_eq!(log.offset(), 10, "the newest copy ends there");
    log.append(b"dddd\n").unwrap();
    assert_eq!(log.offset(), 15);
    drop(log);
    // A live file that somebody copied without its attributes, or that says less than the copies do.
    let content = scene.get(0);
    fs::remove_file(scene.path(0)).unwrap();
    scene.put(0, content);
    assert_eq!(scene.open(10, 3).unwrap().offset(), 15);
    rustix::fs::setxattr(scene.path(0), "user.xenlog.base", b"3", XattrFlags::empty()).unwrap();
    assert_eq!(scene.open(10, 3).unwrap().offset(), 15);
}

/// A log was shortened, went on, and was emptied while nobody had it open. The next writer began with the first byte of
/// the file as numbered before the second loss, and used numbers twice that the log had already come to.
#[test]
fn the_offset_does_not_go_back_to_before_a_loss_that_was_noticed() {
    let scene = Scene::new();
    let mut log = scene.open(100, 3).unwrap();
    log.append(b"aaaa\nbbbb\n").unwrap();
    let live = File::options().write(true).open(scene.path(0)).unwrap();
    live.set_len(5).unwrap();
    log.check().unwrap();
    drop(log);
    live.set_len(0).unwrap();
    let mut log = scene.open(100, 3).unwrap();
    assert_eq!(log.offset(), 10);
    log.append(b"cccc\n").unwrap();
    let mut follower = Follower::open(&scene.dir, OsStr::new(NAME), Start::Offset(10)).unwrap();
    assert_eq!(follower.read(&mut [0; 10]).unwrap(), Next::Bytes(5));
    drop(log);
    // The same with a copy.
    fs::rename(scene.path(0), scene.path(1)).unwrap();
    File::options().write(true).open(scene.path(1)).unwrap().set_len(2).unwrap();
    rustix::fs::setxattr(scene.path(1), "user.xenlog.base", b"8 40", XattrFlags::empty()).unwrap();
    assert_eq!(scene.open(100, 3).unwrap().offset(), 40);
}

#[test]
fn a_symbolic_link_is_refused_wherever_it_leads() {
    for target in ["/etc/passwd", "elsewhere", "/nowhere/at/all"] {
        let scene = Scene::new();
        fs::write(scene.root().join("elsewhere"), "x").unwrap();
        symlink(target, scene.path(0)).unwrap();
        let error = refused(&scene);
        assert!(matches!(error, Error::Symlink { .. }), "{error}");
    }
}

#[test]
fn what_is_no_regular_file_is_refused_by_its_kind() {
    let owner = Mode::RUSR | Mode::WUSR;
    type Make = fn(&Scene, Mode) -> bool;
    let cases: [(Kind, &str, Make); 5] = [
        (Kind::Directory, "a directory", |scene, _| fs::create_dir(scene.path(0)).is_ok()),
        (Kind::Fifo, "a FIFO", |scene, mode| mkfifoat(&scene.dir, NAME, mode).is_ok()),
        (Kind::Socket, "a socket", |scene, _| UnixListener::bind(scene.path(0)).is_ok()),
        (Kind::CharacterDevice, "a character device", |scene, mode| {
            mknodat(&scene.dir, NAME, FileType::CharacterDevice, mode, makedev(1, 3)).is_ok()
        }),
        (Kind::BlockDevice, "a block device", |scene, mode| {
            mknodat(&scene.dir, NAME, FileType::BlockDevice, mode, makedev(7, 0)).is_ok()
        }),
    ];
    for (expected, words, make) in cases {
        let scene = Scene::new();
        if !make(&scene, owner) {
            assert!(matches!(expected, Kind::CharacterDevice | Kind::BlockDevice), "{words} cannot be made");
            eprintln!("not tried: {words}, which only root can make");
            continue;
        }
        let error = refused(&scene);
        assert!(matches!(error, Error::NotRegular { kind, .. } if kind == expected), "{error}");
        assert!(error.to_string().contains(words), "{error}");
    }
}

/// Somebody swaps the log for something else, over and over. What is looked at first is not what is opened then.
#[test]
fn what_is_swapped_between_a_look_and_the_opening_is_refused() {
    let swaps: [fn(&Scene); 2] = [
        |scene| symlink(scene.root().join("victim"), scene.root().join("other")).unwrap(),
        |scene| mkfifoat(&scene.dir, "other", Mode::RUSR | Mode::WUSR).unwrap(),
    ];
    for swap in swaps {
        let scene = Scene::new();
        fs::write(scene.root().join("victim"), "").unwrap();
        scene.put(0, "");
        swap(&scene);
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    renameat_with(&scene.dir, NAME, &scene.dir, "other", RenameFlags::EXCHANGE).unwrap();
                }
            });
            let mut opened = 0;
            for _ in 0..3000 {
                match scene.open(1 << 20, 2) {
                    Ok(mut log) => {
                        log.append(b"x").unwrap();
                        opened += 1;
                    }
                    Err(Error::Symlink { .. } | Error::NotRegular { .. }) => {}
                    Err(error) => panic!("{error}"),
                }
            }
            done.store(true, Ordering::Relaxed);
            eprintln!("opened {opened} times of 3000");
        });
        assert_eq!(fs::read(scene.root().join("victim")).unwrap(), b"");
    }
}

#[test]
fn a_hard_linked_file_is_refused() {
    let scene = Scene::new();
    fs::write(scene.root().join("shadow"), "secret").unwrap();
    fs::hard_link(scene.root().join("shadow"), scene.path(0)).unwrap();
    let error = refused(&scene);
    assert!(matches!(error, Error::HardLinked { links: 2, .. }), "{error}");
}

#[test]
fn a_file_of_another_user_is_refused() {
    let scene = Scene::new();
    scene.put(0, "theirs");
    if chown(scene.path(0), Some(12345), None).is_err() {
        eprintln!("not tried: only root can give a file away");
        return;
    }
    let error = refused(&scene);
    assert!(matches!(error, Error::ForeignOwner { owner: 12345, .. }), "{error}");
}

#[test]
fn a_directory_with_the_name_of_a_copy_is_named() {
    let scene = Scene::new();
    fs::create_dir(scene.path(2)).unwrap();
    let error = refused(&scene);
    assert!(error.to_string().contains("q.log.2 is a directory"), "{error}");
    let mut log = scene.open(10, 1).unwrap();
    let error = log.set_bounds(Bounds { limit: 5, copies: 2 }).unwrap_err();
    assert!(matches!(error, Error::InTheWay { .. }), "{error}");
    assert_eq!(log.bounds(), Bounds { limit: 10, copies: 1 }, "refused bounds change nothing");
}

#[test]
fn bounds_that_make_no_log_are_refused() {
    let scene = Scene::new();
    for (limit, copies) in [(0, 1), (10, Bounds::MAX_COPIES + 1)] {
        assert!(matches!(scene.open(limit, copies), Err(Error::BadBounds { .. })));
    }
    assert_eq!(scene.files().len(), 0);
}

#[test]
fn a_name_is_one_name_and_leaves_room_for_the_copies() {
    let scene = Scene::new();
    let open = |name: &str| LogFile::open(&scene.dir, OsStr::new(name), Bounds { limit: 10, copies: 10 });
    for name in ["", ".", "..", "a/b", "/etc/passwd", "a\0b"] {
        assert!(matches!(open(name), Err(Error::BadName { .. })), "{name:?}");
    }
    assert!(matches!(open(&"x".repeat(253)), Err(Error::NameTooLong { .. })));
    assert_eq!(scene.files().len(), 0);
    let mut log = open(&"x".repeat(252)).unwrap();
    for _ in 0..12 {
        log.append(b"aaaaaaaaa\n").unwrap();
    }
    assert_eq!(scene.files().len(), 11);
}

#[test]
fn a_directory_that_is_gone_is_named() {
    let scene = Scene::new();
    let path = scene.root().join("guests");
    fs::create_dir(&path).unwrap();
    let dir = Dir::open(&path).unwrap();
    fs::remove_dir(&path).unwrap();
    let error = LogFile::open(&dir, OsStr::new(NAME), Bounds { limit: 10, copies: 2 }).unwrap_err();
    assert_eq!(error.to_string(), format!("the directory {} is gone", path.display()));
}
