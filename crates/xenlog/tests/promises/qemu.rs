//! `xenlog-qemu`: becomes the real QEMU, with its output in a log of its domain, and never holds up a guest. A shell
//! script plays QEMU.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use logproto::Owner;
use rustix::process::Signal;
use testbed::until;

use crate::host::{Ended, Host, Process, XENLOG_QEMU};

/// What libxl gives to QEMU, as far as it matters here.
const ARGUMENTS: &[&str] = &["-xen-domid", "5", "-no-shutdown", "-name", "vm", "-vnc", "none", "-m", "64", "", "a b"];

fn dom5() -> Owner {
    Owner::Domain("5".parse().unwrap())
}

/// A program that plays QEMU by this script, in which $out is a file to tell what it saw.
fn fake(host: &Host, script: &str) -> PathBuf {
    let path = host.store.dir().join("qemu");
    let out = told(host);
    fs::write(&path, format!("#!/bin/sh\nout={}\n{script}\n", out.display())).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

fn told(host: &Host) -> PathBuf {
    host.store.dir().join("told")
}

fn wrapper(host: &Host, qemu: &Path, arguments: &[&str]) -> Command {
    let mut command = host.command(XENLOG_QEMU);
    command.args(arguments).env("XENLOG_QEMU", qemu);
    command
}

fn run(host: &Host, script: &str, arguments: &[&str]) -> Ended {
    Ended::of(&mut wrapper(host, &fake(host, script), arguments))
}

fn spawn(host: &Host, script: &str) -> Process {
    let mut command = wrapper(host, &fake(host, script), ARGUMENTS);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    Process::spawn(command)
}

#[test]
fn qemus_output_is_in_the_log_of_its_domain() {
    let Some(host) = Host::start() else { return };
    let qemu = spawn(&host, r#"echo to stdout; echo to stderr >&2; printf '%s|' "$@" > $out; echo $$ >> $out"#);
    let pid = qemu.pid();
    assert_eq!(qemu.ended().quietly(), "");
    host.until_logged("qemu-dm-vm.log", "to stdout\nto stderr\n");
    let arguments: String = ARGUMENTS.iter().map(|argument| format!("{argument}|")).collect();
    assert_eq!(fs::read_to_string(told(&host)).unwrap(), format!("{arguments}{pid}\n"), "in the same process");
    assert_eq!(host.entries(dom5()), ["qemu-dm"], "the toolstack removes it with the domain");
    host.client().rm("/libxl/5").unwrap();
    until("the daemon to remove the FIFO", || host.fifos().is_empty().then_some(()));
}

/// What QEMU gets is what libxl would give: SIGPIPE at its default, no further descriptors; and its output never
/// blocks.
#[test]
fn qemu_is_started_as_libxl_starts_it() {
    let Some(host) = Host::start() else { return };
    let script = "grep -E 'SigIgn|SigBlk' /proc/self/status > $out; cat /proc/$$/fdinfo/[12] | grep flags >> $out\n\
                  ls -l /proc/$$/fd > $out.fds";
    assert_eq!(run(&host, script, ARGUMENTS).code, 0);
    let told = fs::read_to_string(told(&host)).unwrap();
    let lines: Vec<&str> = told.lines().filter_map(|line| line.split_whitespace().last()).collect();
    let mask = |line: &str| u64::from_str_radix(line.rsplit(':').next().unwrap(), 16).unwrap() & 0x7fff_ffff;
    assert_eq!((lines.len(), mask(lines[0]), mask(lines[1])), (4, 0, 0), "{told}");
    for flags in &lines[2..] {
        let flags = i32::from_str_radix(flags.rsplit(':').next().unwrap(), 8).unwrap();
        let nonblock = rustix::fs::OFlags::NONBLOCK.bits() as i32;
        assert_eq!(flags & nonblock, nonblock, "{told}");
    }
    let open = fs::read_to_string(host.store.dir().join("told.fds")).unwrap();
    assert_eq!(open.matches(host.run_dir().to_str().unwrap()).count(), 2, "{open}");
    assert!(!open.contains("socket:"), "{open}");
}

#[test]
fn asked_about_itself_qemu_is_simply_qemu() {
    let Some(host) = Host::quiet() else { return };
    // It would wait for this daemon, and say so.
    host.claim_daemon();
    for arguments in [&["-help"][..], &["--version"], &[], &["-S", "-machine", "none,accel=xen"]] {
        let out = run(&host, r#"echo "asked: $@"; exit 4"#, arguments);
        assert_eq!((out.code, out.err.as_str()), (4, ""), "{arguments:?}");
        assert_eq!(out.out.trim_end(), format!("asked: {}", arguments.join(" ")).trim_end());
    }
    host.assert_clean(dom5());
}

/// QEMU started all the same, its output where libxl put it, after one line that says why.
fn assert_without(host: &Host, command: &mut Command, why: &str) {
    let ended = Ended::of(command);
    assert_eq!((ended.code, ended.out.as_str()), (0, "started\n"), "{ended:?}");
    let (line, rest) = ended.err.split_once('\n').unwrap();
    assert!(line.starts_with("xenlog-qemu: ") && line.contains(why), "{ended:?}");
    assert_eq!(rest, "too\n");
    host.assert_clean(dom5());
}

const STARTED: &str = "echo started; echo too >&2";

fn config(host: &Host, text: &str) -> PathBuf {
    let file = host.store.dir().join("config.toml");
    fs::write(&file, text).unwrap();
    file
}

#[test]
fn without_a_daemon_qemu_starts_at_once() {
    let Some(host) = Host::quiet() else { return };
    let config = config(&host, "[qemu]\nwait-seconds = 86400");
    let mut qemu = wrapper(&host, &fake(&host, STARTED), ARGUMENTS);
    assert_without(&host, qemu.env("XENLOG_CONFIG", config), "domain 5: no log daemon runs");
}

#[test]
fn a_daemon_that_does_not_answer_holds_up_qemu_no_longer_than_told() {
    let Some(host) = Host::quiet() else { return };
    host.claim_daemon();
    let config = config(&host, "[qemu]\nwait-seconds = 1");
    let mut qemu = wrapper(&host, &fake(&host, STARTED), ARGUMENTS);
    assert_without(&host, qemu.env("XENLOG_CONFIG", config), "domain 5: the log daemon did not answer");
}

#[test]
fn without_a_store_qemu_starts_at_once() {
    let Some(host) = Host::quiet() else { return };
    let mut qemu = wrapper(&host, &fake(&host, STARTED), ARGUMENTS);
    assert_without(&host, qemu.env("XENSTORED_PATH", "/nonexistent/store"), "/nonexistent/store");
}

#[test]
fn a_refusal_is_no_reason_not_to_start() {
    let Some(host) = Host::start() else { return };
    let mut qemu = wrapper(&host, &fake(&host, STARTED), ARGUMENTS);
    assert_without(&host, qemu.env("XENLOG_LIMIT", "1"), "domain 5: the log daemon refused: bad-limit");
}

#[test]
fn limit_and_copies_are_the_environments_else_the_files() {
    let Some(host) = Host::start() else { return };
    let config = config(&host, "[qemu]\nlimit = \"64K\"\ncopies = 2");
    let nodes = |command: &mut Command| {
        assert_eq!(Ended::of(command).quietly(), "");
        let nodes = host.nodes("/libxl/5/logging/qemu-dm");
        (nodes["limit"].clone(), nodes["copies"].clone())
    };
    let qemu = fake(&host, "");
    let own = |limit: &str, copies: &str| (limit.to_owned(), copies.to_owned());
    assert_eq!(nodes(wrapper(&host, &qemu, ARGUMENTS).env("XENLOG_CONFIG", &config)), own("65536", "2"));
    let mut command = wrapper(&host, &qemu, ARGUMENTS);
    command.envs([("XENLOG_LIMIT", "8K"), ("XENLOG_COPIES", "0")]).env("XENLOG_CONFIG", &config);
    assert_eq!(nodes(&mut command), own("8192", "0"));
}

#[test]
fn a_broken_configuration_is_told_and_the_log_is_had_all_the_same() {
    let Some(host) = Host::start() else { return };
    let config = config(&host, "[qemu]\nlimits = 5\n");
    let mut command = wrapper(&host, &fake(&host, "echo logged"), ARGUMENTS);
    let ended = Ended::of(command.env("XENLOG_CONFIG", &config).env("XENLOG_COPIES", "some"));
    assert_eq!((ended.code, ended.out.as_str()), (0, ""), "{ended:?}");
    let lines: Vec<&str> = ended.err.lines().collect();
    assert!(matches!(lines[..], [a, b] if a.contains("limits") && b.contains("XENLOG_COPIES=some")), "{ended:?}");
    host.until_logged("qemu-dm-vm.log", "logged\n");
}

#[test]
fn the_configuration_names_qemu_and_the_environment_before_it() {
    let Some(host) = Host::quiet() else { return };
    let config = config(&host, &format!("[qemu]\npath = \"{}\"\n", fake(&host, "echo this").display()));
    let mut command = host.command(XENLOG_QEMU);
    assert_eq!(Ended::of(command.env("XENLOG_CONFIG", &config)).quietly(), "this\n");
    assert_eq!(Ended::of(command.env("XENLOG_QEMU", "/bin/echo").arg("that")).quietly(), "that\n");
    // Put in by mistake, as libxl's device_model_override is.
    let ended = Ended::of(command.env("XENLOG_QEMU", XENLOG_QEMU));
    assert_eq!((ended.code, ended.out.as_str()), (0, "this\n"), "{ended:?}");
    assert!(ended.err.contains("is xenlog-qemu itself"), "{ended:?}");
}

#[test]
fn a_qemu_that_cannot_be_run_leaves_no_log_behind() {
    let Some(host) = Host::start() else { return };
    let qemu = host.store.dir().join("qemu");
    fs::write(&qemu, "#!/nonexistent/interpreter\n").unwrap();
    fs::set_permissions(&qemu, fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(Ended::of(&mut wrapper(&host, &qemu, ARGUMENTS)).code, 127);
    host.assert_clean(dom5());
    host.until_logged("qemu-dm-vm.log", "No such file or directory");
}

#[test]
fn a_name_with_slashes_stays_in_the_log_directory() {
    let Some(host) = Host::start() else { return };
    let arguments = ["-xen-domid", "5", "-name", "../../vm,debug-threads=on"];
    assert_eq!(run(&host, "echo here", &arguments).quietly(), "");
    host.until_logged("qemu-dm-.._.._vm.log", "here\n");
}

#[test]
fn a_frozen_daemon_holds_no_guest() {
    let Some(host) = Host::start() else { return };
    let qemu =
        spawn(&host, "echo up; until [ -e $out ]; do sleep 0.01; done; head -c 8000000 /dev/zero; echo $? > $out");
    host.until_logged("qemu-dm-vm.log", "up\n");
    host.daemon().freeze();
    fs::write(told(&host), "").unwrap();
    // Blocked, it would not end.
    assert_eq!(qemu.ended().code, 0);
    assert_eq!(fs::read_to_string(told(&host)).unwrap(), "1\n", "EAGAIN, not a wait");
    host.daemon().signal(Signal::CONT);
}

#[test]
fn destroyed_while_it_waits_it_leaves_nothing_and_starts_nothing() {
    let Some(host) = Host::quiet() else { return };
    host.claim_daemon();
    let config = config(&host, "[qemu]\nwait-seconds = 86400");
    for (signal, number) in [(Signal::HUP, 1), (Signal::TERM, 15)] {
        let mut command = wrapper(&host, &fake(&host, "echo started > $out"), ARGUMENTS);
        command.env("XENLOG_CONFIG", &config);
        let qemu = Process::spawn(command);
        until("the request", || (!host.entries(dom5()).is_empty()).then_some(()));
        qemu.signal(signal);
        assert_eq!(qemu.ended().code, -number);
        host.assert_clean(dom5());
    }
    assert!(!told(&host).exists());
}

/// A domain that reboots has a new id and its old name, and the QEMU before it may still hold the file.
#[test]
fn a_file_that_is_still_in_use_is_waited_for() {
    let Some(host) = Host::start() else { return };
    let before = host.options(Owner::Domain("4".parse().unwrap()), "qemu-dm-vm.log").open().unwrap();
    let config = config(&host, "[qemu]\nwait-seconds = 3600");
    let mut command = wrapper(&host, &fake(&host, "echo new"), ARGUMENTS);
    command.env("XENLOG_CONFIG", &config);
    let qemu = Process::spawn(command);
    let mut client = host.client();
    until("a refusal", || {
        client.read("/libxl/5/logging/qemu-dm/error").ok().filter(|error| error.starts_with(b"in-use"))
    });
    before.end().unwrap();
    assert_eq!(qemu.ended().code, 0);
    host.until_logged("qemu-dm-vm.log", "new\n");
}

#[test]
fn a_second_qemu_of_a_domain_takes_over_from_the_first() {
    let Some(host) = Host::start() else { return };
    assert_eq!(run(&host, "echo first", ARGUMENTS).code, 0);
    let config = config(&host, "[qemu]\nwait-seconds = 3600");
    let mut command = wrapper(&host, &fake(&host, "echo second"), ARGUMENTS);
    assert_eq!(Ended::of(command.env("XENLOG_CONFIG", &config)).code, 0);
    host.until_logged("qemu-dm-vm.log", "first\nsecond\n");
    assert_eq!(host.entries(dom5()), ["qemu-dm"]);
}
