//! From the command line to the running daemon.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::daemon::Daemon;
use crate::options::{Leave, Options};
use crate::own_log::{self, Sink};
use crate::pid_file::PidFile;
use crate::settings::Settings;

/// EPERM, as the stock daemon leaves when it is not root.
const NOT_ROOT: u8 = 1;
/// As the stock daemon leaves when it cannot do its work.
const FAILED: u8 = 1;
/// Four descriptors for each domain that there can be, and some (tools/console/daemon/main.c).
const DESCRIPTORS: u64 = 0x7FF0 * 4 + 1000;
const SYSLOG: &str = "/dev/log";

/// Runs the program.
pub fn main() -> ExitCode {
    match start() {
        Ok(()) => ExitCode::SUCCESS,
        Err(leave) => {
            // Where nobody listens there is nothing to say.
            let _ = std::io::stdout().write_all(leave.out.as_bytes());
            let _ = std::io::stderr().write_all(leave.err.as_bytes());
            ExitCode::from(leave.status)
        }
    }
}

fn start() -> Result<(), Leave> {
    let options = Options::read(std::env::args_os())?;
    let fail = |status, why: String| Leave { out: String::new(), err: format!("xenconsoled: {why}\n"), status };
    let logs_only = options.no_hypervisor > 0;
    if !logs_only && !rustix::process::geteuid().is_root() {
        return Err(fail(NOT_ROOT, "requires root to run".into()));
    }
    if !logs_only {
        // To start without consoles would take them from every guest, and nobody would be told.
        return Err(fail(FAILED, "guest consoles are not served yet: with --no-hypervisor it serves logs only".into()));
    }
    let settings =
        Settings::gather(&options, |name| std::env::var_os(name)).map_err(|why| fail(22, why.to_string()))?;
    let interactive = options.interactive > 0;
    let pid_file = options.pid_file.clone().unwrap_or_else(|| settings.rules.run.path().join("xenconsoled.pid"));
    if !interactive {
        go_to_background(&pid_file).map_err(|why| fail(FAILED, why))?;
    }
    let sink = if interactive { Sink::Stderr } else { Sink::syslog(SYSLOG.as_ref()) };
    own_log::start(sink, options.verbose > 0);
    raise_descriptors();
    // Files are 0640 however the daemon was started.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o027));
    let daemon = Daemon::new(settings);
    daemon.and_then(Daemon::run).map_err(|why| {
        tracing::error!("{why}");
        Leave { out: String::new(), err: String::new(), status: FAILED }
    })
}

/// As many descriptors as the stock daemon wants, or as many as there may be.
fn raise_descriptors() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_none_or(|current| current >= DESCRIPTORS) {
        return;
    }
    let raise =
        |most| setrlimit(Resource::Nofile, Rlimit { current: Some(most), maximum: maximum.map(|max| max.max(most)) });
    if raise(DESCRIPTORS).is_err() {
        let most = maximum.unwrap_or(DESCRIPTORS).min(DESCRIPTORS);
        if raise(most).is_err() || most < 4096 {
            tracing::warn!("only {most} descriptors may be open: raise LimitNOFILE for more logs");
        }
    }
}

/// Becomes a daemon, with its process id in `pid_file`.
fn go_to_background(pid_file: &Path) -> Result<(), String> {
    let pid_file = PidFile::open(pid_file)?;
    xen_sys::daemon::detach().map_err(|why| format!("cannot go to the background: {why}"))?;
    pid_file.write()
}
