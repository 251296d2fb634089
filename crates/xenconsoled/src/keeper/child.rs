//! The daemon as the keeper's child.

use std::ffi::OsString;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use xen_sys::spawn::Program;

use super::course::End;
use super::fdstore::FdStore;

/// Variables of the environment that speak of somebody else's keeping.
const FOREIGN: [&str; 8] = [
    "LISTEN_FDNAMES",
    "LISTEN_FDS",
    "LISTEN_PID",
    "NOTIFY_SOCKET",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
    "FDSTORE",
    super::renewal::VARIABLE,
];

/// A child that was not waited for, so that its number is its own.
#[derive(Debug)]
pub struct Child {
    pid: Pid,
}

impl Child {
    /// Starts the daemon with all that is kept.
    pub fn start(
        program: &Path,
        args: &[OsString],
        kept: &FdStore,
        address: &Path,
        watchdog: Option<Duration>,
    ) -> io::Result<Child> {
        let (names, descriptors): (Vec<&str>, Vec<BorrowedFd<'_>>) = kept.iter().unzip();
        let mut env = environment();
        let mut set = |name: &str, value: OsString| env.push((name.into(), value));
        set("NOTIFY_SOCKET", address.into());
        set("FDSTORE", kept.most().to_string().into());
        set("LISTEN_FDS", descriptors.len().to_string().into());
        set("LISTEN_FDNAMES", names.join(":").into());
        if let Some(watchdog) = watchdog {
            set("WATCHDOG_USEC", watchdog.as_micros().to_string().into());
        }
        let program = Program::new(program, args.iter().cloned(), env)?;
        Ok(Child { pid: program.spawn(&["LISTEN_PID", "WATCHDOG_PID"], &descriptors)? })
    }

    /// Its process id.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        // What has ended and was not waited for can still be signalled.
        let _ = kill_process(self.pid, signal);
    }

    /// How it ended, if it has. To be asked no more after that.
    pub fn ended(&self) -> Option<End> {
        loop {
            return match waitpid(Some(self.pid), WaitOptions::NOHANG) {
                Ok(None) => None,
                Ok(Some((_, status))) => Some(match (status.exit_status(), status.terminating_signal()) {
                    // Both are a byte (wait(2)).
                    (Some(status), _) => End::Exit(u8::try_from(status).unwrap_or(u8::MAX)),
                    (None, signal) => End::Signal(signal.and_then(|signal| u8::try_from(signal).ok()).unwrap_or(0)),
                }),
                Err(Errno::INTR) => continue,
                // There is no such child: it was waited for by somebody else.
                Err(_) => Some(End::Exit(u8::MAX)),
            };
        }
    }
}

/// This process's environment, without what it says of keeping.
pub fn environment() -> Vec<(OsString, OsString)> {
    std::env::vars_os().filter(|(name, _)| !FOREIGN.iter().any(|foreign| name == foreign)).collect()
}
