//! What a case runs on.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use testbed::{Guest, Hypervisor, Machine, StoreKind, programs, until};

use crate::tty::Tty;

/// The number of the domains that only say that the daemon is done with all that was before.
const MARKERS: u16 = 30_000;

/// Which daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// The one that Xen has, as the distribution ships it.
    Stock,
    /// This one.
    Ours,
}

impl Which {
    /// Whether it can run here. If not, prints what to install.
    pub fn available(self) -> bool {
        let programs: &[&str] = match self {
            Which::Stock => &["xenconsoled", "xenconsole"],
            Which::Ours => &["xenconsole"],
        };
        StoreKind::C.available() && programs::installed(programs)
    }
}

/// A machine, and the daemon on it when it runs.
pub struct Scene {
    pub which: Which,
    /// Before the machine, which it runs on.
    daemon: Option<Daemon>,
    pub machine: Machine,
    dir: TempDir,
    markers: u16,
}

impl Scene {
    /// A machine without daemon and guests.
    pub fn new(which: Which) -> Scene {
        Scene::over(which, Machine::start(StoreKind::C))
    }

    /// The same with a hypervisor whose console is this large.
    pub fn with_hypervisor(which: Which, hypervisor: Hypervisor) -> Scene {
        Scene::over(which, Machine::over(hypervisor, StoreKind::C))
    }

    /// The same on this machine.
    pub fn over(which: Which, machine: Machine) -> Scene {
        let dir = tempfile::Builder::new().prefix("drop-in").tempdir().unwrap();
        for name in ["log", "run"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        fs::write(dir.path().join("xenlog.toml"), "").unwrap();
        Scene { which, daemon: None, machine, dir, markers: MARKERS }
    }

    /// The daemon's command line: that of both, and of ours the directories that the other has compiled in.
    pub fn command(&self, options: &[&str]) -> Command {
        let mut command = match self.which {
            Which::Stock => self.machine.program("xenconsoled"),
            Which::Ours => {
                let mut command = Command::new(env!("CARGO_BIN_EXE_xenconsoled"));
                self.machine.hypervisor().run_opening(&mut command);
                command.env("XENSTORED_PATH", self.machine.store().socket()).env_remove("XENSTORED_RUNDIR");
                command.arg("--xen-run-dir").arg(self.dir.path().join("run"));
                command.arg("--xen-log-dir").arg(self.dir.path());
                command.arg("--config").arg(self.dir.path().join("xenlog.toml"));
                command
            }
        };
        command.arg("--log-dir").arg(self.log_dir()).args(options);
        command.stdin(Stdio::null()).env("TZ", "UTC");
        command
    }

    /// Starts the daemon in the foreground.
    pub fn start(&mut self, options: &[&str]) {
        let mut command = self.command(&["-i"]);
        command.args(options);
        self.start_as(command);
    }

    /// Starts it by this command line.
    pub fn start_as(&mut self, mut command: Command) {
        assert!(self.daemon.is_none(), "one daemon a machine");
        let said = self.dir.path().join("said");
        let child = command.stderr(fs::File::create(&said).unwrap()).spawn().unwrap();
        self.daemon = Some(Daemon { child, said });
    }

    /// Ends it as SIGKILL does.
    pub fn kill(&mut self) {
        self.daemon = None;
    }

    /// Sends it a signal.
    pub fn signal(&mut self, signal: Signal) {
        kill_process(Pid::from_child(&self.daemon().child), signal).unwrap();
    }

    /// Waits for its end.
    pub fn ended(&mut self) -> ExitStatus {
        let daemon = self.daemon.as_mut().expect("a daemon runs");
        let status = until("the daemon's end", || daemon.child.try_wait().unwrap());
        self.daemon = None;
        status
    }

    /// It still runs.
    pub fn lives(&mut self) {
        let ended = self.daemon.as_mut().expect("a daemon runs").child.try_wait().unwrap();
        assert!(ended.is_none(), "{ended:?}");
    }

    pub fn pid(&mut self) -> u32 {
        self.daemon().child.id()
    }

    fn daemon(&mut self) -> &mut Daemon {
        self.lives();
        self.daemon.as_mut().expect("a daemon runs")
    }

    /// When this returns, the daemon has dealt with all that was in the store before: it has met a domain that came after.
    pub fn barrier(&mut self) {
        for _ in 0..2 {
            self.lives();
            self.markers = MARKERS + (self.markers - MARKERS + 1) % 2000;
            let marker = self.machine.guest(self.markers, &format!("marker-{}", self.markers));
            self.tty_path(marker.domid());
            self.machine.destroy(&marker);
            until("the marker's end", || (!marker.is_bound()).then_some(()));
        }
    }

    /// Waits until a guest's console is served.
    pub fn served(&self, guest: &Guest) {
        self.tty_path(guest.domid());
        until("a bound port", || guest.is_bound().then_some(()));
    }

    /// Waits until a console has a tty.
    pub fn tty_path(&self, domid: u16) -> PathBuf {
        let tty = || self.machine.console_node(domid, "tty").filter(|path| !path.is_empty());
        until("a tty in the store", tty).into()
    }

    /// Opens a console's tty when it has one, as a client does.
    pub fn tty(&self, domid: u16) -> Tty {
        Tty::open(&self.tty_path(domid))
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn log_dir(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    /// What is in a log; nothing if it is not there.
    pub fn log(&self, name: &str) -> String {
        String::from_utf8_lossy(&fs::read(self.log_dir().join(name)).unwrap_or_default()).into_owned()
    }

    /// Waits until a log holds this and no more.
    pub fn log_holds(&self, name: &str, text: &str) {
        let mut content = String::new();
        let mut look = || {
            content = self.log(name);
            (content == text).then_some(())
        };
        let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| until(text, &mut look)));
        if let Err(panic) = found {
            eprintln!("{name} holds {content:?} and not {text:?}");
            std::panic::resume_unwind(panic);
        }
    }

    /// Waits until a log ends with this, and gives all of it.
    pub fn log_until(&self, name: &str, end: &str) -> String {
        until(end, || Some(self.log(name)).filter(|content| content.ends_with(end)))
    }

    /// The names of all logs, in order, but for the barriers'.
    pub fn logs(&self) -> Vec<String> {
        let names =
            fs::read_dir(self.log_dir()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.filter(|name| !name.contains("marker-")).collect();
        names.sort();
        names
    }

    /// The permissions of a log.
    pub fn mode(&self, name: &str) -> u32 {
        fs::metadata(self.log_dir().join(name)).unwrap().mode() & 0o7777
    }

    /// What the daemon said on standard error.
    pub fn said(&self) -> String {
        fs::read_to_string(self.dir.path().join("said")).unwrap_or_default()
    }
}

/// A daemon that runs; killed when this is dropped.
struct Daemon {
    child: Child,
    said: PathBuf,
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // An error means that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let said = fs::read_to_string(&self.said).unwrap_or_default();
            let lines: Vec<&str> = said.lines().collect();
            eprintln!("the daemon's last words:\n{}", lines[lines.len().saturating_sub(20)..].join("\n"));
        }
    }
}
