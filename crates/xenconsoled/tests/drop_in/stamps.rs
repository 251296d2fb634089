//! `--timestamp`.

use crate::scene::{Scene, Which};

/// Checks that this is a stamp, and gives what is behind it.
fn behind(line: &str) -> &str {
    let (stamp, rest) = line.split_at(22);
    let shape: String = stamp.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    assert_eq!(shape, "[0000-00-00 00:00:00] ", "{line:?}");
    rest
}

/// The lines of a log without their stamps, which all of them have.
fn unstamped(log: &str) -> String {
    log.split_inclusive('\n').map(behind).collect()
}

pub fn lines_are_stamped(scene: &mut Scene) {
    let guest = scene.machine.guest(7, "web");
    scene.machine.hypervisor().print("(XEN) one\n(XEN) two\n");
    scene.start(&["--log=all", "--timestamp=all"]);
    // A CR behind the LF is left out, one before it is not.
    guest.write("one\r\ntwo\n\rthr");
    guest.drained();
    guest.write("ee\n\nend\n");
    let log = scene.log_until("guest-web.log", "end\n");
    assert_eq!(unstamped(&log), "Logfile Opened\none\r\ntwo\nthree\n\nend\n");
    let log = scene.log_until("hypervisor.log", "two\n");
    assert_eq!(unstamped(&log), "Logfile Opened\n(XEN) one\n(XEN) two\n");
}

pub fn stamps_are_in_local_time(scene: &mut Scene) {
    let _guest = scene.machine.guest(7, "web");
    let mut command = scene.command(&["-i", "--log=guest", "-t", "guest"]);
    // 14 hours before UTC, in the words of tzset(3).
    command.env("TZ", "TST-14");
    scene.start_as(command);
    let log = scene.log_until("guest-web.log", "Logfile Opened\n");
    let as_utc: jiff::Timestamp = format!("{}Z", log[1..20].replace(' ', "T")).parse().unwrap();
    let ahead = as_utc.as_second() - jiff::Timestamp::now().as_second();
    // An hour for whoever is slow: any other time zone is further off.
    assert!((13 * 3600..=14 * 3600).contains(&ahead), "{ahead} s ahead");
}

pub fn only_what_was_asked_for_is_stamped(scene: &mut Scene) {
    let guest = scene.machine.guest(7, "web");
    scene.machine.hypervisor().print("(XEN) one\n");
    for (options, guest_is, hypervisor_is) in [
        (&["-t", "guest"][..], true, false),
        (&["-t", "hv"], false, true),
        (&["-t", "guest", "-t", "hv"], true, true),
        (&["-t", "all", "-t", "none"], false, false),
        (&["-t", "none", "-t", "guest"], true, false),
    ] {
        for log in scene.logs() {
            std::fs::remove_file(scene.log_dir().join(log)).unwrap();
        }
        let mut command = scene.command(&["-i", "--log=all"]);
        command.args(options);
        scene.start_as(command);
        guest.write("line\n");
        let log = scene.log_until("guest-web.log", "line\n");
        assert_eq!(log.starts_with('['), guest_is, "{options:?}: {log}");
        // Ours does not repeat what it had, so there is something new.
        scene.machine.hypervisor().print("(XEN) line\n");
        let log = scene.log_until("hypervisor.log", "line\n");
        assert_eq!(log.starts_with('['), hypervisor_is, "{options:?}: {log}");
        scene.kill();
    }
}

/// Two guests write in turns, one of them half a line. Stock knows for all of them together whether a stamp is due: the line of the
/// other guest gets none, and the second half of the line gets one.
pub fn guests_in_turns(scene: &mut Scene) {
    let (web, db) = (scene.machine.guest(7, "web"), scene.machine.guest(8, "db"));
    scene.start(&["--log=guest", "-t", "guest"]);
    scene.log_until("guest-web.log", "Opened\n");
    scene.log_until("guest-db.log", "Opened\n");
    web.write("half");
    scene.log_until("guest-web.log", "half");
    db.write("whole\n");
    scene.log_until("guest-db.log", "whole\n");
    web.write(" a line\n");
    let (web, db) = (scene.log_until("guest-web.log", "line\n"), scene.log("guest-db.log"));
    let (web, db) = (web.lines().nth(1).unwrap(), db.lines().nth(1).unwrap());
    match scene.which {
        Which::Stock => {
            assert_eq!(db, "whole");
            let (half, rest) = behind(web).split_at(4);
            assert_eq!((half, behind(rest)), ("half", " a line"));
        }
        Which::Ours => assert_eq!((behind(web), behind(db)), ("half a line", "whole")),
    }
}
