//! s6-log, of the supervision suite s6: a process for each log.

use std::path::PathBuf;
use std::process::Command;

use super::{Class, Peer};
use crate::logger::Logger;
use crate::scene::Scene;
use crate::works::Failure;

/// s6-log with `-b`, which lets the writer wait instead of growing.
pub struct S6Log;

impl Peer for S6Log {
    fn name(&self) -> &'static str {
        "s6-log"
    }

    fn note(&self) -> &'static str {
        "of s6, with -b: it syncs each file when it rotates; a process for each log"
    }

    fn missing(&self) -> Option<String> {
        super::absent("s6-log", "s6")
    }

    fn class(&self) -> Class {
        Class::Each
    }

    fn start(&self, scene: &Scene) -> Result<Logger, Failure> {
        Logger::each(scene, |log| {
            let mut command = Command::new("s6-log");
            command.arg("-b").arg(format!("n{}", scene.order.copies)).arg(format!("s{}", scene.order.limit));
            command.arg(super::directory(scene, log));
            command
        })
    }

    fn files(&self, scene: &Scene, log: usize) -> Result<Vec<PathBuf>, Failure> {
        super::by_time(&super::directory(scene, log))
    }
}
