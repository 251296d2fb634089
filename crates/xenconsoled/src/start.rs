//! From the command line to the running daemon.

use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::daemon::Daemon;
use crate::keeper::{self, Plan};
use crate::lock::Lock;
use crate::notify;
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
    let interactive = options.interactive > 0;
    let supervises = options.supervise.filter(|_| options.kept == 0);
    if let (Some(seconds), Some(run)) = (supervises, keeper::renewed_in()) {
        // It keeps what it has, whatever the configuration says by now: the daemon will tell what is wrong with it.
        settle(&options);
        return keep(run, seconds);
    }
    let settings = Settings::gather(&options, |name| std::env::var_os(name)).map_err(|why| {
        if options.kept > 0 {
            // Nobody but the keeper has started it, and nobody sees what it prints.
            settle(&options);
            tracing::error!("{why}");
            return Leave { out: String::new(), err: String::new(), status: 22 };
        }
        fail(22, why.to_string())
    })?;
    let pid_file = options.pid_file.clone().unwrap_or_else(|| settings.rules.run.path().join("xenconsoled.pid"));
    if supervises.is_some() && !interactive && options.config.as_ref().is_some_and(|config| config.is_relative()) {
        // The daemon is started again and again, in the background, where the working directory is another.
        return Err(fail(22, "--config: with --supervise it must be an absolute path".into()));
    }
    if options.kept == 0 {
        // Said while there is somebody to hear it, and before the pid file of the one that serves is written over.
        let lock = Lock::take(settings.rules.run.path()).map_err(|why| fail(FAILED, why.to_string()))?;
        drop(lock);
    }
    if !interactive && options.kept == 0 {
        go_to_background(&pid_file).map_err(|why| fail(FAILED, why))?;
    }
    settle(&options);
    if let Some(seconds) = supervises {
        return keep(settings.rules.run.path().to_owned(), seconds);
    }
    xen_sys::memory::share();
    let (notify, received) = notify::from_env();
    let daemon = Daemon::new(settings, notify, received);
    daemon.and_then(Daemon::run).map_err(|why| {
        tracing::error!("{why}");
        Leave { out: String::new(), err: String::new(), status: FAILED }
    })
}

/// The process is where it stays: its log, its limits, its umask.
fn settle(options: &Options) {
    let sink = if options.interactive > 0 { Sink::Stderr } else { Sink::syslog(SYSLOG.as_ref()) };
    own_log::start(sink, options.verbose > 0);
    raise_descriptors();
    // Files are 0640 however the daemon was started.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o027));
}

/// Keeps a daemon with the same command line, until told to stop.
fn keep(run: PathBuf, seconds: u64) -> Result<(), Leave> {
    let leave = |status| Leave { out: String::new(), err: String::new(), status };
    let args: Vec<OsString> = std::env::args_os().collect();
    let [name, rest @ ..] = &args[..] else { return Err(leave(FAILED)) };
    let daemon_args = [name.clone(), "--kept".into()].into_iter().chain(rest.iter().cloned()).collect();
    let status = std::env::current_exe().and_then(|program| {
        let watchdog = Some(Duration::from_secs(seconds)).filter(|watchdog| !watchdog.is_zero());
        keeper::run(Plan { program, args, daemon_args, run, watchdog })
    });
    match status {
        Ok(0) => Ok(()),
        Ok(status) => Err(leave(status)),
        Err(why) => {
            tracing::error!("keeper: {why}");
            Err(leave(FAILED))
        }
    }
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
