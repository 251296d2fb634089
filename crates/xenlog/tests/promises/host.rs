//! A host in a directory: Xen's own store, the real daemon when it is wanted, and places for FIFOs and logs.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use logproto::{DAEMON_NODE, DAEMON_VERSION, Owner};
use rustix::process::{Pid, Signal, kill_process};
use testbed::{Store, StoreKind, until};
use xenlog::{Log, OpenOptions, Places};
use xenstore::Client;

/// Our programs.
pub const XENLOG: &str = env!("CARGO_BIN_EXE_xenlog");
pub const XENLOG_QEMU: &str = env!("CARGO_BIN_EXE_xenlog-qemu");

/// Longer than any test may take: who waits that long hangs.
pub const HOUR: Duration = Duration::from_secs(3600);

/// The host.
pub struct Host {
    daemon: Option<Process>,
    pub store: Store,
}

impl Host {
    /// Without a daemon. `None` if Xen's store is not installed; then the test is passed by.
    pub fn quiet() -> Option<Host> {
        Host::on(StoreKind::C)
    }

    /// The same with another store.
    pub fn on(kind: StoreKind) -> Option<Host> {
        if !kind.available() {
            return None;
        }
        let host = Host { daemon: None, store: Store::start(kind) };
        fs::create_dir(host.run_dir()).unwrap();
        fs::create_dir(host.log_dir()).unwrap();
        Some(host)
    }

    /// With a daemon that serves.
    pub fn start() -> Option<Host> {
        let mut host = Host::quiet()?;
        host.start_daemon();
        Some(host)
    }

    pub fn start_daemon(&mut self) {
        let program = Path::new(XENLOG).with_file_name("xenconsoled");
        assert!(program.is_file(), "{} is missing: run `cargo build --workspace` first", program.display());
        let config = self.store.dir().join("daemon.toml");
        fs::write(&config, "[daemon]\ndrain-seconds = 1\n").unwrap();
        let mut command = leashed(&program);
        command.args(["-i", "--no-hypervisor", "-v"]);
        for (option, path) in
            [("--xen-run-dir", self.run_dir()), ("--xen-log-dir", self.log_dir()), ("--config", config)]
        {
            command.arg(option).arg(path);
        }
        let own_log = fs::File::create(self.store.dir().join("daemon.log")).unwrap();
        self.env(&mut command).stderr(own_log);
        self.daemon = Some(Process::spawn(command));
        let mut client = self.client();
        until("the daemon to serve", || client.read(DAEMON_NODE).ok());
    }

    /// Says that there is a daemon where there is none: one that never answers.
    pub fn claim_daemon(&self) {
        self.client().write(DAEMON_NODE, DAEMON_VERSION.as_bytes()).unwrap();
    }

    pub fn daemon(&self) -> &Process {
        self.daemon.as_ref().unwrap()
    }

    pub fn run_dir(&self) -> PathBuf {
        self.store.dir().join("xen-run")
    }

    pub fn log_dir(&self) -> PathBuf {
        self.store.dir().join("xen-log")
    }

    pub fn places(&self) -> Places {
        Places { store: vec![self.store.address()], run_dir: self.run_dir(), log_dir: self.log_dir() }
    }

    pub fn client(&self) -> Client {
        self.store.client()
    }

    pub fn options(&self, owner: Owner, file: &str) -> OpenOptions {
        OpenOptions::new(owner, file).places(self.places()).wait(HOUR)
    }

    /// A log of the host.
    pub fn open(&self, file: &str) -> Log {
        self.options(Owner::Host, file).open().unwrap()
    }

    /// What a log file holds, nothing if it is not there.
    pub fn read(&self, file: &str) -> String {
        fs::read_to_string(self.log_dir().join(file)).unwrap_or_default()
    }

    /// Waits until a log file holds this.
    pub fn until_logged(&self, file: &str, text: &str) {
        until(&format!("{text:?} in {file}"), || self.read(file).contains(text).then_some(()));
    }

    /// Names in the run directory.
    pub fn fifos(&self) -> Vec<PathBuf> {
        fifos(&self.run_dir())
    }

    /// Ids of all logs of an owner.
    pub fn entries(&self, owner: Owner) -> Vec<String> {
        self.client().directory(&owner.logging_path()).unwrap_or_default()
    }

    /// The nodes of an entry and their values.
    pub fn nodes(&self, entry: &str) -> BTreeMap<String, String> {
        let mut client = self.client();
        let names = client.directory(entry).unwrap_or_default();
        let value = |client: &mut Client, name: &str| client.read(&format!("{entry}/{name}")).unwrap_or_default();
        let text = |value: Vec<u8>| String::from_utf8(value).unwrap();
        names.into_iter().map(|name| (name.clone(), text(value(&mut client, &name)))).collect()
    }

    /// That nothing is left of any log but its file.
    pub fn assert_clean(&self, owner: Owner) {
        assert_eq!(self.entries(owner), Vec::<String>::new(), "entries are left");
        assert_eq!(self.fifos(), Vec::<PathBuf>::new(), "FIFOs are left");
    }

    /// Sets the environment in which programs find this host and no other.
    pub fn env<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        for name in ["XENLOG_LIMIT", "XENLOG_COPIES", "XENLOG_QEMU"] {
            command.env_remove(name);
        }
        let empty = self.store.dir().join("empty.toml");
        fs::write(&empty, "").unwrap();
        command
            .env("XENSTORED_PATH", self.store.socket())
            .env("XEN_RUN_DIR", self.run_dir())
            .env("XEN_LOG_DIR", self.log_dir())
            .env("XENLOG_CONFIG", empty)
    }

    /// One of our programs, on this host.
    pub fn command(&self, program: &str) -> Command {
        let mut command = leashed(Path::new(program));
        self.env(&mut command).stdin(Stdio::null());
        command
    }

    /// Runs `xenlog` to its end.
    pub fn xenlog(&self, arguments: &[&str]) -> Ended {
        Ended::of(self.command(XENLOG).args(arguments))
    }
}

/// A program that is ended if the test is, even by SIGKILL.
pub fn leashed(program: &Path) -> Command {
    let mut command = Command::new(XENLOG);
    command.args(["try-daemon", &std::process::id().to_string(), "--"]).arg(program);
    command
}

/// How a program ended.
#[derive(Debug)]
pub struct Ended {
    /// The exit code, or the number of the signal that ended it, negative.
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Ended {
    pub fn of(command: &mut Command) -> Ended {
        Ended::from(command.output().unwrap())
    }

    /// That it ended well and had nothing to say on standard error; its standard output.
    pub fn quietly(self) -> String {
        assert!(self.code == 0 && self.err.is_empty(), "{self:?}");
        self.out
    }
}

impl From<Output> for Ended {
    fn from(output: Output) -> Ended {
        let status = output.status;
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let code = status.code().unwrap_or_else(|| -status.signal().unwrap());
        Ended { code, out: text(output.stdout), err: text(output.stderr) }
    }
}

/// A child that is killed and waited for when it is dropped.
pub struct Process {
    child: Option<Child>,
}

impl Process {
    pub fn spawn(mut command: Command) -> Process {
        Process { child: Some(command.spawn().unwrap()) }
    }

    pub fn child(&mut self) -> &mut Child {
        self.child.as_mut().unwrap()
    }

    pub fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    pub fn signal(&self, signal: Signal) {
        // It was not waited for, so its number is its own.
        kill_process(Pid::from_child(self.child.as_ref().unwrap()), signal).unwrap();
    }

    /// Stops it, and waits until the kernel has.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
        self.until_stopped();
    }

    /// Waits until it has stopped.
    pub fn until_stopped(&self) {
        let stat = format!("/proc/{}/stat", self.pid());
        until("a process to stop", || {
            let stat = fs::read_to_string(&stat).unwrap();
            stat.rsplit_once(')')?.1.trim_start().starts_with('T').then_some(())
        });
    }

    /// Waits for its end.
    pub fn ended(mut self) -> Ended {
        self.child.take().unwrap().wait_with_output().unwrap().into()
    }

    /// Waits until its standard output, which is piped, has said this.
    pub fn until_said(&mut self, text: &str) -> String {
        let out = self.child().stdout.as_mut().unwrap();
        let (mut said, mut byte) = (Vec::new(), [0]);
        while !String::from_utf8_lossy(&said).contains(text) {
            assert_eq!(out.read(&mut byte).unwrap(), 1, "it ended with {:?}", String::from_utf8_lossy(&said));
            said.push(byte[0]);
        }
        String::from_utf8(said).unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// All FIFOs in a run directory, where the daemon has files of its own.
pub fn fifos(run: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(run).unwrap().map(Result::unwrap);
    entries.filter(|entry| entry.file_type().unwrap().is_fifo()).map(|entry| entry.path()).collect()
}
