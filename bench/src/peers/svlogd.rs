//! svlogd, of runit: a process for each log.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use super::{Class, Peer};
use crate::logger::Logger;
use crate::scene::Scene;
use crate::works::Failure;

/// svlogd with a buffer of 64 KiB, with which it is faster than with its own of 1 KiB.
pub struct Svlogd;

impl Peer for Svlogd {
    fn name(&self) -> &'static str {
        "svlogd"
    }

    fn note(&self) -> &'static str {
        "of runit, with -b 65536, which is faster than its default: it syncs each file when it rotates; a process for each log"
    }

    fn missing(&self) -> Option<String> {
        super::absent("svlogd", "runit")
    }

    fn class(&self) -> Class {
        Class::Each
    }

    fn start(&self, scene: &Scene) -> Result<Logger, Failure> {
        for log in 0..scene.order.logs {
            let dir = super::directory(scene, log);
            fs::create_dir(&dir)?;
            fs::write(dir.join("config"), format!("s{}\nn{}\n", scene.order.limit, scene.order.copies))?;
        }
        Logger::each(scene, |log| {
            let mut command = Command::new("svlogd");
            command.args(["-b", "65536"]).arg(super::directory(scene, log));
            command
        })
    }

    fn files(&self, scene: &Scene, log: usize) -> Result<Vec<PathBuf>, Failure> {
        super::by_time(&super::directory(scene, log))
    }
}
