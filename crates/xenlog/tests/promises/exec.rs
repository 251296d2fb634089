//! `xenlog exec`: any program with its output logged.

use std::fs;
use std::io::Write;
use std::process::Stdio;

use logproto::Owner;
use rustix::fs::{Mode, OFlags};
use rustix::process::Signal;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use testbed::until;

use crate::host::{Host, Process, XENLOG};

/// For scripts: waits for signals, but not for ever, should its test fail.
const SLEEP_ON: &str = "n=0; while [ $((n += 1)) -lt 12000 ]; do sleep 0.01; done";

fn run(host: &Host, arguments: &[&str]) -> crate::host::Ended {
    host.xenlog(&[&["exec"], arguments].concat())
}

fn spawn(host: &Host, arguments: &[&str]) -> Process {
    let mut command = host.command(XENLOG);
    command.arg("exec").args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    Process::spawn(command)
}

#[test]
fn output_and_errors_are_logged_in_order_by_the_programs_name() {
    let Some(host) = Host::start() else { return };
    assert_eq!(run(&host, &["--", "sh", "-c", "echo one; echo two >&2; echo three"]).quietly(), "");
    host.until_logged("sh.log", "one\ntwo\nthree\n");
    host.assert_clean(Owner::Host);
}

#[test]
fn the_exit_code_is_the_programs() {
    let Some(host) = Host::start() else { return };
    let code = |file: &str, script: &str| run(&host, &["--file", file, "sh", "-c", script]).code;
    assert_eq!(code("a", "exit 0"), 0);
    assert_eq!(code("b", "exit 7"), 7);
    assert_eq!(code("c", "exit 255"), 255);
    assert_eq!(code("d", "kill -KILL $$"), 128 + 9);
    assert_eq!(code("e", "kill -TERM $$"), 128 + 15);
    host.assert_clean(Owner::Host);
}

#[test]
fn our_own_failures_have_their_codes_and_say_why() {
    let Some(mut host) = Host::quiet() else { return };
    let ended = run(&host, &["true"]);
    assert!(ended.code == 125 && ended.err.contains("no log daemon runs"), "{ended:?}");
    assert_eq!(run(&host, &[]).code, 125, "a usage error");
    assert_eq!(run(&host, &["--limit", "many", "true"]).code, 125);
    assert_eq!(run(&host, &["--domid", "5", "--host", "true"]).code, 125);
    host.start_daemon();
    let ended = run(&host, &["--limit", "1", "true"]);
    assert!(ended.code == 125 && ended.err.contains("bad-limit"), "{ended:?}");
    let ended = run(&host, &["/nonexistent/program"]);
    assert!(ended.code == 127 && ended.err.contains("/nonexistent/program"), "{ended:?}");
    assert_eq!(run(&host, &["--file", "x", "/etc/passwd"]).code, 126);
    host.assert_clean(Owner::Host);
}

#[test]
fn options_reach_the_request() {
    let Some(host) = Host::start() else { return };
    let arguments = "--domid 5 --id prog --file deep.log --limit 64K --copies 2 --policy block --timestamp cat";
    let mut cat = spawn(&host, &arguments.split(' ').collect::<Vec<_>>());
    until("the log", || host.nodes("/libxl/5/logging/prog").contains_key("state").then_some(()));
    let nodes = host.nodes("/libxl/5/logging/prog");
    let file = host.log_dir().join("deep.log");
    for (node, value) in [
        ("file", file.to_str().unwrap()),
        ("limit", "65536"),
        ("copies", "2"),
        ("policy", "block"),
        ("timestamp", "line"),
        ("state", "ready"),
    ] {
        assert_eq!(nodes[node], value, "{node}");
    }
    cat.child().stdin.take().unwrap().write_all(b"what it read\n").unwrap();
    assert_eq!(cat.ended().code, 0);
    host.until_logged("deep.log", "] what it read\n");
    host.assert_clean(Owner::Domain("5".parse().unwrap()));
}

#[test]
fn signals_are_passed_on() {
    let Some(host) = Host::start() else { return };
    for (signal, name, number) in
        [(Signal::TERM, "TERM", 15), (Signal::INT, "INT", 2), (Signal::HUP, "HUP", 1), (Signal::USR1, "USR1", 10)]
    {
        let script = format!("trap 'echo got {name}; exit 3' {name}; echo up; {SLEEP_ON}");
        let file = format!("{number}.log");
        let program = spawn(&host, &["--file", &file, "sh", "-c", &script]);
        host.until_logged(&file, "up\n");
        program.signal(signal);
        assert_eq!(program.ended().code, 3, "{name}");
        host.until_logged(&file, &format!("got {name}\n"));
    }
    host.assert_clean(Owner::Host);
}

/// ^C at a terminal reaches every process in the foreground; passed on too, the program would get it twice. This program
/// has left the foreground, so it would only get what is passed on; a witness in the foreground tells when ^C was there.
#[test]
fn what_a_terminal_sends_to_the_program_itself_is_not_passed_on() {
    let Some(host) = Host::start() else { return };
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let name = ptsname(&terminal, Vec::new()).unwrap();
    let other_end = rustix::fs::open(&name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
    let mut command = host.command("setsid");
    let witness = format!("trap \"echo seen; exit\" INT; echo ready; {SLEEP_ON}");
    let program = format!("trap \"echo int\" INT; trap \"echo term; exit 3\" TERM; echo up; {SLEEP_ON}");
    let script = &format!("env --default-signal=INT sh -c '{witness}' & exec setsid sh -c '{program}'");
    command.args(["-c", XENLOG, "exec", "--file", "a", "sh", "-c", script]).stdin(other_end);
    let program = Process::spawn(command);
    host.until_logged("a", "up\n");
    host.until_logged("a", "ready\n");
    rustix::io::write(&terminal, b"\x03").unwrap();
    host.until_logged("a", "seen\n");
    program.signal(Signal::TERM);
    assert_eq!(program.ended().code, 3);
    host.until_logged("a", "term\n");
    assert!(!host.read("a").contains("int\n"), "{}", host.read("a"));
}

#[test]
fn a_program_that_does_not_mind_its_signals_dies_of_them() {
    let Some(host) = Host::start() else { return };
    let program = spawn(&host, &["--file", "a", "sh", "-c", "echo up; exec sleep 1000"]);
    host.until_logged("a", "up\n");
    program.signal(Signal::TERM);
    assert_eq!(program.ended().code, 128 + 15);
}

#[test]
fn stopped_before_there_is_a_log_it_leaves_nothing() {
    let Some(host) = Host::quiet() else { return };
    host.claim_daemon();
    let program = spawn(&host, &["--wait", "1000", "true"]);
    until("the request", || (!host.entries(Owner::Host).is_empty()).then_some(()));
    program.signal(Signal::TERM);
    assert_eq!(program.ended().code, 128 + 15);
    host.assert_clean(Owner::Host);
}

#[test]
fn a_daemon_that_does_not_answer_holds_it_no_longer_than_told() {
    let Some(host) = Host::quiet() else { return };
    host.claim_daemon();
    let ended = run(&host, &["--wait", "0", "true"]);
    assert!(ended.code == 125 && ended.err.contains("did not answer"), "{ended:?}");
    host.assert_clean(Owner::Host);
}

/// As under nohup(1): what is to be ignored stays ignored by the program.
#[test]
fn ignored_signals_stay_ignored() {
    let Some(host) = Host::start() else { return };
    let script = format!("trap '' HUP; exec {XENLOG} exec --file a grep SigIgn /proc/self/status");
    let ended = crate::host::Ended::of(host.command("/bin/sh").args(["-c", &script]));
    assert_eq!(ended.code, 0, "{ended:?}");
    host.until_logged("a", "\n");
    let ignored = u64::from_str_radix(host.read("a").trim_start_matches("SigIgn:").trim(), 16).unwrap();
    // Above 31 are signals that the C library keeps for itself.
    assert_eq!(ignored & 0x7fff_ffff, 1, "SIGHUP and not SIGPIPE");
}

#[test]
fn a_program_that_cannot_stand_eagain_is_not_given_any() {
    let Some(host) = Host::start() else { return };
    let arguments = "--file a --limit 16M --policy block head -c 8000000 /dev/zero";
    run(&host, &arguments.split(' ').collect::<Vec<_>>()).quietly();
    until("all of it", || (fs::metadata(host.log_dir().join("a")).ok()?.len() == 8_000_000).then_some(()));
}

#[test]
fn without_a_log_the_fallback_is_taken() {
    let Some(host) = Host::quiet() else { return };
    let ended = run(&host, &["--fallback", "null", "sh", "-c", "echo lost; exit 3"]);
    assert!(ended.code == 3 && ended.out.is_empty() && ended.err.contains("no log daemon runs"), "{ended:?}");
    let file = host.store.dir().join("plain");
    let ended = run(&host, &["--fallback", file.to_str().unwrap(), "sh", "-c", "echo kept; echo too >&2"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(fs::read_to_string(file).unwrap(), "kept\ntoo\n");
    let ended = run(&host, &["--fallback", "/nonexistent/plain", "true"]);
    assert!(ended.code == 125 && ended.err.contains("/nonexistent/plain"), "{ended:?}");
}
