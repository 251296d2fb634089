//! The command line, the environment and the configuration: what the daemon does with them, and what it says.

mod host;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output};

use host::{Host, StoreKind, command, domain, until};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};

fn run(command: &mut Command) -> Output {
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Runs a daemon that must not start; gives its status and what it said on standard error.
fn refused(command: &mut Command) -> (i32, String) {
    let output = run(command);
    assert!(output.stdout.is_empty(), "{}", text(&output.stdout));
    (output.status.code().unwrap(), text(&output.stderr))
}

#[test]
fn help_and_version_are_printed_and_nothing_is_started() {
    for option in ["-V", "--version"] {
        let output = run(&mut command(&[option]));
        assert_eq!((text(&output.stdout).as_str(), output.status.code()), ("Xen Console Daemon 3.0\n", Some(0)));
    }
    for option in ["-h", "--help", "--hel"] {
        let output = run(&mut command(&[option]));
        assert_eq!(output.status.code(), Some(0));
        for named in ["--no-hypervisor", "--xen-run-dir", "--xen-log-dir", "--config", "--pid-file", "--interactive"] {
            assert!(text(&output.stdout).contains(named), "{named}");
        }
    }
}

/// It said that it could not keep account in the run directory, where the path of a socket was too long.
#[test]
fn a_socket_that_cannot_be_made_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("x".repeat(120));
    fs::create_dir(&run).unwrap();
    let mut daemon = command(&["-i", "--no-hypervisor"]);
    let (status, said) = refused(daemon.env("XEN_RUN_DIR", &run).env("XEN_LOG_DIR", dir.path()));
    assert_eq!(status, 1);
    assert!(said.contains(&format!("{}: cannot listen there", run.join("xenlog.status").display())), "{said}");
}

#[test]
fn an_unknown_option_is_an_error() {
    for args in [&["--nonsense"][..], &["-x"], &["--config"], &["--no-hypervisor", "--xen-run-dir"]] {
        let (status, said) = refused(&mut command(args));
        assert_eq!(status, 22, "{args:?}");
        assert!(said.ends_with("--help' for more information\n"), "{said}");
    }
}

/// Without consoles it would take them from every guest, and nobody would be told.
#[test]
fn where_there_is_no_xen_it_says_what_is_missing() {
    if Path::new("/dev/xen/evtchn").exists() {
        println!("passed by: this is a Xen host");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (status, said) = refused(command(&["-i"]).env("XEN_RUN_DIR", dir.path()).env("XEN_LOG_DIR", dir.path()));
    assert_eq!(status, 1);
    if rustix::process::geteuid().is_root() {
        // The library, or what it could not open.
        assert!(said.contains("event channels") && said.contains("--no-hypervisor"), "{said}");
    } else {
        assert!(said.contains("requires root"), "{said}");
    }
}

#[test]
fn what_is_wrong_with_its_settings_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let config = |text: &str| {
        let path = dir.path().join("xenlog.toml");
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    for (text, named) in [
        ("[bounds]\nlogs-per-domian = 5", "logs-per-domian"),
        ("[defaults]\nlimit = \"5X\"", "5X"),
        ("[defaults]\ncopies = 100", "defaults.copies"),
        ("[daemon]\ndrain-seconds = -1", "drain-seconds"),
        ("[bounds\n", "xenlog.toml"),
    ] {
        let (status, said) = refused(&mut command(&["-i", "--no-hypervisor", "--config", &config(text)]));
        assert_eq!(status, 22, "{text}");
        assert!(said.contains("xenlog.toml") && said.contains(named), "{said}");
    }
    let missing = dir.path().join("missing.toml");
    let (status, said) = refused(command(&["-i", "--no-hypervisor", "--config"]).arg(&missing));
    assert!(status == 22 && said.contains("missing.toml") && said.contains("No such file"), "{status} {said}");
    let good = config("");
    for (option, variable) in [("--xen-run-dir", "XEN_RUN_DIR"), ("--xen-log-dir", "XEN_LOG_DIR")] {
        let args = ["-i", "--no-hypervisor", "--config", &good];
        let by_option = refused(command(&args).args([option, "relative/dir"]));
        let by_variable = refused(command(&args).env(variable, "relative/dir"));
        for (status, said) in [by_option, by_variable] {
            assert!(status == 22 && said.contains(option) && said.contains("relative/dir"), "{status} {said}");
        }
    }
    let nowhere = dir.path().join("nowhere/pid");
    let args = ["--no-hypervisor", "--config", &good, "--pid-file", nowhere.to_str().unwrap()];
    // It said so when nobody could hear it any more, and whoever had started it was told that all was well.
    let (status, said) = refused(command(&args).env("XEN_RUN_DIR", dir.path()).env("XEN_LOG_DIR", dir.path()));
    assert!(status == 1 && said.contains("nowhere/pid"), "{status} {said}");
}

/// A daemon in the background, by the number in its pid file. It is killed when this is dropped.
struct Background(Pid);

impl Background {
    fn started(pid_file: &Path) -> Background {
        until("the pid file", || {
            let number = fs::read_to_string(pid_file).ok()?.strip_suffix('\n')?.parse().ok()?;
            Some(Background(Pid::from_raw(number)?))
        })
    }

    /// Whether it is still there, and more than an ended process that nobody has waited for.
    fn runs(&self) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0)).unwrap_or_default();
        test_kill_process(self.0).is_ok() && !stat.contains(") Z ")
    }

    fn ended(&self) {
        until("the daemon's end", || (!self.runs()).then_some(()));
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if self.runs() {
            let _ = kill_process(self.0, Signal::KILL);
        }
    }
}

#[test]
fn in_the_background_it_is_known_by_its_pid_file() {
    let host = Host::idle(StoreKind::Embedded, "");
    let pid_file = host.outside().join("pid");
    fs::write(&pid_file, "1234567890\n").unwrap();
    let output = run(command(&["--no-hypervisor", "--pid-file", pid_file.to_str().unwrap(), "--log=all", "-t", "all"])
        .env("XEN_RUN_DIR", host.run_dir())
        .env("XEN_LOG_DIR", host.log_dir())
        .env("XENSTORED_PATH", host.store.socket())
        .current_dir(host.outside()));
    assert!(output.status.success() && output.stdout.is_empty() && output.stderr.is_empty(), "{output:?}");
    let daemon = until("another number in the pid file", || {
        (fs::read_to_string(&pid_file).unwrap() != "1234567890\n").then(|| Background::started(&pid_file))
    });
    let proc = format!("/proc/{}", daemon.0);
    assert_eq!(fs::read_link(format!("{proc}/exe")).unwrap(), Path::new(env!("CARGO_BIN_EXE_xenconsoled")));
    assert_eq!(fs::read_link(format!("{proc}/cwd")).unwrap(), Path::new("/"));
    for fd in 0..3 {
        assert_eq!(fs::read_link(format!("{proc}/fd/{fd}")).unwrap(), Path::new("/dev/null"));
    }
    let stat = fs::read_to_string(format!("{proc}/stat")).unwrap();
    let fields: Vec<&str> = stat[stat.rfind(')').unwrap() + 2..].split(' ').collect();
    let (session, terminal) = (fields[3], fields[4]);
    assert_ne!(session, daemon.0.to_string(), "no session leader, so no terminal can become its own");
    assert_eq!(terminal, "0");
    let log = host.log(domain(5), "qemu");
    log.open().write_all(b"line\n").unwrap();
    log.holds("line\n");
    kill_process(daemon.0, Signal::TERM).unwrap();
    daemon.ended();
}

/// Where no other is named, the pid file is in the run directory.
#[test]
fn the_pid_file_has_a_usual_place() {
    let host = Host::idle(StoreKind::Embedded, "");
    let output = run(command(&["--no-hypervisor"])
        .env("XEN_RUN_DIR", host.run_dir())
        .env("XEN_LOG_DIR", host.log_dir())
        .env("XENSTORED_PATH", host.store.socket()));
    assert!(output.status.success());
    let daemon = Background::started(&host.run_dir().join("xenconsoled.pid"));
    host.serving();
    kill_process(daemon.0, Signal::TERM).unwrap();
    daemon.ended();
}

/// The defaults and bounds of the configuration are those that entries are held against.
#[test]
fn the_configuration_is_what_entries_are_held_against() {
    let config =
        "[defaults]\nlimit = \"8K\"\ncopies = 1\ntimestamp = \"line\"\n[bounds]\nmin-limit = 8192\nmax-copies = 1";
    let host = Host::on(StoreKind::Embedded, config);
    let log = host.log(domain(5), "qemu");
    let mut end = log.open();
    for _ in 0..2000 {
        end.write_all(b"line\n").unwrap();
    }
    end.write_all(b"last\n").unwrap();
    until("the last line", || log.content().ends_with(b"] last\n").then_some(()));
    assert_eq!(log.sizes().len(), 2);
    assert!(log.sizes().iter().all(|(_, size)| *size <= 8192));
    for (node, value, code) in [("limit", "8191", logproto::Code::BadLimit), ("copies", "2", logproto::Code::BadCopies)]
    {
        let log = host.log(domain(5), node).node(node, value);
        log.ask();
        log.refused(code);
    }
}
