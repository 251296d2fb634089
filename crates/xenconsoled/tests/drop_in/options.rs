//! The command line, as tools/console/daemon/main.c takes it.

use std::os::unix::process::CommandExt;
use std::process::{Command, Output};

use crate::scene::{Scene, Which};

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn output(scene: &Scene, options: &[&str]) -> Output {
    scene.command(options).output().unwrap()
}

pub fn version_and_help(scene: &mut Scene) {
    for option in ["-V", "--version", "--vers"] {
        let output = output(scene, &[option]);
        assert_eq!(
            (text(&output.stdout).as_str(), output.status.code()),
            ("Xen Console Daemon 3.0\n", Some(0)),
            "{option}"
        );
    }
    for option in ["-h", "--help", "--he"] {
        let output = output(scene, &[option]);
        assert_eq!(output.status.code(), Some(0), "{option}");
        // What it says is each daemon's own, but it names the program.
        assert!(text(&output.stdout).contains("xenconsoled"), "{}", text(&output.stdout));
    }
}

pub fn an_unknown_option_is_an_error(scene: &mut Scene) {
    for options in [&["--nonsense"][..], &["-x"], &["--log"], &["--pid-file"], &["-o"], &["--lo=guest"]] {
        let output = output(scene, options);
        assert_eq!(output.status.code(), Some(22), "{options:?}");
        assert!(text(&output.stderr).ends_with("--help' for more information\n"), "{}", text(&output.stderr));
    }
}

pub fn root_is_required(scene: &mut Scene) {
    // Without what says that everybody is root.
    let path = scene.command(&[]).get_program().to_owned();
    let mut command = Command::new(path);
    if rustix::process::geteuid().is_root() {
        command.uid(65534).gid(65534);
    }
    let output = match command.arg("-i").output() {
        Err(why) if why.kind() == std::io::ErrorKind::PermissionDenied => {
            println!("passed by: another user cannot reach the program");
            return;
        }
        output => output.unwrap(),
    };
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(text(&output.stderr).contains("requires root to run"), "{}", text(&output.stderr));
}

/// Nothing is said about a value that means nothing, and it changes nothing.
pub fn unknown_values_are_passed_by(scene: &mut Scene) {
    let guest = scene.machine.guest(7, "web");
    scene.start(&["--log=nonsense", "--log=guest", "--log=none", "-t", "nonsense", "-o", "nonsense", "--timestamp="]);
    scene.tty(7).shows("");
    guest.write("hello\n");
    scene.log_holds("guest-web.log", "hello\n");
    assert_eq!(scene.logs(), ["guest-web.log"]);
}

pub fn options_may_be_abbreviated_and_words_are_passed_by(scene: &mut Scene) {
    let guest = scene.machine.guest(7, "web");
    let dir = scene.log_dir().join("other");
    std::fs::create_dir(&dir).unwrap();
    let log_dir = format!("--log-d={}", dir.display());
    let mut command = scene.command(&["--inter", "word", "--log=guest", &log_dir, "--rep", "--time=guest"]);
    command.args(["--over", "keep", "word"]);
    scene.start_as(command);
    guest.write("hel\x1blo\n");
    let log = scene.log_until("other/guest-web.log", "hel.lo\n");
    assert!(log.starts_with('['), "{log}");
    assert!(scene.which == Which::Stock || scene.said().is_empty() || scene.said().contains("xenconsoled"));
}
