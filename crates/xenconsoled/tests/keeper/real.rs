//! The real program, as `--supervise` runs it. There is no store: the daemon serves all the same, and waits for one.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use testbed::until;

struct Host {
    dir: TempDir,
}

impl Host {
    fn new() -> Host {
        let dir = tempfile::Builder::new().prefix("keeper").tempdir_in("/tmp").unwrap();
        for name in ["run", "log"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        fs::write(dir.path().join("xenlog.toml"), "").unwrap();
        Host { dir }
    }

    fn command(&self, args: &[&str]) -> Command {
        let path = |name| self.dir.path().join(name);
        let mut command = Command::new(env!("CARGO_BIN_EXE_xenconsoled"));
        command.args(args).arg("--no-hypervisor").arg("--config").arg(path("xenlog.toml"));
        command.arg("--xen-run-dir").arg(path("run")).arg("--xen-log-dir").arg(path("log"));
        command.env("XENSTORED_PATH", path("no-store")).stdin(Stdio::null()).stdout(Stdio::null());
        command
    }

    /// A keeper in the foreground. What it and its daemons say is in the file.
    fn keeper(&self, said: &str) -> Running {
        let stderr = fs::File::create(self.dir.path().join(said)).unwrap();
        Running { child: self.command(&["-i", "--supervise"]).stderr(stderr).spawn().unwrap() }
    }

    fn said(&self, said: &str) -> String {
        fs::read_to_string(self.dir.path().join(said)).unwrap()
    }
}

struct Running {
    child: Child,
}

impl Running {
    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let daemon = daemon_of(self.pid());
        // Errors mean that they have left already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(daemon) = daemon {
            let _ = kill_process(daemon, Signal::KILL);
        }
    }
}

/// The daemon of a keeper, when it is there and serves: it holds the lock of its run directory (proc_locks(5)), which it takes
/// after it has caught its signals.
fn daemon_of(keeper: Pid) -> Option<Pid> {
    let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", keeper.as_raw_nonzero())).ok()?;
    let daemon = children.split_whitespace().next()?;
    let locks = fs::read_to_string("/proc/locks").unwrap();
    let holds_lock = |line: &str| line.contains(" FLOCK ") && line.split_whitespace().any(|word| word == daemon);
    locks.lines().any(holds_lock).then(|| Pid::from_raw(daemon.parse().unwrap()))?
}

fn daemon(keeper: Pid, other_than: Option<Pid>) -> Pid {
    until("a daemon", || daemon_of(keeper).filter(|daemon| Some(*daemon) != other_than))
}

/// Waits for the end of a process. Its new parent may not wait for it: a process that only waits for that is gone.
fn is_gone(pid: Pid) {
    let stat = format!("/proc/{}/stat", pid.as_raw_nonzero());
    let is_over = || fs::read_to_string(&stat).map_or(true, |stat| stat[stat.rfind(')').unwrap()..].starts_with(") Z"));
    until("its end", || is_over().then_some(()));
}

/// A keeper that is nobody's child any more.
struct Background {
    keeper: Pid,
}

impl Drop for Background {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for pid in [daemon_of(self.keeper), Some(self.keeper)].into_iter().flatten() {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
    }
}

#[test]
fn a_killed_daemon_comes_back_until_the_keeper_is_told_to_stop() {
    let host = Host::new();
    let mut keeper = host.keeper("said");
    let mut last = daemon(keeper.pid(), None);
    for _ in 0..10 {
        kill_process(last, Signal::KILL).unwrap();
        last = daemon(keeper.pid(), Some(last));
    }
    keeper.signal(Signal::TERM);
    let status = until("the keeper's end", || keeper.child.try_wait().unwrap());
    assert!(status.success(), "{status}: {}", host.said("said"));
    is_gone(last);
    let left: Vec<_> =
        fs::read_dir(host.dir.path().join("run")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_str().unwrap().contains("notify")), "{left:?}");
}

/// A second daemon is refused by the first one's lock; its keeper does not insist.
#[test]
fn a_second_keeper_leaves() {
    let host = Host::new();
    let first = host.keeper("first");
    let served = daemon(first.pid(), None);
    let mut second = host.keeper("second");
    let status = until("the second keeper's end", || second.child.try_wait().unwrap());
    assert_eq!(status.code(), Some(1));
    let expected = format!("another daemon, process {},", served.as_raw_nonzero());
    assert!(host.said("second").contains(&expected), "{}", host.said("second"));
    assert_eq!(daemon(first.pid(), None), served);
}

/// A second start wrote its id over that of the keeper that serves, and nobody could stop that any more.
#[test]
fn a_second_start_is_told_and_leaves_the_pid_file_alone() {
    let host = Host::new();
    let first = host.keeper("first");
    daemon(first.pid(), None);
    let pid_file = host.dir.path().join("pid");
    for args in [&["--supervise"][..], &[]] {
        fs::write(&pid_file, "the first one's\n").unwrap();
        let output = host.command(args).arg("--pid-file").arg(&pid_file).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("another daemon, process "), "{said}");
        assert_eq!(fs::read_to_string(&pid_file).unwrap(), "the first one's\n");
    }
}

/// The daemon of a keeper that was killed goes on. Who starts a new one is told what to do, and it is enough.
#[test]
fn after_a_keeper_was_killed_the_way_out_is_the_one_that_is_told() {
    let host = Host::new();
    let first = host.keeper("first");
    let orphan = daemon(first.pid(), None);
    let _guard = Background { keeper: orphan };
    first.signal(Signal::KILL);
    is_gone(first.pid());
    let mut second = host.keeper("second");
    let status = until("the second keeper's end", || second.child.try_wait().unwrap());
    assert_eq!(status.code(), Some(1));
    let told = host.said("second");
    let id = told.split("kill ").nth(1).and_then(|rest| rest.split(':').next()).unwrap_or_else(|| panic!("{told}"));
    assert_eq!(id, orphan.as_raw_nonzero().to_string());
    kill_process(orphan, Signal::TERM).unwrap();
    is_gone(orphan);
    let third = host.keeper("third");
    daemon(third.pid(), None);
}

#[test]
fn in_the_background_the_pid_file_has_the_keepers_id_and_an_upgrade_does_not_change_it() {
    let host = Host::new();
    let pid_file = host.dir.path().join("pid");
    let mut command = host.command(&["--supervise"]);
    assert!(command.arg("--pid-file").arg(&pid_file).stderr(Stdio::null()).status().unwrap().success());
    let id = || fs::read_to_string(&pid_file).ok()?.trim_end().parse().ok().and_then(Pid::from_raw);
    let keeper = until("the pid file", id);
    let _guard = Background { keeper };
    let mut last = daemon(keeper, None);
    for signal in [Signal::KILL, Signal::TERM, Signal::ABORT] {
        kill_process(last, signal).unwrap();
        last = daemon(keeper, Some(last));
    }
    kill_process(keeper, Signal::USR2).unwrap();
    last = daemon(keeper, Some(last));
    assert_eq!((id(), session(keeper)), (Some(keeper), session(last)));
    kill_process(keeper, Signal::TERM).unwrap();
    is_gone(last);
    is_gone(keeper);
}

/// Whatever comes while the keeper becomes another program is kept for that.
#[test]
fn a_stop_is_never_lost_in_an_upgrade() {
    let host = Host::new();
    for round in 0..20 {
        let mut keeper = host.keeper("said");
        daemon(keeper.pid(), None);
        keeper.signal(Signal::USR2);
        for _ in 0..round * 40 {
            std::thread::yield_now();
        }
        keeper.signal(Signal::USR2);
        keeper.signal(Signal::TERM);
        let status = until("the keeper's end", || keeper.child.try_wait().unwrap());
        assert!(status.code().is_some(), "{status}: {}", host.said("said"));
    }
}

/// An upgrade that comes with a configuration that cannot be read must not cost what is kept: the keeper stays, and tries.
#[test]
fn an_upgrade_survives_a_bad_configuration() {
    let host = Host::new();
    let mut keeper = host.keeper("said");
    let last = daemon(keeper.pid(), None);
    let config = host.dir.path().join("xenlog.toml");
    fs::write(&config, "[bounds]\nnonsense = 1").unwrap();
    keeper.signal(Signal::USR2);
    until("a word about it", || (host.said("said").matches("nonsense").count() > 2).then_some(()));
    assert!(keeper.child.try_wait().unwrap().is_none());
    fs::write(&config, "").unwrap();
    daemon(keeper.pid(), Some(last));
}

#[test]
fn a_relative_configuration_is_refused_in_the_background() {
    let host = Host::new();
    let output =
        host.command(&["--supervise"]).args(["--config", "c.toml"]).current_dir(host.dir.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(22));
}

/// The session that a process belongs to.
fn session(pid: Pid) -> Option<i32> {
    rustix::process::getsid(Some(pid)).ok().map(|session| session.as_raw_nonzero().get())
}

#[test]
fn the_configuration_is_looked_at_before_anything_is_started() {
    let host = Host::new();
    fs::write(host.dir.path().join("xenlog.toml"), "[bounds]\nnonsense = 1").unwrap();
    let output = host.command(&["-i", "--supervise"]).output().unwrap();
    assert_eq!(output.status.code(), Some(22));
    assert!(String::from_utf8_lossy(&output.stderr).contains("nonsense"));
    assert!(is_empty(&host.dir.path().join("run")));
}

fn is_empty(dir: &Path) -> bool {
    fs::read_dir(dir).unwrap().next().is_none()
}
