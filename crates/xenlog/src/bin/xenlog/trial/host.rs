//! A host in a directory: a store, the daemon, and places for FIFOs and logs.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use xenlog::Places;
use xenlog::logs::daemon_runs;
use xenstore::Client;
use xenstore::server::{Limits, Server};

use super::daemon::Daemon;
use super::programs::GREEDY;
use crate::failure::Failure;
use crate::signals::Signals;

/// How long the daemon may take to serve. Only a daemon that hangs takes long.
const START: Duration = Duration::from_secs(30);
/// How long the store may take for an answer: it is in this process.
const STORE: Duration = Duration::from_secs(30);

/// The host. What it runs ends with it; its directory stays.
#[derive(Debug)]
pub struct Host {
    /// Where clients find everything.
    pub places: Places,
    dir: PathBuf,
    daemon: Daemon,
    // After the daemon, which says goodbye in the store.
    _store: Server,
}

impl Host {
    /// Makes the directory and starts everything in it; gives up when a signal comes.
    pub fn start(signals: &Signals) -> Result<Host, Failure> {
        let made = tempfile::Builder::new().prefix("xenlog-try-").tempdir();
        let made = made.map_err(Failure::system(&std::env::temp_dir()))?;
        // Kept even if what follows fails: the daemon's words are in it.
        let dir = made.keep();
        let [run_dir, log_dir] = ["run", "log"].map(|name| dir.join(name));
        for path in [&run_dir, &log_dir] {
            fs::create_dir(path).map_err(Failure::system(path))?;
        }
        let config = dir.join("xenlog.toml");
        fs::write(&config, "# Nothing here: all defaults.\n").map_err(Failure::system(&config))?;
        let store = Server::start(dir.join("store"), Limits::default())
            .map_err(|error| Failure::Named(format!("the store cannot start: {error}")))?;
        let mut client = Client::connect(&[store.address()], STORE)?;
        client.write(&format!("/local/domain/{}/name", GREEDY.id), GREEDY.name.as_bytes())?;
        let mut arguments = ["-i", "--no-hypervisor"].map(Into::into).to_vec();
        for (option, path) in [("--xen-run-dir", &run_dir), ("--xen-log-dir", &log_dir), ("--config", &config)] {
            arguments.extend([option.into(), path.into()]);
        }
        let daemon = Daemon::start(&arguments, store.socket(), &dir.join("xenconsoled.log"))?;
        let places = Places { store: vec![store.address()], run_dir, log_dir };
        let mut host = Host { places, dir, daemon, _store: store };
        host.wait_until_served(&mut client, signals)?;
        Ok(host)
    }

    fn wait_until_served(&mut self, client: &mut Client, signals: &Signals) -> Result<(), Failure> {
        let end = Instant::now() + START;
        while !daemon_runs(client)? {
            self.check()?;
            if signals.is_any(Duration::from_millis(5)) {
                return Err(xenlog::Error::Stopped.into());
            }
            if Instant::now() >= end {
                let why = format!("the daemon does not serve; see {}", self.dir.join("xenconsoled.log").display());
                return Err(Failure::Named(why));
            }
        }
        Ok(())
    }

    /// The directory that everything is in.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Whether the daemon still runs.
    pub fn check(&mut self) -> Result<(), Failure> {
        self.daemon.check()
    }

    /// Stops the daemon, which writes what is still in the pipes.
    pub fn stop(&mut self) -> Result<(), Failure> {
        self.daemon.stop()
    }
}
