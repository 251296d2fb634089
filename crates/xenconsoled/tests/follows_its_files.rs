//! What others do to a log's files is noticed, and the log goes on.

mod host;

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;

use host::{Host, domain, numbered, until};
use rustix::process::Signal;

/// As logrotate does it.
#[test]
fn after_sighup_a_renamed_log_goes_on_in_a_new_file() {
    let mut host = Host::start();
    let log = host.log(domain(5), "qemu");
    let mut end = log.open();
    for round in 0..5 {
        end.write_all(numbered(round..round + 1).as_bytes()).unwrap();
        log.holds(numbered(round..round + 1));
        let aside = host.outside().join(round.to_string());
        fs::rename(&log.file, &aside).unwrap();
        assert!(!log.file.exists());
        host.daemon().signal(Signal::HUP);
        until("a new file", || log.file.exists().then_some(()));
        assert_eq!(fs::metadata(&log.file).unwrap().permissions().mode() & 0o7777, 0o640);
        assert_eq!(fs::read_to_string(aside).unwrap(), numbered(round..round + 1));
    }
}

/// Without SIGHUP it takes a moment, and no line gets lost.
#[test]
fn a_log_that_was_renamed_goes_on_in_a_new_file_by_itself() {
    let host = Host::start();
    let log = host.log(domain(5), "qemu");
    let mut end = log.open();
    end.write_all(numbered(0..1).as_bytes()).unwrap();
    log.holds(numbered(0..1));
    let aside = host.outside().join("aside");
    fs::rename(&log.file, &aside).unwrap();
    let mut lines = 1;
    until("a new file", || {
        end.write_all(numbered(lines..lines + 1).as_bytes()).unwrap();
        lines += 1;
        log.file.exists().then_some(())
    });
    let content = || [fs::read(&aside).unwrap(), log.content()].concat();
    until("all lines", || (content() == numbered(0..lines).as_bytes()).then_some(()));
}

#[test]
fn a_log_that_was_removed_goes_on_in_a_new_file() {
    let host = Host::start();
    let log = host.log(domain(5), "qemu");
    let mut end = log.open();
    for round in 0..5 {
        end.write_all(numbered(round..round + 1).as_bytes()).unwrap();
        log.holds(numbered(round..round + 1));
        fs::remove_file(&log.file).unwrap();
    }
}

/// What was cut off is not filled with zeros.
#[test]
fn a_log_that_was_truncated_goes_on_from_there() {
    let host = Host::start();
    let log = host.log(domain(5), "qemu");
    let mut end = log.open();
    end.write_all(numbered(0..10).as_bytes()).unwrap();
    log.holds(numbered(0..10));
    let file = fs::File::options().write(true).open(&log.file).unwrap();
    file.set_len(32).unwrap();
    end.write_all(numbered(10..11).as_bytes()).unwrap();
    log.holds(numbered(0..2) + &numbered(10..11));
    file.set_len(0).unwrap();
    end.write_all(numbered(11..12).as_bytes()).unwrap();
    log.holds(numbered(11..12));
}

/// The directory was moved away and made anew.
#[test]
fn a_log_directory_that_was_replaced_is_the_place_of_new_logs() {
    let host = Host::start();
    let log = host.log(domain(5), "qemu");
    let mut end = log.open();
    end.write_all(b"line\n").unwrap();
    log.holds("line\n");
    fs::rename(host.log_dir(), host.outside().join("moved")).unwrap();
    fs::create_dir(host.log_dir()).unwrap();
    let new = host.log(domain(6), "qemu");
    new.open().write_all(b"new\n").unwrap();
    new.holds("new\n");
    end.write_all(b"old\n").unwrap();
    let moved = host.outside().join("moved").join(log.file.file_name().unwrap());
    until("the line where the file is", || (fs::read(&moved).unwrap() == b"line\nold\n").then_some(()));
}

/// A log that was renamed while its daemon was away is made anew, and one that was shortened goes on.
#[test]
fn files_may_change_while_no_daemon_runs() {
    let mut host = Host::start();
    let (renamed, shortened) = (host.log(domain(5), "renamed"), host.log(domain(5), "shortened"));
    let mut ends = [renamed.open(), shortened.open()];
    ends.iter_mut().for_each(|end| end.write_all(numbered(0..2).as_bytes()).unwrap());
    renamed.holds(numbered(0..2));
    shortened.holds(numbered(0..2));
    host.stop_daemon();
    fs::rename(&renamed.file, host.outside().join("renamed")).unwrap();
    fs::File::options().write(true).open(&shortened.file).unwrap().set_len(16).unwrap();
    host.start_daemon();
    ends.iter_mut().for_each(|end| end.write_all(numbered(2..3).as_bytes()).unwrap());
    renamed.holds(numbered(2..3));
    shortened.holds(numbered(0..1) + &numbered(2..3));
}
