//! A machine whose daemon has a keeper.

use std::fs;
use std::io::Read;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use testbed::{Machine, StoreKind, until};

/// Its parts: gone with it, the keeper first.
pub struct Scene {
    keeper: Child,
    pub machine: Machine,
    pub dir: TempDir,
}

impl Scene {
    /// A daemon with these options, under a keeper, on a machine without guests.
    pub fn start(options: &[&str]) -> Scene {
        Scene::in_dir(tempfile::Builder::new().prefix("consoles").tempdir().unwrap(), options)
    }

    /// The same in a directory that may have a `log` in it already.
    pub fn in_dir(dir: TempDir, options: &[&str]) -> Scene {
        let machine = Machine::start(StoreKind::C);
        for name in ["run", "log"] {
            // It may be there.
            let _ = fs::create_dir(dir.path().join(name));
        }
        fs::write(dir.path().join("xenlog.toml"), "").unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_xenconsoled"));
        machine.hypervisor().run_opening(&mut command);
        command.env("XENSTORED_PATH", machine.store().socket()).env_remove("XENSTORED_RUNDIR").env("TZ", "UTC");
        command.args(["-i", "--supervise"]).args(options);
        command.arg("--config").arg(dir.path().join("xenlog.toml"));
        command.arg("--xen-run-dir").arg(dir.path().join("run")).arg("--xen-log-dir").arg(dir.path().join("log"));
        let said = fs::File::create(dir.path().join("said")).unwrap();
        let keeper = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(said).spawn().unwrap();
        Scene { keeper, machine, dir }
    }

    /// The daemon, when it has the lock of its run directory: from then on it serves.
    pub fn daemon(&self) -> Option<Pid> {
        let keeper = self.keeper.id();
        let children = fs::read_to_string(format!("/proc/{keeper}/task/{keeper}/children")).ok()?;
        let daemon = children.split_whitespace().next()?;
        let locks = fs::read_to_string("/proc/locks").unwrap();
        let holds_lock = |line: &str| line.contains(" FLOCK ") && line.split_whitespace().any(|word| word == daemon);
        locks.lines().any(holds_lock).then(|| Pid::from_raw(daemon.parse().unwrap()))?
    }

    /// Kills the daemon that serves now.
    pub fn kill(&self) {
        let daemon = until("a daemon", || self.daemon());
        kill_process(daemon, Signal::KILL).unwrap();
        until("its end", || (self.daemon() != Some(daemon)).then_some(()));
    }

    /// Where a guest's clients find its console.
    pub fn tty(&self, domid: u16) -> PathBuf {
        until("a tty", || self.machine.console_node(domid, "tty").filter(|tty| !tty.is_empty())).into()
    }

    /// The directory of console logs.
    pub fn log(&self, name: &str) -> PathBuf {
        self.dir.path().join("log/console").join(name)
    }

    /// Waits until a log says this.
    pub fn log_holds(&self, name: &str, text: &str) {
        let path = self.log(name);
        until(&format!("{name} with {} bytes", text.len()), || {
            let found = fs::read(&path).unwrap_or_default();
            (found == text.as_bytes()).then_some(())
        });
    }

    /// What the daemon says of itself.
    pub fn status(&self) -> String {
        until("the daemon's account", || {
            let mut text = String::new();
            let mut socket = UnixStream::connect(self.dir.path().join("run/xenlog.status")).ok()?;
            socket.read_to_string(&mut text).ok()?;
            text.ends_with('}').then_some(text)
        })
    }

    /// What the keeper and its daemons said.
    pub fn said(&self) -> String {
        fs::read_to_string(self.dir.path().join("said")).unwrap()
    }
}

/// A number in JSON that stands behind this name for the first time.
pub fn number(json: &str, name: &str) -> u64 {
    let behind = json.split(&format!("\"{name}\":")).nth(1).unwrap_or_else(|| panic!("no {name} in {json}"));
    behind.split([',', '}']).next().unwrap().parse().unwrap()
}

impl Drop for Scene {
    fn drop(&mut self) {
        let daemon = self.daemon();
        // Errors mean that they have left already.
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
        if let Some(daemon) = daemon {
            let _ = kill_process(daemon, Signal::KILL);
        }
        if std::thread::panicking() {
            eprintln!("{}", self.said());
        }
    }
}

/// Whether `path` has gone.
pub fn is_gone(path: &Path) -> Option<()> {
    (!path.exists()).then_some(())
}
