//! virtlogd, which keeps the logs of libvirt's guests: the real one, by its own protocol.

mod client;
mod xdr;

use std::fs;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::Command;

use super::{Class, Peer};
use crate::lines;
use crate::logger::Logger;
use crate::scene::Scene;
use crate::works::Failure;
use client::Client;

/// The sockets come to it as from systemd (sd_listen_fds(3)), so it runs beside one that serves this host.
const START: &str = "LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=virtlogd.socket:virtlogd-admin.socket \
    exec virtlogd -f \"$1\" -p \"$2\" 3<&0 4<&1 </dev/null >&2";

/// One process for all logs.
pub struct Virtlogd;

impl Peer for Virtlogd {
    fn name(&self) -> &'static str {
        "virtlogd"
    }

    fn note(&self) -> &'static str {
        "of libvirt: the real one, by its own protocol"
    }

    fn missing(&self) -> Option<String> {
        super::absent("virtlogd", "libvirt-daemon")
    }

    fn class(&self) -> Class {
        Class::All
    }

    fn start(&self, scene: &Scene) -> Result<Logger, Failure> {
        // A socket's path is short, wherever the scene lies.
        let dir = tempfile::Builder::new().prefix("virtlogd").tempdir_in("/tmp")?;
        let (config, socket) = (scene.dir().join("virtlogd.conf"), dir.path().join("socket"));
        let (limit, copies) = (scene.order.limit, scene.order.copies);
        fs::write(&config, format!("max_size = {limit}\nmax_backups = {copies}\nlog_outputs = \"3:stderr\"\n"))?;
        let (listener, admin) = (UnixListener::bind(&socket)?, UnixListener::bind(dir.path().join("admin"))?);
        let mut logger = Logger::without_pipes();
        let mut command = Command::new("sh");
        command.args(["-c", START, "sh"]).arg(config).arg(dir.path().join("pid"));
        command.env("PATH", path()).env("XDG_RUNTIME_DIR", dir.path());
        logger.spawn_with(scene, command.stdin(OwnedFd::from(listener)), OwnedFd::from(admin).into())?;
        let mut client = Client::connect(&socket)?;
        for log in 0..scene.order.logs {
            let mut pipe = client.open(&format!("guest-{log}"), &scene.file(log))?;
            if scene.order.is_waiting {
                pipe.write_all(&lines::line(log, 0))?;
            }
            logger.hold_own(pipe);
        }
        logger.keep((client, dir));
        Ok(logger)
    }

    /// Its newest copy is `file.0`.
    fn files(&self, scene: &Scene, log: usize) -> Result<Vec<PathBuf>, Failure> {
        Ok(super::numbered(&scene.file(log), 0))
    }
}

/// With the directory that Debian has virtlogd in.
fn path() -> String {
    format!("{}:/usr/sbin", std::env::var("PATH").unwrap_or_default())
}
