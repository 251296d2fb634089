//! conmon, which watches a container for podman and CRI-O: a process for each log.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, set_child_subreaper};
use tempfile::TempDir;

use super::{Class, Peer};
use crate::lines;
use crate::logger::Logger;
use crate::scene::Scene;
use crate::works::Failure;

/// Takes the place of a container runtime: its container is a process that sleeps and holds the pipe open.
const RUNTIME: &str = r#"#!/bin/sh
until [ "$1" = --pid-file ]; do shift; done
sleep infinity &
echo $! > "$2"
"#;

/// conmon with its k8s-file format: a time and the stream's name before every line. It keeps no copies but truncates its file, so
/// that gets the room of file and copies together.
pub struct Conmon;

impl Peer for Conmon {
    fn name(&self) -> &'static str {
        "conmon"
    }

    fn note(&self) -> &'static str {
        "k8s-file format: a time before every line; it keeps no copies, so its one file has the room of all; a process for each log"
    }

    fn missing(&self) -> Option<String> {
        super::absent("conmon", "conmon")
    }

    fn class(&self) -> Class {
        Class::Each
    }

    fn start(&self, scene: &Scene) -> Result<Logger, Failure> {
        // It leaves its parent; so it becomes this process's child, which can wait for its end.
        set_child_subreaper(Some(rustix::process::getpid()))?;
        // A socket's path is short, wherever the scene lies.
        let dir = tempfile::Builder::new().prefix("conmon").tempdir_in("/tmp")?;
        let runtime = dir.path().join("runtime");
        fs::write(&runtime, RUNTIME)?;
        fs::set_permissions(&runtime, fs::Permissions::from_mode(0o700))?;
        let mut logger = Logger::without_pipes();
        for log in 0..scene.order.logs {
            start_one(&mut logger, scene, &dir, log)?;
        }
        logger.keep(dir);
        Ok(logger)
    }

    fn plain(&self, stored: Vec<u8>) -> Vec<u8> {
        plain(&stored)
    }

    /// Just after it has truncated its file nothing is left.
    fn least(&self, _: &Scene) -> u64 {
        0
    }
}

fn start_one(logger: &mut Logger, scene: &Scene, dir: &TempDir, log: usize) -> Result<(), Failure> {
    let bundle = dir.path().join(log.to_string());
    fs::create_dir(&bundle)?;
    let limit = if scene.order.keeps_all { 1 << 40 } else { scene.order.bound() };
    let mut command = Command::new("conmon");
    command.args(["-c", &format!("c{log}"), "-u", &format!("u{log}"), "-r"]).arg(dir.path().join("runtime"));
    command.arg("-b").arg(&bundle).arg("-p").arg(bundle.join("container")).arg("-P").arg(bundle.join("conmon"));
    command.arg("--exit-dir").arg(&bundle).arg("--persist-dir").arg(&bundle).arg("--socket-dir-path").arg(&bundle);
    command.arg("-l").arg(format!("k8s-file:{}", scene.file(log).display()));
    command.args(["--log-size-max", &limit.to_string()]);
    let status = command.stdin(Stdio::null()).stdout(scene.said()?).stderr(scene.said()?).status()?;
    if !status.success() {
        return Err(format!("conmon: {status}").into());
    }
    let (container, conmon) = (pid(&bundle.join("container"))?, pid(&bundle.join("conmon"))?);
    logger.beside(container);
    logger.adopt(conmon);
    let pipe = format!("/proc/{container}/fd/1").into();
    let mut held = File::options().write(true).open(&pipe)?;
    if scene.order.is_waiting {
        held.write_all(&lines::line(log, 0))?;
    }
    logger.hold(pipe, held);
    Ok(())
}

/// The number in a file that is written soon.
fn pid(path: &Path) -> Result<Pid, Failure> {
    for _ in 0..10_000 {
        let text = fs::read_to_string(path).unwrap_or_default();
        if let Some(pid) = text.trim().parse().ok().and_then(Pid::from_raw) {
            return Ok(pid);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Err(format!("conmon: no {}", path.display()).into())
}

/// The text of `TIME stdout F|P TEXT`: F ends a line, P does not.
fn plain(stored: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(stored.len());
    for line in stored.split_inclusive(|byte| *byte == b'\n') {
        let mut fields = line.splitn(4, |byte| *byte == b' ');
        let (kind, text) = (fields.nth(2), fields.next());
        match (kind, text.map(|text| text.strip_suffix(b"\n").unwrap_or(text))) {
            (Some(b"F"), Some(text)) => {
                plain.extend_from_slice(text);
                plain.push(b'\n');
            }
            (Some(b"P"), Some(text)) => plain.extend_from_slice(text),
            // Nothing that it writes: whoever compares shall see it.
            _ => plain.extend_from_slice(line),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_parts_of_lines() {
        let stored = b"2026-01-01T00:00:00.1+00:00 stdout F one two\n2026-01-01T00:00:00.2+00:00 stdout P thr\n\
            2026-01-01T00:00:00.3+00:00 stdout F ee\n2026-01-01T00:00:00.3+00:00 stdout F \n";
        assert_eq!(plain(stored), b"one two\nthree\n\n");
        assert_eq!(plain(b"what\n"), b"what\n");
    }
}
