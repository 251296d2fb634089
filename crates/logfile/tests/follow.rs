//! A follower gets every byte once and in order, or is told how many it missed.

mod scene;

use std::ffi::OsStr;
use std::fs;

use logfile::{Follower, Next, Start};
use scene::{NAME, Scene};

/// What a follower delivered.
#[derive(Debug, PartialEq, Eq)]
enum Got {
    Text(String),
    Missed(Option<u64>),
}

fn text(text: &str) -> Got {
    Got::Text(text.into())
}

fn follow(scene: &Scene, start: Start) -> Follower {
    Follower::open(&scene.dir, OsStr::new(NAME), start).unwrap()
}

/// Reads until the follower is up to date, a few bytes at a time.
fn drain(follower: &mut Follower) -> Vec<Got> {
    let mut got = Vec::new();
    let mut buffer = [0; 7];
    loop {
        match follower.read(&mut buffer).unwrap() {
            Next::UpToDate => return got,
            Next::Missed(missed) => got.push(Got::Missed(missed)),
            Next::Bytes(len) => {
                let piece = std::str::from_utf8(&buffer[..len]).unwrap();
                match got.last_mut() {
                    Some(Got::Text(text)) => text.push_str(piece),
                    _ => got.push(text(piece)),
                }
            }
        }
    }
}

#[test]
fn it_goes_on_across_rotations() {
    let scene = Scene::new();
    let mut log = scene.open(10, 3).unwrap();
    let mut follower = follow(&scene, Start::Oldest);
    assert_eq!(drain(&mut follower), []);
    log.append(b"aaaa\n").unwrap();
    assert_eq!(drain(&mut follower), [text("aaaa\n")]);
    log.append(b"bbbb\ncccc\ndddd\neeee\nffff\n").unwrap();
    assert_eq!(drain(&mut follower), [text("bbbb\ncccc\ndddd\neeee\nffff\n")]);
    assert_eq!(follower.offset(), Some(30));
    log.rotate().unwrap();
    assert_eq!(drain(&mut follower), []);
    log.append(b"gggg\n").unwrap();
    assert_eq!(drain(&mut follower), [text("gggg\n")]);
    assert_eq!(follower.offset(), Some(log.offset()));
}

#[test]
fn it_says_how_much_retention_took() {
    let scene = Scene::new();
    let mut log = scene.open(10, 1).unwrap();
    log.append(b"aaaa\n").unwrap();
    let mut follower = follow(&scene, Start::Oldest);
    assert_eq!(drain(&mut follower), [text("aaaa\n")]);
    log.append(b"bbbb\ncccc\ndddd\neeee\nffff\ngggg\n").unwrap();
    // The file that it holds can still be read to its end.
    assert_eq!(
        drain(&mut follower),
        [text("bbbb\n"), Got::Missed(Some(10)), text("eeee\nffff\ngggg\n")].into_iter().collect::<Vec<_>>()
    );
}

#[test]
fn it_begins_where_it_is_told() {
    let scene = Scene::new();
    let mut log = scene.open(10, 2).unwrap();
    log.append(b"aaaa\nbbbb\ncccc\ndddd\neeee\nffff\ngggg\nhh").unwrap();
    assert_eq!(scene.texts().len(), 3);
    let from = |start| drain(&mut follow(&scene, start));
    assert_eq!(from(Start::Oldest), [text("cccc\ndddd\neeee\nffff\ngggg\nhh")]);
    assert_eq!(from(Start::End), []);
    assert_eq!(from(Start::Lines(0)), []);
    assert_eq!(from(Start::Lines(1)), [text("hh")]);
    assert_eq!(from(Start::Lines(2)), [text("gggg\nhh")]);
    assert_eq!(from(Start::Lines(3)), [text("ffff\ngggg\nhh")]);
    assert_eq!(from(Start::Lines(5)), [text("dddd\neeee\nffff\ngggg\nhh")]);
    assert_eq!(from(Start::Lines(6)), [text("cccc\ndddd\neeee\nffff\ngggg\nhh")]);
    assert_eq!(from(Start::Lines(100)), [text("cccc\ndddd\neeee\nffff\ngggg\nhh")]);
    assert_eq!(from(Start::Offset(10)), [text("cccc\ndddd\neeee\nffff\ngggg\nhh")]);
    assert_eq!(from(Start::Offset(21)), [text("eee\nffff\ngggg\nhh")]);
    assert_eq!(from(Start::Offset(36)), [text("h")]);
    assert_eq!(from(Start::Offset(37)), []);
    assert_eq!(from(Start::Offset(3)), [Got::Missed(Some(7)), text("cccc\ndddd\neeee\nffff\ngggg\nhh")]);
    assert_eq!(from(Start::Offset(38)), [Got::Missed(None), text("cccc\ndddd\neeee\nffff\ngggg\nhh")]);
}

#[test]
fn the_last_line_need_not_have_a_newline() {
    let scene = Scene::new();
    let mut log = scene.open(100, 2).unwrap();
    log.append(b"one\ntwo\n").unwrap();
    let from = |start| drain(&mut follow(&scene, start));
    assert_eq!(from(Start::Lines(1)), [text("two\n")]);
    log.append(b"\n\n").unwrap();
    assert_eq!(from(Start::Lines(1)), [text("\n")]);
    assert_eq!(from(Start::Lines(3)), [text("two\n\n\n")]);
}

#[test]
fn it_waits_for_a_log_that_is_not_there_yet() {
    for start in [Start::Oldest, Start::End, Start::Lines(3), Start::Offset(0)] {
        let scene = Scene::new();
        let mut follower = follow(&scene, start);
        assert_eq!(drain(&mut follower), []);
        let mut log = scene.open(10, 2).unwrap();
        log.append(b"aaaa\nbbbb\ncccc\n").unwrap();
        assert_eq!(drain(&mut follower), [text("aaaa\nbbbb\ncccc\n")], "{start:?}");
    }
}

#[test]
fn a_gap_that_an_outsider_made_is_counted() {
    let scene = Scene::new();
    let mut log = scene.open(10, 5).unwrap();
    log.append(b"aaaa\nbbbb\n").unwrap();
    let mut follower = follow(&scene, Start::Oldest);
    assert_eq!(drain(&mut follower), [text("aaaa\nbbbb\n")]);
    log.append(b"cccc\ndddd\neeee\nffff\ngggg\n").unwrap();
    fs::remove_file(scene.path(2)).unwrap();
    assert_eq!(drain(&mut follower), [Got::Missed(Some(10)), text("eeee\nffff\ngggg\n")]);
}

/// Nobody had the log open when it was shortened, so nobody counted what was lost: the numbers go on from what was
/// left, and are used twice.
#[test]
fn a_loss_that_nobody_counted_is_told_without_a_number() {
    for more_in_the_same_file in [true, false] {
        let scene = Scene::new();
        let mut log = scene.open(100, 3).unwrap();
        log.append(b"aaaa\nbbbb\n").unwrap();
        let mut follower = follow(&scene, Start::Oldest);
        assert_eq!(drain(&mut follower), [text("aaaa\nbbbb\n")]);
        drop(log);
        fs::File::options().write(true).open(scene.path(0)).unwrap().set_len(3).unwrap();
        assert_eq!(drain(&mut follower), []);
        let mut log = scene.open(100, 3).unwrap();
        assert_eq!(log.offset(), 3);
        if !more_in_the_same_file {
            log.rotate().unwrap();
        }
        log.append(b"as long as what was lost\n").unwrap();
        assert_eq!(drain(&mut follower), [Got::Missed(None), text("as long as what was lost\n")]);
        assert_eq!(follower.offset(), Some(log.offset()));
    }
}
