//! The daemon as a service that starts it again whenever it ends, in three ways: its own keeper, a stand-in for
//! systemd, and somebody who keeps nothing.

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use testbed::until;

use super::host::Host;
use super::manager::Manager;

/// Who starts the daemon again, and what is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// `xenconsoled --supervise`.
    Keeper,
    /// systemd, with its descriptor store.
    FdStore,
    /// Nobody keeps anything.
    Alone,
}

/// The service. All of it is killed when this is dropped.
pub struct Unit {
    runs: Runs,
    dir: PathBuf,
}

enum Runs {
    Keeper(Child),
    Manager(Manager),
}

impl Unit {
    /// Starts the program for a host, and waits until a daemon serves.
    pub fn start(way: Way, program: &Path, host: &Host, seed: u64) -> Unit {
        let dir = host.run_dir().parent().unwrap().to_owned();
        let stderr = dir.join("unit.stderr");
        let args = args(&dir);
        let env = [(OsString::from("XENSTORED_PATH"), host.store.socket().into_os_string())];
        let runs = match way {
            Way::Keeper => {
                let mut keeper = Command::new(program);
                keeper.arg("--supervise=30").args(args).env_clear().envs(env).stdin(Stdio::null());
                keeper.stderr(File::options().create(true).append(true).open(&stderr).unwrap());
                Runs::Keeper(keeper.spawn().unwrap())
            }
            Way::FdStore => {
                let socket = dir.join("notify");
                Runs::Manager(Manager::start(program, &args, &env, Some(&socket), &stderr, seed))
            }
            Way::Alone => Runs::Manager(Manager::start(program, &args, &env, None, &stderr, seed)),
        };
        let unit = Unit { runs, dir };
        host.serving();
        unit
    }

    /// The daemon that runs now, if one does.
    pub fn daemon(&self) -> Option<Pid> {
        match &self.runs {
            Runs::Keeper(keeper) => child_of(keeper.id()),
            Runs::Manager(manager) => manager.daemon(),
        }
    }

    /// The keeper.
    pub fn keeper(&self) -> Option<Pid> {
        match &self.runs {
            Runs::Keeper(keeper) => Some(Pid::from_child(keeper)),
            Runs::Manager(_) => None,
        }
    }

    /// How many daemons were started.
    pub fn starts(&self) -> usize {
        match &self.runs {
            Runs::Manager(manager) => manager.starts(),
            Runs::Keeper(_) => {
                let said = std::fs::read_to_string(self.dir.join("unit.stderr")).unwrap();
                said.lines().filter(|line| line.contains("keeper: the daemon is process")).count()
            }
        }
    }

    /// Sends a signal to the daemon that runs now. False if none does.
    pub fn signal(&self, signal: Signal) -> bool {
        match &self.runs {
            Runs::Manager(manager) => manager.signal(signal),
            Runs::Keeper(keeper) => {
                let Some(pid) = child_of(keeper.id()) else { return false };
                let Ok(daemon) = pidfd_open(pid, PidfdFlags::empty()) else { return false };
                // Between the two another process may have got that number.
                child_of(keeper.id()) == Some(pid) && pidfd_send_signal(daemon, signal).is_ok()
            }
        }
    }

    /// Has everything go on as the program that is at its path now: the keeper too, where there is one.
    pub fn renew(&self) {
        match &self.runs {
            Runs::Keeper(keeper) => rustix::process::kill_process(Pid::from_child(keeper), Signal::USR2).unwrap(),
            Runs::Manager(manager) => drop(manager.signal(Signal::TERM)),
        }
    }

    /// Stops everything as an administrator does, and waits for its end, which must be a good one. Answers with what
    /// the daemons have said, for the text of a failure.
    pub fn stop(mut self) -> String {
        match &mut self.runs {
            Runs::Keeper(keeper) => {
                rustix::process::kill_process(Pid::from_child(keeper), Signal::TERM).unwrap();
                let status = until("the keeper's end", || keeper.try_wait().unwrap());
                assert_eq!(status.code(), Some(0), "{}", self.said());
            }
            Runs::Manager(manager) => {
                let status = manager.stop();
                assert_eq!(status, Some(0), "{}", self.said());
            }
        }
        self.said()
    }

    /// Kills everything, for good: first whoever would start the daemon again.
    pub fn kill(mut self) {
        self.kill_all();
    }

    /// The last of what it said.
    pub fn said(&self) -> String {
        let said = std::fs::read(self.dir.join("unit.stderr")).unwrap_or_default();
        let said = String::from_utf8_lossy(&said);
        // Not what is said by each daemon that a test kills.
        let usual = [" debug: ", "no pipe to spare", "can be written again", "going on with", "connected to"];
        let lines = said.lines().filter(|line| !usual.iter().any(|usual| line.contains(usual)));
        let lines: Vec<&str> = lines.collect();
        lines[lines.len().saturating_sub(25)..].join("\n")
    }

    fn kill_all(&mut self) {
        match &mut self.runs {
            Runs::Manager(manager) => manager.kill(),
            Runs::Keeper(keeper) => {
                let daemon = child_of(keeper.id()).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
                // An error means that it has ended already.
                let _ = keeper.kill();
                let _ = keeper.wait();
                if let Some(daemon) = daemon {
                    let _ = pidfd_send_signal(daemon, Signal::KILL);
                }
            }
        }
    }
}

impl Drop for Unit {
    fn drop(&mut self) {
        self.kill_all();
        if std::thread::panicking() {
            eprintln!("its last words:\n{}", self.said());
        }
    }
}

fn args(dir: &Path) -> Vec<OsString> {
    let mut args: Vec<OsString> = ["-i", "-v", "--no-hypervisor"].map(OsString::from).into();
    for (option, name) in [("--xen-run-dir", "run"), ("--xen-log-dir", "log"), ("--config", "xenlog.toml")] {
        args.extend([option.into(), dir.join(name).into_os_string()]);
    }
    args
}

/// The only child of a process (proc_pid_children(5)).
fn child_of(parent: u32) -> Option<Pid> {
    let children = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).ok()?;
    Pid::from_raw(children.split_whitespace().next()?.parse().ok()?)
}

/// A copy of the daemon's program that a test may replace.
pub fn program(host: &Host) -> PathBuf {
    let path = host.outside().join("xenconsoled");
    std::fs::copy(env!("CARGO_BIN_EXE_xenconsoled"), &path).unwrap();
    path
}
