//! The probe, `bench/probe.c`: how little a logger can do. What ratios are made to.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use super::{Class, Peer};
use crate::logger::Logger;
use crate::scene::Scene;
use crate::works::Failure;

const SOURCE: &str = include_str!("../../probe.c");

/// One process in C for all logs.
pub struct Probe;

impl Peer for Probe {
    fn name(&self) -> &'static str {
        "probe"
    }

    fn note(&self) -> &'static str {
        "bench/probe.c: one process, epoll, read and write of 64 KiB, rotation that unlinks the oldest copy first; no other care"
    }

    fn missing(&self) -> Option<String> {
        program().as_ref().err().map(|why| format!("the probe cannot be compiled (Debian: apt install gcc): {why}"))
    }

    fn class(&self) -> Class {
        Class::Base
    }

    fn start(&self, scene: &Scene) -> Result<Logger, Failure> {
        let list = scene.dir().join("list");
        let line = |log| format!("{}\n{}\n", scene.pipe(log).display(), scene.file(log).display());
        fs::write(&list, (0..scene.order.logs).map(line).collect::<String>())?;
        let mut logger = Logger::over(scene, scene.make_pipes()?);
        let mut command = Command::new(program().as_ref().map_err(String::as_str)?);
        command.arg(scene.order.limit.to_string()).arg(scene.order.copies.to_string()).stdin(fs::File::open(&list)?);
        logger.spawn(scene, &mut command)?;
        Ok(logger)
    }
}

/// The compiled program, beside this one.
fn program() -> &'static Result<PathBuf, String> {
    static PROGRAM: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let exe = std::env::current_exe().map_err(|error| error.to_string())?;
        compile(exe.parent().unwrap_or(Path::new("."))).map_err(|error| error.to_string())
    })
}

fn compile(dir: &Path) -> Result<PathBuf, Failure> {
    let made = tempfile::Builder::new().prefix("probe").tempdir_in(dir)?;
    let (source, program) = (made.path().join("probe.c"), made.path().join("probe"));
    fs::write(&source, SOURCE)?;
    let cc = Command::new("cc")
        .args(["-O2", "-Wall", "-Wextra", "-Werror", "-o"])
        .args([&program, &source])
        .stdin(Stdio::null())
        .output()?;
    if !cc.status.success() {
        return Err(String::from_utf8_lossy(&cc.stderr).into_owned().into());
    }
    // Several that compile at the same time each put the same thing in place.
    let place = dir.join("bench-probe");
    fs::rename(program, &place)?;
    Ok(place)
}
