//! The real daemon as a child.

use std::fs;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};
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
    /// Starts it for the host in `dir`.
    pub fn start(socket: &Path, dir: &Path) -> Daemon {
        let number = (0..).find(|number| !dir.join(format!("stderr.{number}")).exists()).unwrap();
        let stderr = dir.join(format!("stderr.{number}"));
        let child = command(&["-i", "-v", "--no-hypervisor"])
            .arg("--xen-run-dir")
            .arg(dir.join("run"))
            .arg("--xen-log-dir")
            .arg(dir.join("log"))
            .arg("--config")
            .arg(dir.join("xenlog.toml"))
            .env("XENSTORED_PATH", socket)
            .stderr(fs::File::create(&stderr).unwrap())
            .spawn()
            .unwrap();
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

    /// Waits for its end.
    pub fn ended(&mut self) -> ExitStatus {
        until("the daemon's end", || self.child.try_wait().unwrap())
    }

    /// What its descriptors are, as the kernel shows it: paths, `pipe:[1]` and the like.
    pub fn descriptors(&self) -> Vec<PathBuf> {
        fs::read_dir(self.proc("fd")).unwrap().filter_map(|entry| fs::read_link(entry.ok()?.path()).ok()).collect()
    }

    /// How often its threads have gone to sleep so far: whoever is never woken does not go to sleep again (proc_pid_status(5)).
    fn sleeps(&self) -> u64 {
        let count = |status: String| {
            let lines = status.lines().filter_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
            lines.map(|count| count.trim().parse::<u64>().unwrap()).sum::<u64>()
        };
        let threads = fs::read_dir(self.proc("task")).unwrap();
        threads.filter_map(|thread| fs::read_to_string(thread.ok()?.path().join("status")).ok()).map(count).sum()
    }

    /// Waits until it sleeps, and nothing wakes it for longer than it waits for anything.
    pub fn rests(&self) {
        until("a daemon that has nothing to do", || {
            let before = self.sleeps();
            let is_asleep =
                fs::read_dir(self.proc("task")).ok()?.flatten().all(|thread| state(&thread.path()) == Some('S'));
            std::thread::sleep(std::time::Duration::from_secs(3));
            (is_asleep && self.sleeps() == before).then_some(())
        });
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

/// The state of a process or thread (proc_pid_stat(5), field 3).
fn state(proc: &Path) -> Option<char> {
    let stat = fs::read_to_string(proc.join("stat")).ok()?;
    stat[stat.rfind(')')? + 2..].chars().next()
}
