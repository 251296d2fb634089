//! A logger that runs.

use std::any::Any;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

use crate::clock;
use crate::processes::Processes;
use crate::scene::Scene;
use crate::works::Failure;

/// Its processes and pipes. It is killed when this is dropped.
#[derive(Default)]
pub struct Logger {
    /// When its start began.
    pub began: Duration,
    /// Where each log is written to.
    pub pipes: Vec<PathBuf>,
    /// The processes that are its own: their cost counts.
    own: Vec<Pid>,
    children: Vec<Child>,
    /// Processes that it started and that are not its own.
    others: Vec<Pid>,
    /// The write ends, held open.
    held: Vec<File>,
    /// What it needs beside itself: a store, a connection.
    beside: Option<Box<dyn Any>>,
}

impl Logger {
    /// One over FIFOs that are held open by this; it starts now.
    pub fn over(scene: &Scene, held: Vec<File>) -> Logger {
        let mut logger = Logger::without_pipes();
        logger.pipes = (0..scene.order.logs).map(|log| scene.pipe(log)).collect();
        logger.held = held;
        logger
    }

    /// One that makes its pipes itself; it starts now.
    pub fn without_pipes() -> Logger {
        let mut logger = Logger::default();
        logger.began = clock::now();
        logger
    }

    /// Starts a process of it; what it says goes to the scene.
    pub fn spawn(&mut self, scene: &Scene, command: &mut Command) -> Result<(), Failure> {
        self.spawn_with(scene, command, scene.said()?.into())
    }

    /// The same with another standard output.
    pub fn spawn_with(&mut self, scene: &Scene, command: &mut Command, stdout: Stdio) -> Result<(), Failure> {
        let child = command
            .stdout(stdout)
            .stderr(scene.said()?)
            .spawn()
            .map_err(|error| format!("{}: {error}", command.get_program().to_string_lossy()))?;
        self.own.push(Pid::from_child(&child));
        self.children.push(child);
        Ok(())
    }

    /// Starts a process for each log, with the log's FIFO as standard input.
    pub fn each(scene: &Scene, mut command: impl FnMut(usize) -> Command) -> Result<Logger, Failure> {
        let mut logger = Logger::over(scene, scene.make_pipes()?);
        for log in 0..scene.order.logs {
            let pipe = File::open(scene.pipe(log))?;
            logger.spawn(scene, command(log).stdin(Stdio::from(pipe)))?;
        }
        Ok(logger)
    }

    /// A process of it that is no child of this one at first.
    pub fn adopt(&mut self, pid: Pid) {
        self.own.push(pid);
    }

    /// A process that ends with it and does not count.
    pub fn beside(&mut self, pid: Pid) {
        self.others.push(pid);
    }

    /// Another pipe, which is held open.
    pub fn hold(&mut self, pipe: PathBuf, held: File) {
        self.pipes.push(pipe);
        self.held.push(held);
    }

    /// A write end that only this process has.
    pub fn hold_own(&mut self, held: File) {
        let path = format!("/proc/{}/fd/{}", std::process::id(), held.as_raw_fd());
        self.hold(path.into(), held);
    }

    /// Something to live as long.
    pub fn keep(&mut self, thing: impl Any) {
        self.beside = Some(Box::new(thing));
    }

    /// Whether it has taken all that was written.
    pub fn has_taken_all(&self) -> bool {
        self.held.iter().all(|pipe| rustix::io::ioctl_fionread(pipe).is_ok_and(|bytes| bytes == 0))
    }

    /// Its own processes.
    pub fn processes(&self) -> Processes {
        self.own.clone().into()
    }
}

impl Drop for Logger {
    fn drop(&mut self) {
        // All at once: each by itself would be waited for in turn. An error means that it has ended.
        for pid in self.others.iter().chain(&self.own) {
            let _ = kill_process(*pid, Signal::KILL);
        }
        for child in &mut self.children {
            let _ = child.wait();
        }
        // Adopted ones have become children of this process (see conmon); those that have not are somebody else's to wait for.
        for pid in self.others.iter().chain(&self.own) {
            let _ = waitpid(Some(*pid), WaitOptions::empty());
        }
    }
}
