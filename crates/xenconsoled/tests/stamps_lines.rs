//! With `timestamp` = `line` each line begins with the time, however it arrives, and each log has its own lines.

mod host;

use std::io::Write;

use host::{Host, domain, until};

/// The lines of a text without their times, which must be there and look like times.
fn without_times(content: &[u8]) -> Vec<String> {
    let text = String::from_utf8(content.to_vec()).unwrap();
    text.lines()
        .map(|line| {
            let (time, rest) = line.split_at_checked("[2026-01-31 23:59:59] ".len()).unwrap_or((line, ""));
            let shape: String = time.chars().map(|c| if c.is_ascii_digit() { '9' } else { c }).collect();
            assert_eq!(shape, "[9999-99-99 99:99:99] ", "{line}");
            rest.to_owned()
        })
        .collect()
}

#[test]
fn each_line_has_its_time_whatever_goes_on_in_other_logs() {
    let host = Host::start();
    let stamped = ["a", "b"].map(|id| host.log(domain(5), id).node("timestamp", "line"));
    let plain = host.log(domain(5), "plain").node("timestamp", "none");
    let mut ends = stamped.each_ref().map(host::Log::open);
    let mut plain_end = plain.open();
    // Pieces of lines, in turn: what is in the middle of a line in one log is not in the other.
    for round in 0..50 {
        for end in &mut ends {
            end.write_all(format!("line {round}").as_bytes()).unwrap();
        }
        plain_end.write_all(b"un").unwrap();
        until("the pieces", || {
            let arrived = |log: &host::Log| log.content().ends_with(format!("line {round}").as_bytes());
            (stamped.iter().all(arrived) && plain.content().ends_with(b"un")).then_some(())
        });
        for end in &mut ends {
            end.write_all(b" and its end\n").unwrap();
        }
        plain_end.write_all(b"stamped\n").unwrap();
    }
    let lines: Vec<String> = (0..50).map(|round| format!("line {round} and its end")).collect();
    for log in &stamped {
        until("all lines", || log.content().ends_with(b"line 49 and its end\n").then_some(()));
        assert_eq!(without_times(&log.content()), lines);
    }
    plain.holds("unstamped\n".repeat(50));
}

#[test]
fn empty_lines_and_carriage_returns_are_stamped_like_xenconsoled_does() {
    let host = Host::start();
    let log = host.log(domain(5), "qemu").node("timestamp", "line");
    let mut end = log.open();
    end.write_all(b"one\r\n\rtwo\n\nfour\n").unwrap();
    until("the last line", || log.content().ends_with(b"] four\n").then_some(()));
    let content = String::from_utf8(log.content()).unwrap();
    assert_eq!(content.matches('[').count(), 4);
    assert!(content.contains("one\r\n") && !content.contains("\r\r") && content.contains("] two\n"), "{content:?}");
}

/// Stamps count: a file is no larger for them.
#[test]
fn stamped_logs_keep_their_bounds_and_their_lines_whole() {
    let host = Host::start();
    let log = host.log(domain(5), "qemu").node("timestamp", "line").limit(4096).copies(2);
    let mut end = log.open();
    for number in 0..5000 {
        end.write_all(format!("{number}\n").as_bytes()).unwrap();
    }
    until("the last line", || log.content().ends_with(b"] 4999\n").then_some(()));
    assert!(log.sizes().len() == 3 && log.sizes().iter().all(|(_, size)| *size <= 4096), "{:?}", log.sizes());
    let lines = without_times(&log.content());
    let first = 5000 - lines.len();
    assert_eq!(lines, (first..5000).map(|number| number.to_string()).collect::<Vec<_>>());
}

/// It may be asked for and taken back while the log runs.
#[test]
fn a_running_log_may_begin_and_cease_to_stamp() {
    let host = Host::start();
    let log = host.log(domain(5), "qemu");
    let mut end = log.open();
    end.write_all(b"plain\n").unwrap();
    log.holds("plain\n");
    log.set("timestamp", "line");
    host.barrier();
    end.write_all(b"stamped\n").unwrap();
    until("the line", || log.content().ends_with(b"stamped\n").then_some(()));
    log.set("timestamp", "none");
    host.barrier();
    end.write_all(b"plain again\n").unwrap();
    until("the line", || log.content().ends_with(b"plain again\n").then_some(()));
    let content = String::from_utf8(log.content()).unwrap();
    let lines: Vec<&str> = content.lines().collect();
    assert_eq!((lines[0], lines[2]), ("plain", "plain again"));
    assert_eq!(without_times(lines[1].as_bytes()), ["stamped"]);
}
