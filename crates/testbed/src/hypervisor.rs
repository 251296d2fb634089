//! A hypervisor without Xen: as much of one as Xen's user-space programs need, in a private directory.
//!
//! It is a thread of this process. Programs reach it through rig/hypervisor/hypervisor.c; guests ([`Guest`](crate::Guest)) are
//! played by the test itself.

mod call;
mod channels;
mod console;
mod server;
mod state;

use std::fs;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tempfile::TempDir;

use crate::shim;
use console::ConsoleRing;
use server::Server;
use state::{Domain, State};

pub(crate) use channels::End;

/// Xen's libraries by the names that programs open them by. That of libxenctrl names the release of Xen.
const LIBRARIES: [&str; 6] = [
    "libxenevtchn.so.1",
    "libxengnttab.so.1",
    "libxenforeignmemory.so.1",
    "libxentoolcore.so.1",
    "libxenctrl.so.4.17",
    "libxenctrl.so",
];

/// Why a domain stands still (xen/include/public/sched.h).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shutdown {
    /// It has switched itself off.
    Poweroff = 0,
    /// It wants to start anew.
    Reboot = 1,
    /// It waits to be saved or migrated.
    Suspend = 2,
    /// It has crashed.
    Crash = 3,
}

/// The hypervisor's state, as it and its guests share it.
#[derive(Debug, Clone)]
pub(crate) struct Shared(Arc<Mutex<State>>);

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        // A test that has panicked elsewhere is over: what it leaves is still whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A hypervisor that runs until it is dropped. It must outlive the programs that run over it.
#[derive(Debug)]
pub struct Hypervisor {
    shared: Shared,
    library: PathBuf,
    /// Ends the thread when it is closed.
    end: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
    /// The domains' pages: in memory, where nobody who writes to one waits for a disk.
    memory: TempDir,
    dir: TempDir,
}

impl Hypervisor {
    /// A hypervisor with domain 0 only, and a console ring of 16 KiB, as Xen has it.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn start() -> Hypervisor {
        Hypervisor::with_console(16 << 10, 0)
    }

    /// The same with a console ring of so many bytes, of which the first has this index.
    ///
    /// # Panics
    /// If it cannot be started, or `size` is no power of two.
    pub fn with_console(size: usize, first: u32) -> Hypervisor {
        Hypervisor::try_start(ConsoleRing::new(size, first)).unwrap_or_else(|why| panic!("no hypervisor: {why}"))
    }

    fn try_start(console: ConsoleRing) -> Result<Hypervisor, String> {
        let failed = |what: &'static str| move |why: std::io::Error| format!("{what}: {why}");
        // Each handle of a program is three descriptors here, and each guest a few.
        let limit = getrlimit(Resource::Nofile);
        setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })
            .map_err(|why| format!("cannot have more descriptors: {why}"))?;
        // In /tmp, whatever TMPDIR says: a socket's path has room for 107 bytes.
        let dir = tempfile::Builder::new().prefix("hypervisor").tempdir_in("/tmp").map_err(failed("no directory"))?;
        let memory = tempfile::Builder::new().prefix("domains").tempdir_in("/dev/shm");
        let memory = memory.or_else(|_| tempfile::tempdir()).map_err(failed("no directory"))?;
        let library = shim::library(dir.path())?;
        let libraries = dir.path().join("lib");
        fs::create_dir(&libraries).map_err(failed("no directory"))?;
        for name in LIBRARIES {
            std::os::unix::fs::symlink(&library, libraries.join(name)).map_err(failed("no link to the library"))?;
        }
        let listener = UnixListener::bind(dir.path().join("hypervisor")).map_err(failed("no socket"))?;
        let shared = Shared(Arc::new(Mutex::new(State::new(console))));
        let (end, ended) = UnixStream::pair().map_err(failed("no socket"))?;
        let server = Server::new(Arc::clone(&shared.0), listener, &ended).map_err(failed("no server"))?;
        let thread = std::thread::spawn(move || {
            // Its other end is waited for, so it has to stay open.
            let _ended = ended;
            server.run();
        });
        Ok(Hypervisor { shared, library, end: Some(end), thread: Some(thread), memory, dir })
    }

    /// Its directory: the pages of each domain are in it, and a test may put `no-grants` there, for a host without
    /// /dev/xen/gntdev.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Lets a program that is linked with Xen's libraries run over this hypervisor.
    pub fn run_linked(&self, command: &mut Command) {
        command.env("HYPERVISOR", self.dir()).env("LD_PRELOAD", &self.library);
    }

    /// Lets a program that opens Xen's libraries by name find those of this hypervisor.
    pub fn run_opening(&self, command: &mut Command) {
        command.env("HYPERVISOR", self.dir()).env("LD_LIBRARY_PATH", self.dir().join("lib"));
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// A new domain without memory or ports.
    ///
    /// # Panics
    /// If there is one with this id.
    pub(crate) fn add_domain(&self, domid: u16) {
        let dir = self.domain_dir(domid);
        let made = fs::create_dir(&dir).and_then(|()| std::os::unix::fs::symlink(&dir, self.link(domid)));
        made.unwrap_or_else(|why| panic!("domain {domid}: {why}"));
        self.shared.lock().domains.insert(domid, Domain::default());
    }

    pub(crate) fn domain_dir(&self, domid: u16) -> PathBuf {
        self.memory.path().join(format!("dom{domid}"))
    }

    /// Where programs look for its pages.
    fn link(&self, domid: u16) -> PathBuf {
        self.dir().join(format!("dom{domid}"))
    }

    /// The domain stands still and stays (SCHEDOP_shutdown).
    ///
    /// # Panics
    /// If there is none.
    pub fn shut_down(&self, domid: u16, why: Shutdown) {
        self.change(domid, |domain| domain.flags |= state::SHUTDOWN | (why as u32) << state::SHUTDOWN_SHIFT);
    }

    /// The domain is being destroyed, but for its memory, which somebody still has mapped.
    ///
    /// # Panics
    /// If there is none.
    pub fn begin_dying(&self, domid: u16) {
        self.close_ports(domid);
        self.change(domid, |domain| domain.flags |= state::DYING);
    }

    /// The domain is gone. Whoever has a page of it mapped keeps that page.
    ///
    /// # Panics
    /// If there is none.
    pub fn destroy(&self, domid: u16) {
        self.close_ports(domid);
        let removed = fs::remove_file(self.link(domid)).and_then(|()| fs::remove_dir_all(self.domain_dir(domid)));
        removed.unwrap_or_else(|why| panic!("domain {domid}: {why}"));
        let mut state = self.shared.lock();
        state.domains.remove(&domid);
        state.send(End::Virq(state::VIRQ_DOM_EXC));
    }

    /// Prints to the hypervisor's console.
    pub fn print(&self, text: impl AsRef<[u8]>) {
        let mut state = self.shared.lock();
        state.console.print(text.as_ref());
        state.send(End::Virq(state::VIRQ_CON_RING));
    }

    /// Prints to the hypervisor's console and tells nobody.
    pub fn print_silently(&self, text: impl AsRef<[u8]>) {
        self.shared.lock().console.print(text.as_ref());
    }

    /// Empties the hypervisor's console for those who read it as a whole (`xl dmesg -c`).
    pub fn clear_console(&self) {
        self.shared.lock().console.read(None, usize::MAX, true);
    }

    /// Whether somebody waits for what the hypervisor prints.
    pub fn console_is_bound(&self) -> bool {
        self.shared.lock().is_bound(End::Virq(state::VIRQ_CON_RING))
    }

    /// From now on ports of this domain cannot be bound; or they can again.
    pub fn refuse_bindings(&self, domid: u16, refused: bool) {
        let mut state = self.shared.lock();
        if refused {
            state.unbindable.insert(domid);
        } else {
            state.unbindable.remove(&domid);
        }
    }

    /// From now on it looks so often for what it is told, and nobody has to wake it up: so to tell it something costs a program
    /// little more than it does on Xen. What is asked is answered that much later.
    pub fn set_rest(&self, rest: Duration) {
        self.shared.lock().rest = Some(rest);
    }

    fn change(&self, domid: u16, change: impl FnOnce(&mut Domain)) {
        let mut state = self.shared.lock();
        change(state.domains.get_mut(&domid).unwrap_or_else(|| panic!("no domain {domid}")));
        state.send(End::Virq(state::VIRQ_DOM_EXC));
    }

    fn close_ports(&self, domid: u16) {
        let mut state = self.shared.lock();
        let ports = state.domains.get_mut(&domid).map(|domain| std::mem::take(&mut domain.ports)).unwrap_or_default();
        for port in ports {
            state.channels.disconnect(End::Domain { domid, port });
        }
    }
}

impl Hypervisor {
    /// It is no more: every handle that programs have is broken.
    pub fn hang_up(&self) {
        if let Some(end) = &self.end {
            // Its thread ends with that.
            let _ = end.shutdown(std::net::Shutdown::Both);
        }
        self.shared.lock().break_handles();
    }
}

impl Drop for Hypervisor {
    fn drop(&mut self) {
        self.end = None;
        if let Some(thread) = self.thread.take() {
            // If it has panicked, the test has failed by what it did not do.
            let _ = thread.join();
        }
    }
}
