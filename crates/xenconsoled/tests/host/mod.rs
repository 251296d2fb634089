//! A host for the daemon's tests: a real store, private run and log directories, and the real daemon.
#![allow(dead_code, unused_imports, unused_macros, reason = "each test file uses a part")]

mod clock;
mod crowd;
mod daemon;
mod ledger;
mod log;
// One way to a file system of a test's own for all crates.
#[path = "../../../logfile/tests/scene/mount.rs"]
pub mod mount;
mod scribe;
mod slow;
mod snapshot;

use std::fs;
use std::io::Read;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use logproto::{DAEMON_NODE, DomId, Owner};
use tempfile::TempDir;
pub use testbed::{Store, StoreKind, until};
use xenstore::{Address, Client};

pub use clock::Clock;
pub use crowd::Crowd;
pub use daemon::{Daemon, command, rests};
pub use ledger::{goes_on, ledger_balances};
pub use log::{Log, fifo, has_reader, numbered, read_all};
pub use scribe::Scribe;
pub use slow::Slow;
pub use snapshot::{Snapshot, snapshot};

/// Where a domain's logs are.
pub fn domain(number: u16) -> Owner {
    Owner::Domain(DomId::new(number).unwrap())
}

/// A host, gone with all that is on it when it is dropped.
pub struct Host {
    daemon: Option<Daemon>,
    pub store: Store,
    dir: TempDir,
}

impl Host {
    /// A host with a running daemon, on Xen's own store where there is one.
    pub fn start() -> Host {
        Host::configured("")
    }

    /// The same with a configuration.
    pub fn configured(config: &str) -> Host {
        Host::on(if StoreKind::C.available() { StoreKind::C } else { StoreKind::Embedded }, config)
    }

    /// The same on a store of one kind.
    pub fn on(kind: StoreKind, config: &str) -> Host {
        let mut host = Host::idle(kind, config);
        host.start_daemon();
        host
    }

    /// A host whose daemon was not started yet.
    pub fn idle(kind: StoreKind, config: &str) -> Host {
        let store = Store::start(kind);
        let dir = tempfile::Builder::new().prefix("host").tempdir().unwrap();
        // The directories' paths hold no symbolic link, so that they can be compared with what the kernel shows.
        for name in ["run", "log", "outside"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        fs::write(dir.path().join("xenlog.toml"), config).unwrap();
        Host { daemon: None, store, dir }
    }

    /// Starts the daemon and waits until it has said so in the store.
    pub fn start_daemon(&mut self) {
        self.launch();
        self.serving();
    }

    /// Starts the daemon and waits for nothing.
    pub fn launch(&mut self) {
        // One that was killed leaves its node behind, and then the node would say nothing. There may be no store.
        if let Ok(mut client) = Client::connect(&[self.store.address()], std::time::Duration::from_secs(10)) {
            let _ = client.rm(DAEMON_NODE);
        }
        self.launch_at(&self.store.socket(), |_| ());
    }

    /// Starts the daemon in another way, to find its store at this socket, and waits for nothing.
    pub fn launch_at(&mut self, socket: &Path, change: impl FnOnce(&mut Command)) {
        assert!(self.daemon.is_none(), "one daemon a host");
        self.daemon = Some(Daemon::start(socket, self.dir.path(), change));
    }

    /// Starts one more daemon, which this host does not know of.
    pub fn another(&self) -> Daemon {
        Daemon::start(&self.store.socket(), self.dir.path(), |_| ())
    }

    /// The directory that all others are in.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Waits until the daemon says in the store that it serves.
    pub fn serving(&self) {
        let mut client = self.store.client();
        until("the daemon's node in the store", || {
            client.read(DAEMON_NODE).is_ok_and(|value| value == b"1").then_some(())
        });
    }

    pub fn daemon(&mut self) -> &mut Daemon {
        self.daemon.as_mut().expect("a daemon runs")
    }

    /// Sends the daemon SIGTERM and waits for its end, which must be a good one.
    pub fn stop_daemon(&mut self) {
        let mut daemon = self.daemon.take().expect("a daemon runs");
        daemon.signal(rustix::process::Signal::TERM);
        daemon.go_on();
        let status = daemon.ended();
        assert_eq!(status.code(), Some(0), "it said:\n{}", daemon.said());
    }

    /// What the daemon says of its logs to whoever connects to its status socket, if there is one.
    pub fn status(&self) -> Option<String> {
        let mut text = String::new();
        UnixStream::connect(self.run_dir().join("xenlog.status")).ok()?.read_to_string(&mut text).ok()?;
        Some(text)
    }

    /// Sends the daemon SIGKILL and waits for its end.
    pub fn kill_daemon(&mut self) {
        self.daemon = None;
    }

    pub fn client(&self) -> Client {
        self.store.client()
    }

    pub fn run_dir(&self) -> PathBuf {
        self.dir.path().join("run")
    }

    pub fn log_dir(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    /// A directory that is none of the daemon's business.
    pub fn outside(&self) -> PathBuf {
        self.dir.path().join("outside")
    }

    /// A log that can be asked for: a FIFO and a file named after it, and no other node.
    pub fn log(&self, owner: Owner, id: &str) -> Log {
        Log::new(self.store.address(), owner, id, &self.run_dir(), &self.log_dir())
    }

    /// Everything that the daemon could touch, and must not.
    pub fn snapshot(&self) -> Vec<Snapshot> {
        [self.run_dir(), self.log_dir(), self.outside()].iter().map(|dir| snapshot(dir)).collect()
    }

    /// When this returns, the daemon has dealt with all that was in the store before: events come in order.
    pub fn barrier(&self) {
        // Twice: what the first one found under way the second one finds done.
        for round in ["barrier-1", "barrier-2"] {
            let log = self.log(Owner::Host, round);
            log.ask();
            log.ready();
            log.remove();
            let _ = fs::remove_file(&log.pipe);
            until("the barrier's end", || (!log.file_is_open(self.daemon.as_ref()?)).then_some(()));
            fs::remove_file(&log.file).unwrap();
        }
    }

    /// How many descriptors the daemon has with no log but those that are served now. (What it opens once for all logs, it
    /// opens with the first.)
    pub fn descriptors(&mut self) -> usize {
        self.barrier();
        self.daemon().descriptors().len()
    }
}

/// Runs each test once for each kind of store.
macro_rules! on_every_store {
    ($($test:ident)*) => {
        on_every_store!(c: C, $($test)*);
        on_every_store!(ocaml: OCaml, $($test)*);
        on_every_store!(embedded: Embedded, $($test)*);
    };
    ($module:ident: $kind:ident, $($test:ident)*) => {
        mod $module {
            $(
                #[test]
                fn $test() {
                    if $crate::host::StoreKind::$kind.available() {
                        super::$test($crate::host::StoreKind::$kind);
                    }
                }
            )*
        }
    };
}
pub(crate) use on_every_store;
