//! A host with guests and one of the two daemons.

use std::fs::{self, File};
use std::os::linux::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Pid;
use tempfile::TempDir;
use testbed::{Guest, Machine, StoreKind, until};

use crate::processes::Processes;
use crate::works::{Failure, Plan};

/// How long what was written may be on its way.
const PATIENCE: Duration = Duration::from_secs(30);

/// The length of a line of [`text`].
pub const LINE: usize = 80;

/// A daemon that is measured.
#[derive(Clone, Debug)]
pub struct Daemon {
    /// As the tables have it.
    pub name: &'static str,
    /// Where it is; without it is Xen's own.
    program: Option<PathBuf>,
}

impl Daemon {
    /// Ours, and Xen's own where it is installed.
    pub fn all(plan: Plan) -> Vec<Daemon> {
        let ours = plan.peers.iter().filter_map(|peer| {
            let program = peer.ours()?.program().to_owned();
            Some(Daemon { name: peer.name(), program: Some(program) })
        });
        let has_stock = testbed::programs::installed(&["xenconsoled"]);
        ours.chain(has_stock.then_some(Daemon { name: "stock", program: None })).collect()
    }
}

/// Lines of which each is another.
pub fn text(bytes: usize) -> Vec<u8> {
    let lines = (0..bytes.div_ceil(LINE)).flat_map(|line| format!("{line:08} {:.<70}\n", "a line").into_bytes());
    lines.take(bytes).collect()
}

/// A host, with domains 1 to as many as there are.
pub struct Host {
    child: Child,
    daemon: Daemon,
    guests: Vec<Guest>,
    machine: Machine,
    logs: TempDir,
    /// How many bytes each guest has written that are in its log.
    written: usize,
    /// In memory, as /run is.
    _run: TempDir,
}

impl Host {
    /// Starts it, and waits until every console is served.
    pub fn start(plan: Plan, daemon: &Daemon, guests: u16) -> Result<Host, Failure> {
        let (machine, logs) = (Machine::start(StoreKind::C), TempDir::new_in(plan.data)?);
        let run = TempDir::new_in("/dev/shm")?;
        let guests: Vec<Guest> = (1..=guests).map(|domid| machine.guest(domid, &format!("g{domid}"))).collect();
        let mut command = command(daemon, &machine, run.path(), logs.path())?;
        command.arg("--log=guest").arg("--log-dir").arg(logs.path());
        // It ends with this program, however that one ends.
        command.env("HYPERVISOR_LIFELINE", "1").stdin(Stdio::piped()).stderr(Stdio::null());
        let child = command.spawn()?;
        let host = Host { child, daemon: daemon.clone(), guests, machine, logs, written: 0, _run: run };
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
        Ok(host)
    }

    /// From now on what the daemon tells the hypervisor costs it about what it does on Xen: no thread is woken up for each word.
    pub fn spare(&self) {
        self.machine.hypervisor().set_rest(Duration::from_micros(500));
    }

    /// Its daemon.
    pub fn daemon(&self) -> &Daemon {
        &self.daemon
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

    /// How many bytes each guest has written.
    pub fn written(&self) -> usize {
        self.written
    }

    /// Waits until each guest's log has so many bytes more.
    pub fn logged(&mut self, bytes: usize) -> Result<(), Failure> {
        self.written += bytes;
        let end = Instant::now() + PATIENCE;
        for guest in &self.guests {
            let path = self.log(guest);
            while fs::metadata(&path)?.st_size() < self.written as u64 {
                if Instant::now() > end {
                    return Err(format!("the log of {} does not become complete", guest.name()).into());
                }
                std::thread::sleep(Duration::from_millis(2));
            }
        }
        Ok(())
    }

    /// Compares each guest's log with the text of which it wrote the beginning.
    pub fn check(&self, text: &[u8]) -> Result<(), Failure> {
        for guest in &self.guests {
            let log = fs::read(self.log(guest))?;
            if log != text[..self.written] {
                return Err(format!("the log of {}, {} bytes, is not what it wrote", guest.name(), log.len()).into());
            }
        }
        Ok(())
    }

    fn log(&self, guest: &Guest) -> PathBuf {
        self.logs.path().join(format!("guest-{}.log", guest.name()))
    }

    /// The daemon, as a process.
    pub fn processes(&self) -> Processes {
        vec![Pid::from_child(&self.child)].into()
    }

    /// How long the daemon has had a processor so far.
    pub fn cpu(&self) -> Duration {
        self.processes().cpu().expect("a daemon that runs")
    }

    /// Of how many events the daemon has been told.
    pub fn events(&self) -> u64 {
        self.guests.iter().map(|guest| guest.told()).sum()
    }

    /// KiB of memory that it has in files without a name.
    pub fn unnamed(&self) -> Result<f64, Failure> {
        let mut blocks = 0;
        for entry in fs::read_dir(format!("/proc/{}/fd", self.child.id()))? {
            let path = entry?.path();
            if fs::read_link(&path).is_ok_and(|target| target.as_os_str().as_encoded_bytes().starts_with(b"/memfd:")) {
                blocks += fs::metadata(path)?.st_blocks();
            }
        }
        Ok(blocks as f64 / 2.0)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // An error means that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(daemon: &Daemon, machine: &Machine, run: &Path, logs: &Path) -> Result<Command, Failure> {
    let Some(program) = &daemon.program else {
        let mut command = machine.program("xenconsoled");
        command.arg("-i");
        return Ok(command);
    };
    let mut command = Command::new(program);
    machine.hypervisor().run_opening(&mut command);
    let config = run.join("xenlog.toml");
    File::create(&config)?;
    // Nothing is rotated: Xen's own does not either.
    command.args(["-i", "--console-limit", "1g"]).arg("--config").arg(config);
    command.arg("--xen-run-dir").arg(run).arg("--xen-log-dir").arg(logs);
    command.env("XENSTORED_PATH", machine.store().socket());
    Ok(command)
}
