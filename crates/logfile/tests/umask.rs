//! The mode of a log does not depend on the umask. That belongs to the whole process, so this test has one of its own.

mod scene;

use std::fs;
use std::os::unix::fs::MetadataExt;

use rustix::fs::Mode;
use scene::Scene;

#[test]
fn the_mode_is_as_stated_whatever_the_umask() {
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
    let scene = Scene::new();
    let mut log = scene.open(10, 2).unwrap();
    log.append(b"aaaa\nbbbb\ncccc\n").unwrap();
    for number in 0..2 {
        assert_eq!(fs::metadata(scene.path(number)).unwrap().mode() & 0o7777, 0o640);
    }
}
