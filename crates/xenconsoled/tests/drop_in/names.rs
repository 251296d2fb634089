//! Log files of domains whose names are no good file names: libxl takes any name.

use std::fs;

use testbed::until;

use crate::scene::{Scene, Which};

/// Stock goes into a subdirectory, or has no log if there is none.
pub fn a_slash_in_a_name(scene: &mut Scene) {
    let guest = scene.machine.guest(7, "a/b");
    fs::create_dir(scene.log_dir().join("guest-a")).unwrap();
    scene.start(&["--log=guest"]);
    guest.write("hello\n");
    match scene.which {
        Which::Stock => scene.log_holds("guest-a/b.log", "hello\n"),
        Which::Ours => scene.log_holds("guest-a_b.log", "hello\n"),
    }
}

/// Stock leaves the directory of logs if it can.
pub fn a_name_that_leads_up(scene: &mut Scene) {
    let guest = scene.machine.guest(7, "../../outside");
    fs::create_dir(scene.log_dir().join("guest-..")).unwrap();
    scene.start(&["--log=guest"]);
    guest.write("hello\n");
    let outside = scene.dir().join("log/outside.log");
    match scene.which {
        Which::Stock => {
            until("a log outside", || (fs::read_to_string(&outside).ok()? == "hello\n").then_some(()));
        }
        Which::Ours => {
            scene.log_holds("guest-.._.._outside.log", "hello\n");
            assert!(!outside.exists());
        }
    }
}

/// The store takes names that the file system does not. Stock has no log then.
pub fn a_name_that_is_too_long(scene: &mut Scene) {
    let guest = scene.machine.guest(7, &"x".repeat(300));
    scene.start(&["--log=guest"]);
    let mut tty = scene.tty(7);
    guest.write("hello\r\n");
    tty.shows("hello\r\n");
    scene.barrier();
    match scene.which {
        Which::Stock => assert!(scene.logs().is_empty(), "{:?}", scene.logs()),
        Which::Ours => {
            let log = until("a log", || scene.logs().pop());
            assert!(log.starts_with("guest-xxxxxxxx") && log.ends_with(".log"), "{log}");
            scene.log_holds(&log, "hello\r\n");
        }
    }
}

pub fn an_empty_name(scene: &mut Scene) {
    let guest = scene.machine.guest(7, "");
    scene.start(&["--log=guest"]);
    let mut tty = scene.tty(7);
    guest.write("hello\r\n");
    tty.shows("hello\r\n");
    scene.barrier();
    if scene.which == Which::Stock {
        assert!(scene.logs().is_empty(), "{:?}", scene.logs());
    }
}

/// Stock mixes both into one file.
pub fn one_name_for_two(scene: &mut Scene) {
    let one = scene.machine.guest(7, "web");
    scene.start(&["--log=guest"]);
    one.write("one\n");
    scene.log_holds("guest-web.log", "one\n");
    let two = scene.machine.guest(8, "web");
    two.write("two\n");
    two.drained();
    match scene.which {
        Which::Stock => scene.log_holds("guest-web.log", "one\ntwo\n"),
        Which::Ours => {
            let name = until("a log of its own", || scene.logs().into_iter().find(|name| name != "guest-web.log"));
            assert!(name.starts_with("guest-web") && name.contains('8'), "{name}");
            scene.log_holds(&name, "two\n");
            assert_eq!(scene.log("guest-web.log"), "one\n");
        }
    }
}
