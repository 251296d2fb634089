//! Child processes that end with the test, however that ends.

use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::process::Signal;

/// A child. It holds the read end of a pipe as standard input and is built to end when the other end is closed, which
/// the kernel does even when this process is killed; and it is killed and waited for when this is dropped.
#[derive(Debug)]
pub(crate) struct Lifeline {
    child: Child,
}

impl Lifeline {
    /// Starts `command` with all its output in the file `log`.
    pub(crate) fn spawn(mut command: Command, log: &Path) -> std::io::Result<Self> {
        let output = std::fs::File::create(log)?;
        let child = command.stdin(Stdio::piped()).stdout(output.try_clone()?).stderr(output).spawn()?;
        Ok(Lifeline { child })
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        // The child was not waited for, so its number is still its own.
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap_or_else(|error| panic!("cannot signal a child: {error}"));
    }
}

impl Drop for Lifeline {
    fn drop(&mut self) {
        // An error means that it is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
