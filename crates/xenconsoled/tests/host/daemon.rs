//! The real daemon as a child.

use std::fs;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};
use testbed::until;

/// The daemon as its tests are to run it: with nothing of this machine's configuration.
pub fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xenconsoled"));
    command.args(args).stdin(Stdio::null());
    for variable in ["XEN_RUN_DIR", "XEN_LOG_DIR", "XENSTORED_PATH", "XENSTORED_RUNDIR"] {
        command.env_remove(variable);
    }
    command
}

/// A daemon that runs. It is killed when this is dropped; what it said is shown when the test failed.
pub struct Daemon {
    child: Child,
    /// Its own log.
    stderr: PathBuf,
}

impl Daemon {
    /// Starts it for the host in `dir`. `change` may have it started in another way.
    pub fn start(socket: &Path, dir: &Path, change: impl FnOnce(&mut Command)) -> Daemon {
        let number = (0..).find(|number| !dir.join(format!("stderr.{number}")).exists()).unwrap();
        let stderr = dir.join(format!("stderr.{number}"));
        let mut command = command(&["-i", "-v", "--no-hypervisor"]);
        command.arg("--xen-run-dir").arg(dir.join("run")).arg("--xen-log-dir").arg(dir.join("log"));
        command.arg("--config").arg(dir.join("xenlog.toml")).env("XENSTORED_PATH", socket);
        change(&mut command);
        let child = command.stderr(fs::File::create(&stderr).unwrap()).spawn().unwrap();
        Daemon { child, stderr }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: Signal) {
        // The child was not waited for, so its number is still its own.
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Stops it where it stands (SIGSTOP), every thread of it. From when this returns it does nothing.
    pub fn halt(&self) {
        self.signal(Signal::STOP);
        until("the daemon's standstill", || {
            let threads = fs::read_dir(self.proc("task")).ok()?;
            threads.flatten().all(|thread| state(&thread.path()) == Some('T')).then_some(())
        });
    }

    /// Lets it go on after [`Daemon::halt`].
    pub fn go_on(&self) {
        self.signal(Signal::CONT);
    }

    /// From when this returns it can open nothing, until [`Daemon::may_open_again`]: no number below its bound is free.
    pub fn may_open_nothing(&self) {
        let taken = |number: &u64| self.proc("fd").join(number.to_string()).symlink_metadata().is_ok();
        let free = (0..).find(|number| !taken(number)).unwrap();
        self.bound_descriptors(free);
    }

    /// It can open as much as there may be.
    pub fn may_open_again(&self) {
        self.bound_descriptors(u64::MAX);
    }

    fn bound_descriptors(&self, most: u64) {
        let limits = fs::read_to_string(self.proc("limits")).unwrap();
        let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
        let maximum: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        let new = Rlimit { current: Some(most.min(maximum)), maximum: Some(maximum) };
        prlimit(Some(Pid::from_child(&self.child)), Resource::Nofile, new).unwrap();
    }

    /// The most memory that it has had so far, in bytes (proc_pid_status(5), VmHWM).
    pub fn peak_memory(&self) -> u64 {
        let status = fs::read_to_string(self.proc("status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() << 10
    }

    /// How long it has run on a processor so far (proc_pid_schedstat: nanoseconds first).
    pub fn time(&self) -> Duration {
        let threads = fs::read_dir(self.proc("task")).unwrap();
        let stats = threads.filter_map(|thread| fs::read_to_string(thread.ok()?.path().join("schedstat")).ok());
        stats.map(|stat| Duration::from_nanos(stat.split(' ').next().unwrap().parse().unwrap())).sum()
    }

    /// Whether it has not ended yet.
    pub fn is_there(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for its end.
    pub fn ended(&mut self) -> ExitStatus {
        until("the daemon's end", || self.child.try_wait().unwrap())
    }

    /// What its descriptors are, as the kernel shows it: paths, `pipe:[1]` and the like.
    pub fn descriptors(&self) -> Vec<PathBuf> {
        fs::read_dir(self.proc("fd")).unwrap().filter_map(|entry| fs::read_link(entry.ok()?.path()).ok()).collect()
    }

    /// Waits until it sleeps, and nothing wakes it for longer than it waits for anything.
    pub fn rests(&self) {
        rests(self.pid());
    }

    /// What it has said so far.
    pub fn said(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.stderr).unwrap_or_default()).into_owned()
    }

    /// The lines of what it said that are for everybody, without those for debugging.
    pub fn reports(&self) -> Vec<String> {
        self.said().lines().filter(|line| !line.contains(" debug: ")).map(str::to_owned).collect()
    }

    fn proc(&self, what: &str) -> PathBuf {
        format!("/proc/{}/{what}", self.pid()).into()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // An error means that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let said = self.said();
            let lines: Vec<&str> = said.lines().collect();
            eprintln!("the daemon's last words:\n{}", lines[lines.len().saturating_sub(20)..].join("\n"));
        }
    }
}

/// Waits until a daemon sleeps, and nothing wakes it for longer than it waits for anything.
pub fn rests(pid: u32) {
    until("a daemon that has nothing to do", || {
        let before = sleeps(pid);
        let is_asleep = threads(pid).all(|thread| state(&thread) == Some('S'));
        std::thread::sleep(Duration::from_secs(3));
        (is_asleep && sleeps(pid) == before).then_some(())
    });
}

/// How often its threads have gone to sleep so far: whoever is never woken does not go to sleep again (proc_pid_status(5)).
fn sleeps(pid: u32) -> u64 {
    let count = |status: String| {
        let lines = status.lines().filter_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        lines.map(|count| count.trim().parse::<u64>().unwrap()).sum::<u64>()
    };
    threads(pid).filter_map(|thread| fs::read_to_string(thread.join("status")).ok()).map(count).sum()
}

fn threads(pid: u32) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten().map(|thread| thread.path())
}

/// The state of a process or thread (proc_pid_stat(5), field 3).
fn state(proc: &Path) -> Option<char> {
    let stat = fs::read_to_string(proc.join("stat")).ok()?;
    stat[stat.rfind(')')? + 2..].chars().next()
}
