//! What is measured: a daemon that serves one log, or guests.

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use rustix::io::ioctl_fionread;
use tempfile::TempDir;
use testbed::{Guest, Machine, StoreKind, until};

use crate::host::{Clock, Host, Log, domain};

pub const MIB: usize = 1 << 20;

/// What counts something of a program that is about to be started.
pub trait Meter {
    /// Has it count.
    fn give_to(&self, command: &mut Command);
}

impl Meter for Clock {
    /// It counts nothing: what is done because a time has come is then done each time.
    fn give_to(&self, command: &mut Command) {
        Clock::give_to(self, command);
    }
}

/// A host, with a daemon that is measured.
pub fn host(meters: &[&dyn Meter]) -> Host {
    let mut host = Host::idle(if StoreKind::C.available() { StoreKind::C } else { StoreKind::Embedded }, "");
    let socket = host.store.socket();
    host.launch_at(&socket, |command| meters.iter().for_each(|meter| meter.give_to(command)));
    host.serving();
    host
}

/// A line of 80 bytes.
pub fn line() -> String {
    format!("{:.<79}\n", "a line of a guest ")
}

/// One log, and who writes to it.
pub struct One {
    host: Host,
    pub log: Log,
    pub end: File,
    /// How many bytes are to be in its files.
    expected: u64,
    /// How much longer a line is in them.
    stamp: u64,
}

impl One {
    /// A log of which `change` may set nodes. Its first line is written, so that all is there that has to be there once.
    pub fn start(meter: &dyn Meter, change: impl FnOnce(Log) -> Log) -> One {
        let host = host(&[meter]);
        // Of a log that may drop, a pipe would be emptied that is full while the daemon stands still.
        let log = change(host.log(domain(5), "qemu").node("policy", "block"));
        let mut end = log.open();
        end.write_all(line().as_bytes()).unwrap();
        let first = until("the first line", || Some(log.content()).filter(|content| content.ends_with(b"\n")));
        let expected = first.len() as u64;
        One { host, log, end, expected, stamp: expected - line().len() as u64 }
    }

    /// The daemon.
    pub fn pid(&mut self) -> u32 {
        self.host.daemon().pid()
    }

    /// Waits until the daemon has nothing to say to the store any more.
    pub fn rests(&mut self) {
        self.host.daemon().rests();
    }

    /// Writes so many bytes, 64 KiB at a time.
    pub fn stream(&mut self, bytes: usize) {
        static WRITE: [u8; 64 << 10] = [b'x'; 64 << 10];
        (0..bytes / WRITE.len()).for_each(|_| self.end.write_all(&WRITE).unwrap());
        self.expected += bytes as u64;
    }

    /// Writes a line.
    pub fn line(&mut self) {
        let line = line();
        self.end.write_all(line.as_bytes()).unwrap();
        self.expected += line.len() as u64 + self.stamp;
    }

    /// Writes lines until there is no room for one more; how many those are.
    pub fn lines_until_full(&mut self) -> u64 {
        let (mut impatient, line) = (self.log.impatient_end(), line());
        let mut count = 0;
        while impatient.write(line.as_bytes()).is_ok_and(|written| written == line.len()) {
            count += 1;
        }
        self.expected += count * (line.len() as u64 + self.stamp);
        count
    }

    /// Waits until all that was written is in the files.
    pub fn arrives(&self) {
        until("what was written, in the log's files", || {
            (self.log.sizes().iter().map(|(_, size)| size).sum::<u64>() == self.expected).then_some(())
        });
    }

    /// Waits until all that was written is in the files, or was and is gone with the oldest copy.
    pub fn drained(&mut self) {
        until("an empty pipe", || (ioctl_fionread(&self.end) == Ok(0)).then_some(()));
        // What comes behind it is in the file when that is.
        self.line();
        until("the last line", || fs::read(&self.log.file).ok()?.ends_with(line().as_bytes()).then_some(()));
    }
}

/// A machine with a daemon that logs guests.
pub struct Guests {
    daemon: Child,
    pub machine: Machine,
    dir: TempDir,
}

impl Guests {
    /// A machine without guests.
    pub fn start(meters: &[&dyn Meter]) -> Guests {
        let machine = Machine::start(StoreKind::C);
        let dir = tempfile::Builder::new().prefix("costs").tempdir().unwrap();
        for name in ["run", "log"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        fs::write(dir.path().join("xenlog.toml"), "").unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_xenconsoled"));
        machine.hypervisor().run_opening(&mut command);
        command.env("XENSTORED_PATH", machine.store().socket()).env_remove("XENSTORED_RUNDIR");
        command.args(["-i", "--log=guest"]).arg("--config").arg(dir.path().join("xenlog.toml"));
        command.arg("--xen-run-dir").arg(dir.path().join("run")).arg("--xen-log-dir").arg(dir.path().join("log"));
        meters.iter().for_each(|meter| meter.give_to(&mut command));
        let daemon = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        Guests { daemon, machine, dir }
    }

    /// The daemon.
    pub fn pid(&self) -> u32 {
        self.daemon.id()
    }

    /// A new guest, whose console is served.
    pub fn guest(&self, domid: u16) -> Guest {
        let guest = self.machine.guest(domid, &format!("g{domid}"));
        self.tty(domid);
        until("a bound port", || guest.is_bound().then_some(()));
        guest
    }

    /// Where a guest's console is seen.
    pub fn tty(&self, domid: u16) -> PathBuf {
        until("a tty", || self.machine.console_node(domid, "tty").filter(|tty| !tty.is_empty())).into()
    }

    /// Waits until a guest's log has so many bytes.
    pub fn logged(&self, guest: &Guest, bytes: usize) {
        let log = self.dir.path().join("log/console").join(format!("guest-{}.log", guest.name()));
        until("a guest's log", || fs::metadata(&log).is_ok_and(|log| log.len() == bytes as u64).then_some(()));
    }
}

impl Drop for Guests {
    fn drop(&mut self) {
        // An error means that it has ended already.
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}
