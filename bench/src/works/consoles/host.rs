//! A host with guests and one of the two daemons.

use std::fs;
use std::os::linux::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tempfile::TempDir;
use testbed::{Guest, Machine, StoreKind, until};

/// The length of a line of [`text`].
pub const LINE: usize = 80;

/// Which daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Which {
    /// Xen's own.
    Stock,
    /// This project's.
    Ours,
}

impl Which {
    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Which::Stock => "stock",
            Which::Ours => "ours",
        }
    }
}

/// Lines of which each is another.
pub fn text(bytes: usize) -> Vec<u8> {
    let lines = (0..bytes.div_ceil(LINE)).flat_map(|line| format!("{line:08} {:.<70}\n", "a line").into_bytes());
    lines.take(bytes).collect()
}

/// As many descriptors as can be had, for the programs that are started, too.
pub fn raise_limits() {
    let limit = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: limit, maximum: limit })
        .expect("a soft limit may become the hard one");
}

/// A host, with domains 1 to as many as there are.
pub struct Host {
    daemon: Child,
    which: Which,
    guests: Vec<Guest>,
    machine: Machine,
    logs: TempDir,
    /// In memory, as /run is.
    _run: TempDir,
}

impl Host {
    /// Starts it, and waits until every console is served.
    pub fn start(which: Which, guests: u16) -> Host {
        let (machine, logs) = (Machine::start(StoreKind::C), TempDir::new().expect("a temporary directory"));
        let run = TempDir::new_in("/dev/shm").expect("a temporary directory in memory");
        let guests: Vec<Guest> = (1..=guests).map(|domid| machine.guest(domid, &format!("g{domid}"))).collect();
        let mut command = command(which, &machine, run.path(), logs.path());
        command.arg("--log=guest").arg("--log-dir").arg(logs.path());
        // It ends with this program, however that one ends.
        command.env("HYPERVISOR_LIFELINE", "1").stdin(Stdio::piped()).stderr(Stdio::null());
        let daemon = command.spawn().expect("a daemon that starts");
        let host = Host { daemon, which, guests, machine, logs, _run: run };
        for guest in &host.guests {
            until("a console that is served", || guest.is_bound().then_some(()));
            host.tty(guest.domid());
        }
        // Whatever that led to is over when nothing was used for a while.
        let mut before = Duration::ZERO;
        until("a daemon at rest", || {
            std::thread::sleep(Duration::from_millis(300));
            let (now, before) = (host.cpu(), std::mem::replace(&mut before, host.cpu()));
            (now.saturating_sub(before) < Duration::from_millis(3)).then_some(())
        });
        host
    }

    /// From now on what the daemon tells the hypervisor costs it about what it does on Xen: no thread is woken up for each word.
    pub fn spare(&self) {
        self.machine.hypervisor().set_rest(Duration::from_micros(500));
    }

    /// Its daemon.
    pub fn which(&self) -> Which {
        self.which
    }

    /// Its guests.
    pub fn guests(&self) -> &[Guest] {
        &self.guests
    }

    /// All of the host but daemon and guests.
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// Where a guest's console is seen.
    pub fn tty(&self, domid: u16) -> String {
        until("a tty", || self.machine.console_node(domid, "tty").filter(|path| !path.is_empty()))
    }

    /// Waits until each guest's log has so many bytes.
    pub fn logged(&self, bytes: usize) {
        for guest in &self.guests {
            let path = self.log(guest);
            until("a log that is complete", || {
                fs::metadata(&path).is_ok_and(|file| file.st_size() >= bytes as u64).then_some(())
            });
        }
    }

    /// Compares each guest's log with what it wrote.
    ///
    /// # Panics
    /// If it is not the same.
    pub fn check(&self, text: &[u8]) {
        for guest in &self.guests {
            let log = fs::read(self.log(guest)).expect("a log");
            let which = self.which.name();
            assert!(log == text, "{which}: the log of {} has {} bytes of {}", guest.name(), log.len(), text.len());
        }
    }

    fn log(&self, guest: &Guest) -> PathBuf {
        self.logs.path().join(format!("guest-{}.log", guest.name()))
    }

    /// How long the daemon has had a processor so far (Documentation/scheduler/sched-stats.rst, /proc/PID/schedstat).
    pub fn cpu(&self) -> Duration {
        let threads = fs::read_dir(self.proc("task")).expect("a daemon that runs");
        let of_thread = |dir: PathBuf| -> Option<u64> {
            fs::read_to_string(dir.join("schedstat")).ok()?.split(' ').next()?.parse().ok()
        };
        Duration::from_nanos(threads.filter_map(|thread| of_thread(thread.ok()?.path())).sum())
    }

    /// Of how many events the daemon has been told.
    pub fn events(&self) -> u64 {
        self.guests.iter().map(|guest| guest.told()).sum()
    }

    /// Its memory in KiB: its share of what it has mapped, and what is in files without a name.
    pub fn memory(&self) -> [f64; 2] {
        let rollup = fs::read_to_string(self.proc("smaps_rollup")).expect("the daemon's own");
        let pss = rollup.lines().find_map(|line| line.strip_prefix("Pss:")?.split_whitespace().next()?.parse().ok());
        let files = self.descriptors().into_iter().filter(|path| {
            fs::read_link(path).is_ok_and(|target| target.as_os_str().as_encoded_bytes().starts_with(b"/memfd:"))
        });
        let blocks: u64 = files.filter_map(|path| Some(fs::metadata(path).ok()?.st_blocks())).sum();
        [pss.expect("a share"), blocks as f64 / 2.0]
    }

    /// The descriptors that it has open.
    pub fn descriptors(&self) -> Vec<PathBuf> {
        let all = fs::read_dir(self.proc("fd")).expect("the daemon's own");
        all.filter_map(|entry| Some(entry.ok()?.path())).collect()
    }

    fn proc(&self, what: &str) -> String {
        format!("/proc/{}/{what}", self.daemon.id())
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // An error means that it has ended already.
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}

fn command(which: Which, machine: &Machine, run: &Path, logs: &Path) -> Command {
    match which {
        Which::Stock => {
            let mut command = machine.program("xenconsoled");
            command.arg("-i");
            command
        }
        Which::Ours => {
            let mut command = Command::new(daemon());
            machine.hypervisor().run_opening(&mut command);
            let config = run.join("xenlog.toml");
            fs::write(&config, "").expect("a new file");
            // Nothing is rotated: Xen's own does not either.
            command.args(["-i", "--console-limit", "1g"]).arg("--config").arg(config);
            command.arg("--xen-run-dir").arg(run).arg("--xen-log-dir").arg(logs);
            command.env("XENSTORED_PATH", machine.store().socket());
            command
        }
    }
}

/// The daemon that was built together with this.
fn daemon() -> PathBuf {
    let own = std::env::current_exe().expect("a program that knows its path");
    let beside = own.parent().and_then(Path::parent).map(|dir| dir.join("xenconsoled"));
    beside.filter(|path| path.is_file()).expect("no daemon beside the example: build with --bins")
}
