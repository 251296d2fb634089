//! One store that runs.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;
use xenstore::server::{Limits, Server};
use xenstore::{Address, Client};

use crate::lifeline::Lifeline;
use crate::{Hypervisor, PATIENCE, programs, shim, until};

/// Which store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StoreKind {
    /// Xen's xenstored, written in C.
    C,
    /// Xen's oxenstored, written in OCaml.
    OCaml,
    /// The one in the `xenstore` crate.
    Embedded,
}

impl StoreKind {
    /// Whether it can run here. If not, prints what to install, so that a test can pass it by.
    ///
    /// # Panics
    /// If it cannot run here and `XENLOG_TEST_ALL=1` is in the environment.
    pub fn available(self) -> bool {
        programs::available(self.missing())
    }

    fn missing(self) -> Option<String> {
        let program = self.program()?;
        if self.find().is_none() {
            return Some(programs::missing(program));
        }
        programs::no_compiler()
    }

    fn program(self) -> Option<&'static str> {
        match self {
            StoreKind::C => Some("xenstored"),
            StoreKind::OCaml => Some("oxenstored"),
            StoreKind::Embedded => None,
        }
    }

    /// The newest of what is installed.
    fn find(self) -> Option<PathBuf> {
        programs::find(self.program()?)
    }
}

/// A store that runs in a temporary directory of its own, without nodes, until it is dropped.
#[derive(Debug)]
pub struct Store {
    kind: StoreKind,
    /// The directory of the hypervisor that it runs over.
    hypervisor: Option<PathBuf>,
    running: Running,
    /// After `running`, so that it is removed when nothing runs in it any more.
    dir: TempDir,
}

#[derive(Debug)]
enum Running {
    Child(Lifeline),
    Embedded(Server),
    /// Between an end and a new beginning.
    Stopped,
}

impl Store {
    /// Starts a store and waits until it answers.
    ///
    /// # Panics
    /// If it cannot be started; ask [`StoreKind::available`] before.
    pub fn start(kind: StoreKind) -> Store {
        Store::begin(kind, None)
    }

    /// The same for the domains of this hypervisor, which has to live as long: it introduces only those that there are, and
    /// notices when they end. One without it takes any number for a domain that lives.
    ///
    /// # Panics
    /// See [`Store::start`].
    pub fn over(hypervisor: &Hypervisor, kind: StoreKind) -> Store {
        Store::begin(kind, Some(hypervisor.dir().to_owned()))
    }

    fn begin(kind: StoreKind, hypervisor: Option<PathBuf>) -> Store {
        // In /tmp, whatever TMPDIR says: a socket's path has room for 107 bytes.
        let dir = tempfile::Builder::new()
            .prefix("store")
            .tempdir_in("/tmp")
            .unwrap_or_else(|error| panic!("no temporary directory for a store: {error}"));
        let mut store = Store { kind, hypervisor, running: Running::Stopped, dir };
        store.run();
        store
    }

    /// Which one it is.
    pub fn kind(&self) -> StoreKind {
        self.kind
    }

    /// Its directory; a test may keep its own things in it.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Its socket, for XENSTORED_PATH.
    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("socket")
    }

    /// Where clients find it.
    pub fn address(&self) -> Address {
        Address::unix(self.socket())
    }

    /// A client of domain 0, with the patience of a test.
    ///
    /// # Panics
    /// If it cannot connect.
    pub fn client(&self) -> Client {
        Client::connect(&[self.address()], PATIENCE).unwrap_or_else(|error| panic!("{:?} store: {error}", self.kind))
    }

    /// Stops it from reading and answering, connections open, until [`Store::resume`].
    ///
    /// # Panics
    /// If it does not run.
    pub fn pause(&self) {
        match &self.running {
            Running::Child(child) => child.signal(Signal::STOP),
            Running::Embedded(server) => server.pause(),
            Running::Stopped => panic!("the store does not run"),
        }
    }

    /// Lets it go on after [`Store::pause`].
    ///
    /// # Panics
    /// If it does not run.
    pub fn resume(&self) {
        match &self.running {
            Running::Child(child) => child.signal(Signal::CONT),
            Running::Embedded(server) => server.resume(),
            Running::Stopped => panic!("the store does not run"),
        }
    }

    /// Ends it at once, as SIGKILL does; its nodes are gone.
    pub fn kill(&mut self) {
        self.running = Running::Stopped;
    }

    /// Starts it anew, without nodes, at the same address. Ends it before if it runs.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn restart(&mut self) {
        self.kill();
        self.run();
    }

    /// Replaces the program of a store that runs, with all its nodes, watches and connections (xenstore-control(8),
    /// `live-update`). Of Xen's two only the one written in C can do that.
    ///
    /// # Panics
    /// If it is another kind of store, or does not work.
    pub fn live_update(&self) {
        let Running::Child(child) = &self.running else { panic!("no program runs") };
        let program = self.kind.find().unwrap_or_else(|| panic!("no program"));
        let updated = Command::new(program.with_file_name("xenstore-control"))
            .args(["live-update".as_ref(), program.as_os_str()])
            .env("XENSTORED_PATH", self.socket())
            .output()
            .unwrap_or_else(|error| panic!("cannot run xenstore-control: {error}"));
        assert!(updated.status.success(), "{}", String::from_utf8_lossy(&updated.stderr));
        // The tool waits until it is done. A program that took over was started with -U.
        let line = std::fs::read(format!("/proc/{}/cmdline", child.id())).unwrap_or_default();
        assert!(line.split(|byte| *byte == 0).any(|word| word == b"-U"), "{}", String::from_utf8_lossy(&line));
    }

    fn run(&mut self) {
        if self.kind == StoreKind::Embedded {
            let server = Server::start(self.socket(), Limits::default()).unwrap_or_else(|error| panic!("{error}"));
            self.running = Running::Embedded(server);
            return;
        }
        let log = self.dir.path().join("log");
        // A socket of an earlier run would look like a store that does not answer.
        let _ = std::fs::remove_file(self.socket());
        let child = self
            .command()
            .and_then(|command| Lifeline::spawn(command, &log).map_err(|error| format!("cannot start it: {error}")));
        let mut child = child.unwrap_or_else(|error| panic!("{:?} store: {error}", self.kind));
        until("a store that answers", || {
            if let Some(status) = child.ended() {
                let said = std::fs::read_to_string(&log).unwrap_or_default();
                panic!("{:?} store: {status} at its start; it said:\n{said}", self.kind);
            }
            // It answers: its start is over.
            let mut client = Client::connect(&[self.address()], Duration::from_secs(5)).ok()?;
            client.directory("/").ok()
        });
        self.running = Running::Child(child);
    }

    fn command(&self) -> Result<Command, String> {
        let dir = self.dir.path();
        let program = self.kind.find().ok_or_else(|| self.kind.missing().unwrap_or_default())?;
        let mut command = Command::new(program);
        if self.kind == StoreKind::OCaml {
            let config = dir.join("oxenstored.conf");
            std::fs::write(&config, oxenstored_config(dir)).map_err(|error| format!("{config:?}: {error}"))?;
            command.arg("--config-file").arg(config);
        }
        command.arg("--no-fork").arg("--pid-file").arg(dir.join("pid"));
        command.env("XENSTORED_RUNDIR", dir).env("XENSTORED_ROOTDIR", dir).env_remove("XENSTORED_PATH");
        command.env("LD_PRELOAD", shim::library(dir)?).env("HYPERVISOR_LIFELINE", "1");
        command.env_remove("HYPERVISOR").envs(self.hypervisor.iter().map(|dir| ("HYPERVISOR", dir)));
        command.current_dir(dir);
        Ok(command)
    }
}

/// As Debian's /etc/xen/oxenstored.conf, with every file in `dir` and nothing kept on disk. Conflicting transactions
/// are not slowed down: that is against guests, and hides what is tested here.
fn oxenstored_config(dir: &Path) -> String {
    let dir = dir.display();
    format!(
        "pid-file = {dir}/pid\n\
         xenstored-log-file = {dir}/oxenstored.log\n\
         access-log-file = {dir}/oxenstored-access.log\n\
         xenstored-kva = /proc/xen/xsd_kva\n\
         xenstored-port = /proc/xen/xsd_port\n\
         persistent = false\n\
         perms-activate = true\n\
         perms-watch-activate = true\n\
         quota-activate = true\n\
         quota-path-max = 1024\n"
    )
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    fn starts_answers_and_leaves_nothing(kind: StoreKind) {
        if !kind.available() {
            return;
        }
        let mut store = Store::start(kind);
        let dir = store.dir().to_owned();
        store.client().write("/a", b"1").unwrap();
        assert_eq!(store.client().read("/a").unwrap(), b"1");
        store.restart();
        assert!(store.client().read("/a").unwrap_err().is_absent(), "a new store has no nodes");
        drop(store);
        assert!(!dir.exists());
    }

    #[test]
    fn c() {
        starts_answers_and_leaves_nothing(StoreKind::C);
    }

    #[test]
    fn ocaml() {
        starts_answers_and_leaves_nothing(StoreKind::OCaml);
    }

    #[test]
    fn embedded() {
        starts_answers_and_leaves_nothing(StoreKind::Embedded);
    }

    #[test]
    fn stores_side_by_side_do_not_meet() {
        let stores = [Store::start(StoreKind::Embedded), Store::start(StoreKind::Embedded)];
        stores[0].client().write("/a", b"1").unwrap();
        assert!(stores[1].client().read("/a").unwrap_err().is_absent());
    }

    #[test]
    fn a_live_update_keeps_nodes_and_connections() {
        if !StoreKind::C.available() {
            return;
        }
        let store = Store::start(StoreKind::C);
        let mut client = store.client();
        client.write("/a", b"1").unwrap();
        for _ in 0..3 {
            store.live_update();
            assert_eq!(client.read("/a").unwrap(), b"1");
        }
    }

    /// A test that is killed must leave no store behind: the store ends with its standard input.
    #[test]
    fn a_store_ends_with_its_lifeline() {
        if !StoreKind::C.available() {
            return;
        }
        let dir = tempfile::tempdir_in("/tmp").unwrap();
        let store = Store { kind: StoreKind::C, hypervisor: None, running: Running::Stopped, dir };
        let mut command = store.command().unwrap();
        let mut child = command.stdin(std::process::Stdio::piped()).spawn().unwrap();
        until("a store that listens", || UnixStream::connect(store.socket()).ok());
        assert!(child.try_wait().unwrap().is_none());
        drop(child.stdin.take());
        let status = until("the store's end", || child.try_wait().unwrap());
        assert!(status.success(), "{status}");
    }
}
