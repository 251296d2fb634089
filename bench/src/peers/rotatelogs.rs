//! rotatelogs, of Apache's web server: a process for each log.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Class, Peer};
use crate::lines;
use crate::logger::Logger;
use crate::scene::Scene;
use crate::works::Failure;

/// rotatelogs with `-n`: `file`, `file.1` … are written in turn, each emptied before.
pub struct Rotatelogs;

impl Peer for Rotatelogs {
    fn name(&self) -> &'static str {
        "rotatelogs"
    }

    fn note(&self) -> &'static str {
        "of Apache, with -n: files are written in turn, each emptied before; a process for each log"
    }

    fn missing(&self) -> Option<String> {
        super::absent("rotatelogs", "apache2-utils")
    }

    fn class(&self) -> Class {
        Class::EachFast
    }

    fn start(&self, scene: &Scene) -> Result<Logger, Failure> {
        Logger::each(scene, |log| {
            let mut command = Command::new("rotatelogs");
            command.arg("-n").arg((scene.order.copies + 1).to_string());
            command.arg(scene.file(log)).arg(format!("{}B", scene.order.limit));
            command
        })
    }

    /// The names say nothing of the order, so the lines do.
    fn files(&self, scene: &Scene, log: usize) -> Result<Vec<PathBuf>, Failure> {
        let mut all = super::numbered(&scene.file(log), 1);
        if all.len() > 1 {
            all.retain(|path| path.metadata().is_ok_and(|meta| meta.len() > 0));
            all.sort_by_cached_key(|path| first_number(path).unwrap_or(u64::MAX));
        }
        Ok(all)
    }
}

fn first_number(path: &Path) -> Option<u64> {
    let mut piece = [0; 3 * lines::LINE];
    let length = File::open(path).ok()?.read(&mut piece).ok()?;
    // A file may begin within a line, whatever that is then.
    let start = piece[..length].iter().position(|byte| *byte == b'\n')?;
    lines::first_number(&piece[start + 1..length]).or_else(|| lines::first_number(&piece[..length]))
}
