//! Ours: xenconsoled, asked for logs through the protocol and Xen's own xenstored, written in C.

mod entries;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use testbed::{Store, StoreKind, until};

pub use entries::{ask, wait_until_ready};

use super::{Class, Peer};
use crate::clock;
use crate::logger::Logger;
use crate::scene::Scene;
use crate::works::Failure;

/// What the daemon goes by here: no log is lost, for accounts must balance, and none is held back by its budget (64 MiB/s
/// by default), which is a promise to others and not what is measured.
pub const CONFIG: &str = "[defaults]\npolicy = \"block\"\n[daemon]\nrate = 0\n";

/// A build of our daemon.
pub struct Xenlog {
    name: &'static str,
    program: PathBuf,
    config: String,
}

impl Xenlog {
    /// The one that was built together with this.
    pub fn beside_this() -> Xenlog {
        let exe = std::env::current_exe().unwrap_or_default();
        Xenlog::of("xenlog", exe.with_file_name("xenconsoled"))
    }

    /// Another build, under another name.
    pub fn of(name: &'static str, program: PathBuf) -> Xenlog {
        Xenlog { name, program, config: CONFIG.to_owned() }
    }

    /// With another configuration file.
    pub fn configured(self, config: String) -> Xenlog {
        Xenlog { config, ..self }
    }

    /// Where it is.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Starts the daemon, whose store is there, and waits until it serves.
    pub fn serve(&self, logger: &mut Logger, scene: &Scene, store: &Store) -> Result<(), Failure> {
        self.spawn(logger, scene, store)?;
        let mut client = store.client();
        until("the daemon's node", || client.read(logproto::DAEMON_NODE).ok());
        Ok(())
    }

    /// Starts the daemon, whose store is there.
    fn spawn(&self, logger: &mut Logger, scene: &Scene, store: &Store) -> Result<(), Failure> {
        let config = scene.dir().join("xenlog.toml");
        fs::write(&config, &self.config)?;
        let mut command = Command::new(&self.program);
        command.args(["-i", "--no-hypervisor", "--xen-run-dir"]).arg(scene.run());
        command.arg("--xen-log-dir").arg(scene.log()).arg("--config").arg(config);
        logger.spawn(scene, command.env("XENSTORED_PATH", store.socket()).stdin(Stdio::null()))
    }
}

impl Peer for Xenlog {
    fn name(&self) -> &'static str {
        self.name
    }

    fn note(&self) -> &'static str {
        "xenconsoled in its ordinary form (without --supervise), all its threads, asked through C xenstored; policy block, and no budget \
         (64 MiB/s by default)"
    }

    fn missing(&self) -> Option<String> {
        if !self.program.is_file() {
            return Some(format!("{}: not built", self.program.display()));
        }
        let can_store = StoreKind::C.available();
        (!can_store).then(|| "no xenstored (Debian: apt install xen-utils-4.17 gcc libc6-dev)".to_owned())
    }

    fn class(&self) -> Class {
        Class::Ours
    }

    /// Without lines that wait, the daemon runs when the entries are written. Else they are there before it, as after a restart.
    fn start(&self, scene: &Scene) -> Result<Logger, Failure> {
        let store = Store::start(StoreKind::C);
        let mut logger = Logger::over(scene, scene.make_pipes()?);
        if scene.order.is_waiting {
            ask(&store, scene)?;
            logger.began = clock::now();
            self.spawn(&mut logger, scene, &store)?;
        } else {
            self.serve(&mut logger, scene, &store)?;
            ask(&store, scene)?;
            wait_until_ready(&store, scene.order.logs)?;
        }
        logger.keep(store);
        Ok(logger)
    }

    fn ours(&self) -> Option<&Xenlog> {
        Some(self)
    }

    fn files(&self, scene: &Scene, log: usize) -> Result<Vec<PathBuf>, Failure> {
        Ok(super::numbered(&scene.file(log), 1))
    }
}
