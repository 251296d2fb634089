//! The log files of consoles.

use std::fs;

use rustix::process::Signal;
use testbed::{Guest, until};

use crate::scene::{Scene, Which};

pub fn what_is_logged_is_what_was_asked_for(scene: &mut Scene) {
    let guest = scene.machine.guest(7, "web");
    for (options, logs) in [
        (&[][..], &[][..]),
        (&["--log=none"], &[]),
        (&["--log=hv"], &["hypervisor.log"]),
        (&["--log=guest"], &["guest-web.log"]),
        (&["--log=all"], &["guest-web.log", "hypervisor.log"]),
        (&["--log=guest", "--log=hv"], &["guest-web.log", "hypervisor.log"]),
    ] {
        for log in scene.logs() {
            fs::remove_file(scene.log_dir().join(log)).unwrap();
        }
        scene.machine.hypervisor().print("(XEN) line\n");
        scene.start(options);
        until("a daemon that serves", || guest.is_bound().then_some(()));
        guest.write("line\n");
        guest.drained();
        scene.barrier();
        until(&format!("{logs:?}"), || (scene.logs() == logs).then_some(()));
        scene.kill();
    }
}

pub fn a_log_holds_every_byte(scene: &mut Scene) {
    let guest = scene.machine.guest(7, "web");
    scene.start(&["--log=guest"]);
    let every: Vec<u8> = (0..=255).collect();
    guest.write(&every);
    guest.write("end\n");
    scene.log_until("guest-web.log", "end\n");
    let log = fs::read(scene.log_dir().join("guest-web.log")).unwrap();
    assert_eq!(log, [&every[..], b"end\n"].concat());
}

pub fn a_log_goes_on_where_it_ended(scene: &mut Scene) {
    let guest = scene.machine.guest(7, "web");
    for text in ["one\n", "two\n"] {
        scene.start(&["--log=guest"]);
        guest.write(text);
        scene.log_until("guest-web.log", text);
        scene.kill();
    }
    assert_eq!(scene.log("guest-web.log"), "one\ntwo\n");
}

/// Stock may see a signal only after the next event: when it was busy as the signal came.
fn next_event(scene: &Scene, guest: &Guest) {
    if scene.which == Which::Stock {
        guest.kick();
    }
}

/// As logrotate does it with `create`.
pub fn sighup_opens_logs_again(scene: &mut Scene) {
    let guest = scene.machine.guest(7, "web");
    scene.machine.hypervisor().print("(XEN) one\n");
    scene.start(&["--log=all"]);
    guest.write("one\n");
    scene.log_holds("guest-web.log", "one\n");
    scene.log_holds("hypervisor.log", "(XEN) one\n");
    for name in ["guest-web.log", "hypervisor.log"] {
        fs::rename(scene.log_dir().join(name), scene.log_dir().join(format!("{name}-old"))).unwrap();
    }
    scene.signal(Signal::HUP);
    until("logs that were opened again", || {
        next_event(scene, &guest);
        (scene.logs().len() == 4).then_some(())
    });
    guest.write("two\n");
    scene.machine.hypervisor().print("(XEN) two\n");
    scene.log_holds("guest-web.log", "two\n");
    scene.log_holds("hypervisor.log", "(XEN) two\n");
    assert_eq!(scene.log("guest-web.log-old"), "one\n");
}

/// A renamed domain logs under its old name until logs are opened again.
pub fn sighup_takes_a_new_name(scene: &mut Scene) {
    let guest = scene.machine.guest(7, "web");
    scene.start(&["--log=guest"]);
    guest.write("one\n");
    scene.log_holds("guest-web.log", "one\n");
    scene.machine.client().write("/local/domain/7/name", b"db").unwrap();
    scene.barrier();
    guest.write("two\n");
    scene.log_holds("guest-web.log", "one\ntwo\n");
    scene.signal(Signal::HUP);
    until("a log of the new name", || {
        next_event(scene, &guest);
        (scene.logs() == ["guest-db.log", "guest-web.log"]).then_some(())
    });
    guest.write("three\n");
    scene.log_holds("guest-db.log", "three\n");
    assert_eq!(scene.log("guest-web.log"), "one\ntwo\n");
}

/// As logrotate does it with `copytruncate`.
pub fn a_log_that_was_truncated_goes_on_at_its_beginning(scene: &mut Scene) {
    let guest = scene.machine.guest(7, "web");
    scene.start(&["--log=guest"]);
    guest.write("one\n");
    scene.log_holds("guest-web.log", "one\n");
    let file = fs::File::options().write(true).open(scene.log_dir().join("guest-web.log")).unwrap();
    file.set_len(0).unwrap();
    guest.write("two\n");
    scene.log_holds("guest-web.log", "two\n");
}

/// Stock's logs are for everybody to read when it runs in the foreground, as systemd starts it.
pub fn mode_of_a_log(scene: &mut Scene) {
    let _guest = scene.machine.guest(7, "web");
    let mut command = scene.command(&["-i", "--log=all"]);
    scene.machine.hypervisor().print("(XEN) line\n");
    // As systemd has it.
    let program = std::mem::replace(&mut command, std::process::Command::new("sh"));
    command.args(["-c", "umask 022; exec \"$0\" \"$@\""]).arg(program.get_program()).args(program.get_args());
    command
        .envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))))
        .stdin(std::process::Stdio::null());
    scene.start_as(command);
    until("both logs", || (scene.logs().len() == 2).then_some(()));
    let mode = if scene.which == Which::Stock { 0o644 } else { 0o640 };
    assert_eq!((scene.mode("guest-web.log"), scene.mode("hypervisor.log")), (mode, mode));
}

pub fn without_a_directory_consoles_are_served(scene: &mut Scene) {
    let guest = scene.machine.guest(7, "web");
    fs::remove_dir(scene.log_dir()).unwrap();
    scene.start(&["--log=guest"]);
    let mut tty = scene.tty(7);
    guest.write("hello\r\n");
    tty.shows("hello\r\n");
    scene.lives();
}

/// A log whose disk is full: what is lost is lost for the log only.
pub fn a_log_that_cannot_be_written(scene: &mut Scene) {
    let guest = scene.machine.guest(7, "web");
    std::os::unix::fs::symlink("/dev/full", scene.log_dir().join("guest-web.log")).unwrap();
    scene.start(&["--log=guest"]);
    let mut tty = scene.tty(7);
    for _ in 0..10 {
        guest.write("hello\r\n");
        tty.shows("hello\r\n");
    }
    tty.types("typed");
    assert_eq!(guest.read(5), b"typed");
    scene.lives();
}

pub fn escape_is_replaced_in_logs_only(scene: &mut Scene) {
    let guest = scene.machine.guest(7, "web");
    scene.start(&["--log=guest", "--replace-escape"]);
    let mut tty = scene.tty(7);
    guest.write("\x1b[1mbold\x1b[0m\r\n");
    tty.shows("\x1b[1mbold\x1b[0m\r\n");
    scene.log_holds("guest-web.log", ".[1mbold.[0m\r\n");
}
