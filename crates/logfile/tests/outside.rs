//! Files that are removed, renamed, shortened or added to from outside: the log notices and goes on.

mod scene;

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::symlink;

use logfile::{Dir, Error, Follower, Next, Start};
use rustix::fs::{Mode, mkfifoat};
use scene::{NAME, Scene, WAYS};

/// Reads until nothing is left: what came, and how much was missed.
fn drain(follower: &mut Follower) -> (String, u64) {
    let (mut bytes, mut missed, mut buffer) = (Vec::new(), 0, [0; 100]);
    loop {
        match follower.read(&mut buffer).unwrap() {
            Next::Bytes(len) => bytes.extend_from_slice(&buffer[..len]),
            Next::Missed(count) => missed += count.expect("it is known how many"),
            Next::UpToDate => return (String::from_utf8(bytes).unwrap(), missed),
        }
    }
}

fn follow(scene: &Scene) -> Follower {
    Follower::open(&scene.dir, OsStr::new(NAME), Start::Oldest).unwrap()
}

#[test]
fn a_removed_log_is_made_anew_at_the_next_append() {
    for way in WAYS {
        let scene = Scene::new();
        let mut log = scene.open(10, 2).unwrap();
        let mut follower = follow(&scene);
        way.append(&mut log, "aaaa\n").unwrap();
        assert_eq!(drain(&mut follower), ("aaaa\n".into(), 0));
        way.append(&mut log, "b").unwrap();
        fs::remove_file(scene.path(0)).unwrap();
        way.append(&mut log, "cccc\n").unwrap();
        assert_eq!(scene.texts(), [("q.log".into(), "cccc\n".into())]);
        assert_eq!((log.size(), log.offset()), (5, 11));
        assert_eq!(drain(&mut follower), ("bcccc\n".into(), 0), "it holds the removed file");
    }
}

#[test]
fn a_removed_log_is_made_anew_by_a_check_too() {
    let scene = Scene::new();
    let mut log = scene.open(10, 2).unwrap();
    fs::remove_file(scene.path(0)).unwrap();
    log.check().unwrap();
    assert_eq!(scene.get(0), "");
}

#[test]
fn one_look_tells_whether_anything_was_done_to_it() {
    type Strike = fn(&Scene);
    let strikes: [(&str, Strike); 4] = [
        ("removed", |scene| fs::remove_file(scene.path(0)).unwrap()),
        ("renamed", |scene| fs::rename(scene.path(0), scene.path(7)).unwrap()),
        ("shortened", |scene| File::options().write(true).open(scene.path(0)).unwrap().set_len(1).unwrap()),
        ("added to", |scene| write!(OpenOptions::new().append(true).open(scene.path(0)).unwrap(), "x").unwrap()),
    ];
    for (what, strike) in strikes {
        let scene = Scene::new();
        let mut log = scene.open(10, 2).unwrap();
        log.append(b"aaaa\n").unwrap();
        assert!(log.is_as_left(), "before it was {what}");
        strike(&scene);
        assert!(!log.is_as_left(), "{what}");
        log.check().unwrap();
        assert!(log.is_as_left(), "{what}, and that was seen to");
    }
}

#[test]
fn removed_copies_are_not_missed() {
    for way in WAYS {
        let scene = Scene::new();
        let mut log = scene.open(10, 3).unwrap();
        way.append(&mut log, "aaaa\nbbbb\ncccc\ndddd\neeee\nffff\ngggg\n").unwrap();
        fs::remove_file(scene.path(2)).unwrap();
        way.append(&mut log, "hhhh\niiii\n").unwrap();
        let texts: Vec<String> = (0..4).map(|number| scene.get(number)).collect();
        assert_eq!(texts, ["iiii\n", "gggg\nhhhh\n", "eeee\nffff\n", "aaaa\nbbbb\n"], "the gap is filled first");
    }
}

#[test]
fn a_log_that_was_emptied_goes_on_from_the_beginning() {
    for way in WAYS {
        let scene = Scene::new();
        let mut log = scene.open(10, 2).unwrap();
        let mut follower = follow(&scene);
        way.append(&mut log, "aaaa\n").unwrap();
        assert_eq!(drain(&mut follower), ("aaaa\n".into(), 0));
        way.append(&mut log, "bbb\n").unwrap();
        File::create(scene.path(0)).unwrap();
        assert_eq!(drain(&mut follower), (String::new(), 0));
        way.append(&mut log, "cccc\n").unwrap();
        assert_eq!(scene.texts(), [("q.log".into(), "cccc\n".into())]);
        assert_eq!((log.size(), log.offset()), (5, 14));
        assert_eq!(drain(&mut follower), ("cccc\n".into(), 4));
        // And if it has grown beyond where the follower was before that looks again.
        File::create(scene.path(0)).unwrap();
        way.append(&mut log, "ddddddd\n").unwrap();
        assert_eq!(drain(&mut follower), ("ddddddd\n".into(), 0));
        assert_eq!(follower.offset(), Some(log.offset()));
    }
}

#[test]
fn a_log_that_was_shortened_goes_on_at_its_end() {
    for way in WAYS {
        let scene = Scene::new();
        let mut log = scene.open(20, 2).unwrap();
        let mut follower = follow(&scene);
        way.append(&mut log, "aaaa\nbbbb\n").unwrap();
        assert_eq!(drain(&mut follower), ("aaaa\nbbbb\n".into(), 0));
        way.append(&mut log, "cc\n").unwrap();
        File::options().write(true).open(scene.path(0)).unwrap().set_len(7).unwrap();
        way.append(&mut log, "dddd\n").unwrap();
        assert_eq!(scene.get(0), "aaaa\nbbdddd\n");
        assert_eq!((log.size(), log.offset()), (12, 18));
        assert_eq!(drain(&mut follower), ("dddd\n".into(), 3));
        // A second follower gets what is there, a third one only what its offset is good for.
        assert_eq!(drain(&mut follow(&scene)), ("aaaa\nbbdddd\n".into(), 0));
        let mut third = Follower::open(&scene.dir, OsStr::new(NAME), Start::Offset(8)).unwrap();
        assert_eq!(drain(&mut third), ("dddd\n".into(), 5));
        drop(log);
        let mut log = scene.open(20, 2).unwrap();
        assert_eq!(log.offset(), 18);
        way.append(&mut log, "eeee\n").unwrap();
        assert_eq!(drain(&mut follower), ("eeee\n".into(), 0));
    }
}

#[test]
fn bytes_of_others_count_and_the_limit_holds() {
    for way in WAYS {
        let scene = Scene::new();
        let mut log = scene.open(10, 2).unwrap();
        let mut follower = follow(&scene);
        way.append(&mut log, "aa\n").unwrap();
        OpenOptions::new().append(true).open(scene.path(0)).unwrap().write_all(b"xx\n").unwrap();
        way.append(&mut log, "bb\ncc\n").unwrap();
        assert_eq!((scene.get(1).as_str(), scene.get(0).as_str()), ("aa\nxx\nbb\n", "cc\n"));
        assert_eq!(log.offset(), 12);
        assert_eq!(drain(&mut follower), ("aa\nxx\nbb\ncc\n".into(), 0));
        OpenOptions::new().append(true).open(scene.path(0)).unwrap().write_all(b"xxxxxxxxxxxxxxx\n").unwrap();
        way.append(&mut log, "dd\n").unwrap();
        assert_eq!((scene.get(1).as_str(), scene.get(0).as_str()), ("cc\nxxxxxxxxxxxxxxx\n", "dd\n"));
        assert_eq!(log.offset(), 31);
        assert_eq!(drain(&mut follower), ("xxxxxxxxxxxxxxx\ndd\n".into(), 0));
    }
}

#[test]
fn a_renamed_log_is_found_by_a_check() {
    for way in WAYS {
        let scene = Scene::new();
        let mut log = scene.open(10, 2).unwrap();
        let mut follower = follow(&scene);
        way.append(&mut log, "aaaa\n").unwrap();
        fs::rename(scene.path(0), scene.root().join("away")).unwrap();
        way.append(&mut log, "bbbb\n").unwrap();
        assert_eq!(fs::read(scene.root().join("away")).unwrap(), b"aaaa\nbbbb\n");
        log.check().unwrap();
        way.append(&mut log, "cccc\n").unwrap();
        assert_eq!(scene.get(0), "cccc\n");
        assert_eq!((log.size(), log.offset()), (5, 15));
        assert_eq!(drain(&mut follower), ("aaaa\nbbbb\ncccc\n".into(), 0));
    }
}

#[test]
fn a_renamed_log_is_left_by_a_rotation_too() {
    for way in WAYS {
        let scene = Scene::new();
        let mut log = scene.open(10, 2).unwrap();
        way.append(&mut log, "aaaa\n").unwrap();
        fs::rename(scene.path(0), scene.root().join("away")).unwrap();
        way.append(&mut log, "bbbb\ncccc\n").unwrap();
        let expected = [("away".into(), "aaaa\nbbbb\n".into()), ("q.log".into(), "cccc\n".into())];
        assert_eq!(scene.texts(), expected, "no copy is moved for a file that is not there");
    }
}

#[test]
fn another_file_of_that_name_is_gone_on_in() {
    let scene = Scene::new();
    let mut log = scene.open(10, 2).unwrap();
    let mut follower = follow(&scene);
    log.append(b"aaaa\n").unwrap();
    fs::rename(scene.path(0), scene.path(1)).unwrap();
    scene.put(0, "hi\n");
    log.check().unwrap();
    log.append(b"bbbb\n").unwrap();
    assert_eq!((scene.get(1).as_str(), scene.get(0).as_str()), ("aaaa\n", "hi\nbbbb\n"));
    assert_eq!((log.size(), log.offset()), (8, 13));
    assert_eq!(drain(&mut follower), ("aaaa\nhi\nbbbb\n".into(), 0));
    fs::remove_file(scene.path(0)).unwrap();
    scene.put(0, "larger than the limit\n");
    log.check().unwrap();
    assert_eq!((scene.get(1).as_str(), log.size()), ("larger than the limit\n", 0));
}

#[test]
fn what_is_no_log_is_not_written_and_its_end_is_noticed() {
    for way in WAYS {
        let scene = Scene::new();
        let mut log = scene.open(10, 2).unwrap();
        way.append(&mut log, "aaaa\n").unwrap();
        fs::remove_file(scene.path(0)).unwrap();
        symlink(scene.root().join("target"), scene.path(0)).unwrap();
        for _ in 0..2 {
            let error = way.append(&mut log, "bbbb\n").unwrap_err();
            assert!(matches!(error.source, Error::Symlink { .. }), "{error}");
            assert_eq!(error.written, 0);
        }
        assert!(matches!(log.check(), Err(Error::Symlink { .. })));
        assert!(matches!(log.reopen(), Err(Error::Symlink { .. })));
        assert!(matches!(log.rotate(), Err(Error::Symlink { .. })));
        assert!(!scene.root().join("target").exists());
        fs::remove_file(scene.path(0)).unwrap();
        way.append(&mut log, "bbbb\n").unwrap();
        assert_eq!((scene.get(0).as_str(), log.offset()), ("bbbb\n", 10));
    }
}

#[test]
fn what_has_the_name_of_a_copy_is_moved_but_not_followed() {
    for way in WAYS {
        let scene = Scene::new();
        fs::write(scene.root().join("target"), "untouched").unwrap();
        symlink(scene.root().join("target"), scene.path(1)).unwrap();
        mkfifoat(&scene.dir, &*format!("{NAME}.2"), Mode::RUSR | Mode::WUSR).unwrap();
        let mut log = scene.open(10, 3).unwrap();
        way.append(&mut log, "aaaa\nbbbb\ncccc\n").unwrap();
        assert!(fs::symlink_metadata(scene.path(2)).unwrap().is_symlink());
        // A reader passes them over, and does not wait at the FIFO.
        assert_eq!(drain(&mut follow(&scene)), ("aaaa\nbbbb\ncccc\n".into(), 0));
        way.append(&mut log, "dddd\neeee\nffff\ngggg\nhhhh\n").unwrap();
        let texts: Vec<String> = (0..4).map(|number| scene.get(number)).collect();
        assert_eq!(texts, ["gggg\nhhhh\n", "eeee\nffff\n", "cccc\ndddd\n", "aaaa\nbbbb\n"]);
        assert_eq!(fs::read(scene.root().join("target")).unwrap(), b"untouched");
    }
}

#[test]
fn a_directory_in_the_way_of_a_rotation_is_numbered_around() {
    for way in WAYS {
        let scene = Scene::new();
        let mut log = scene.open(10, 3).unwrap();
        way.append(&mut log, "aaaa\nbbbb\ncccc\n").unwrap();
        fs::create_dir(scene.path(3)).unwrap();
        fs::write(scene.path(3).join("precious"), "x").unwrap();
        way.append(&mut log, "dddd\neeee\nffff\ngggg\n").unwrap();
        let texts: Vec<String> = (0..3).map(|number| scene.get(number)).collect();
        assert_eq!(texts, ["gggg\n", "eeee\nffff\n", "cccc\ndddd\n"]);
        assert!(scene.path(3).join("precious").exists());
        assert_eq!(drain(&mut follow(&scene)), ("cccc\ndddd\neeee\nffff\ngggg\n".into(), 0));
    }
}

#[test]
fn directories_in_the_way_of_all_copies_keep_the_log_from_losing_what_it_has() {
    for way in WAYS {
        let scene = Scene::new();
        let mut log = scene.open(10, 1).unwrap();
        fs::create_dir(scene.path(1)).unwrap();
        let error = way.append(&mut log, "aaaa\nbbbb\ncccc\n").unwrap_err();
        assert!(matches!(error.source, Error::InTheWay { .. }), "{error}");
        assert_eq!((error.written, scene.get(0).as_str()), (10, "aaaa\nbbbb\n"));
        fs::remove_dir(scene.path(1)).unwrap();
        way.append(&mut log, "cccc\n").unwrap();
        assert_eq!((scene.get(1).as_str(), scene.get(0).as_str()), ("aaaa\nbbbb\n", "cccc\n"));
    }
}

#[test]
fn a_directory_that_is_gone_is_an_error_until_the_log_is_opened_in_a_new_one() {
    for way in WAYS {
        let scene = Scene::new();
        let path = scene.root().join("guests");
        fs::create_dir(&path).unwrap();
        let open = || {
            let bounds = logfile::Bounds { limit: 10, copies: 1 };
            logfile::LogFile::open(&Dir::open(&path)?, OsStr::new(NAME), bounds)
        };
        let mut log = open().unwrap();
        way.append(&mut log, "aaaa\n").unwrap();
        fs::remove_dir_all(&path).unwrap();
        for _ in 0..2 {
            let error = way.append(&mut log, "bbbb\n").unwrap_err();
            assert_eq!(error.to_string(), format!("the directory {} is gone", path.display()));
            assert!(log.check().is_err());
        }
        assert!(log.dir().is_gone().unwrap());
        fs::create_dir(&path).unwrap();
        assert!(log.check().is_err(), "a new directory of that name is another one");
        log = open().unwrap();
        way.append(&mut log, "bbbb\n").unwrap();
        assert_eq!(fs::read(path.join(NAME)).unwrap(), b"bbbb\n");
    }
}

#[test]
fn a_directory_that_was_renamed_is_still_the_directory() {
    let scene = Scene::new();
    let path = scene.root().join("guests");
    fs::create_dir(&path).unwrap();
    let bounds = logfile::Bounds { limit: 10, copies: 1 };
    let mut log = logfile::LogFile::open(&Dir::open(&path).unwrap(), OsStr::new(NAME), bounds).unwrap();
    fs::rename(&path, scene.root().join("moved")).unwrap();
    log.append(b"aaaa\nbbbb\ncccc\n").unwrap();
    assert_eq!(fs::read(scene.root().join("moved").join(NAME)).unwrap(), b"cccc\n");
    assert!(!log.dir().is_gone().unwrap());
    fs::create_dir(&path).unwrap();
    assert_ne!(Dir::open(&path).unwrap(), *log.dir());
}
