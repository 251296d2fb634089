//! multilog, of daemontools: a process for each log.

use std::path::PathBuf;
use std::process::Command;

use super::{Class, Peer};
use crate::logger::Logger;
use crate::scene::Scene;
use crate::works::Failure;

/// The largest file that multilog can be told to keep (its manual).
const LARGEST: u64 = 16_777_215;

/// multilog without timestamps.
pub struct Multilog;

impl Peer for Multilog {
    fn name(&self) -> &'static str {
        "multilog"
    }

    fn note(&self) -> &'static str {
        "of daemontools: it syncs each file when it rotates; a process for each log"
    }

    fn missing(&self) -> Option<String> {
        super::absent("multilog", "daemontools")
    }

    fn class(&self) -> Class {
        Class::Each
    }

    fn start(&self, scene: &Scene) -> Result<Logger, Failure> {
        Logger::each(scene, |log| {
            let mut command = Command::new("multilog");
            command.arg(format!("s{}", scene.order.limit.min(LARGEST))).arg(format!("n{}", scene.order.copies));
            command.arg(super::directory(scene, log));
            command
        })
    }

    fn files(&self, scene: &Scene, log: usize) -> Result<Vec<PathBuf>, Failure> {
        super::by_time(&super::directory(scene, log))
    }

    /// It counts the current file among the copies.
    fn least(&self, scene: &Scene) -> u64 {
        scene.order.limit * u64::from(scene.order.copies.saturating_sub(2))
    }
}
