//! `xenlog exec`: runs a program with its output logged.

use std::ffi::OsString;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::time::Duration;

use logproto::{DomId, LogId, Owner, Policy, Stamp};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
use xenlog::{Error, Fallback, Log, OpenOptions, Places};

use crate::failure::say;
use crate::signals::Signals;

/// The exit code of our own failures, as of env(1) and timeout(1).
pub const OWN_FAILURE: u8 = 125;
/// A program that cannot be run, and one that is not there, as of a shell.
const CANNOT_RUN: u8 = 126;
const NOT_FOUND: u8 = 127;

/// The signals that are passed on.
const PASSED_ON: [i32; 6] = [SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2];

/// Run a program with its standard output and error logged
///
/// Ends with the program's exit code, 128 and the signal's number if a signal ended it, 127 if it is not found, 126 if
/// it cannot be run, and 125 if there is no log.
#[derive(Debug, clap::Args)]
pub struct Exec {
    /// The domain whose log it is
    #[arg(long, value_name = "N", conflicts_with = "host")]
    domid: Option<DomId>,
    /// The host's log [the default]
    #[arg(long)]
    host: bool,
    /// The log's name in the store [default: one that nobody has]
    #[arg(long)]
    id: Option<LogId>,
    /// The log file, absolute or relative to the log directory [default: the program's name, with .log]
    #[arg(long)]
    file: Option<PathBuf>,
    /// The most bytes that the file may have; K, M and G are understood [default: the daemon's]
    #[arg(long, value_name = "BYTES", value_parser = size)]
    limit: Option<u64>,
    /// How many rotated copies are kept [default: the daemon's]
    #[arg(long, value_name = "N")]
    copies: Option<u32>,
    /// What happens when the log can't keep up: the program waits (block) or bytes are lost (drop) [default: the
    /// daemon's]
    #[arg(long, value_name = "block|drop")]
    policy: Option<Policy>,
    /// Put the time before each line
    #[arg(long)]
    timestamp: bool,
    /// How long the log may keep the program waiting
    #[arg(long, value_name = "SECONDS", default_value_t = xenlog::DEFAULT_WAIT.as_secs())]
    wait: u64,
    /// What if there is no log: fail, run with the output thrown away (null), or append it to a file
    #[arg(long, value_name = "fail|null|FILE", default_value = "fail", value_parser = fallback)]
    fallback: Fallback,
    /// The program and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "PROGRAM")]
    program: Vec<OsString>,
}

fn size(text: &str) -> Result<u64, String> {
    logproto::size(text).ok_or_else(|| "not a number of bytes, such as 65536, 64K or 10M".to_owned())
}

fn fallback(text: &str) -> Result<Fallback, std::convert::Infallible> {
    Ok(match text {
        "fail" => Fallback::Fail,
        "null" => Fallback::DevNull,
        file => Fallback::File(file.into()),
    })
}

/// Runs the program to its end.
pub fn run(exec: &Exec, places: Places) -> ExitCode {
    match try_run(exec, places) {
        Ok(code) => code.into(),
        Err(Failed { code, why }) => {
            say(why);
            code.into()
        }
    }
}

/// A failure of our own.
struct Failed {
    code: u8,
    why: String,
}

impl Failed {
    fn own<E: std::error::Error>(why: E) -> Failed {
        Failed { code: OWN_FAILURE, why: why.to_string() }
    }
}

fn try_run(exec: &Exec, places: Places) -> Result<u8, Failed> {
    let [program, arguments @ ..] = &exec.program[..] else {
        return Err(Failed { code: OWN_FAILURE, why: "no program".into() });
    };
    let mut signals = Signals::take(&PASSED_ON).map_err(Failed::own)?;
    let log = match exec.options(Path::new(program), places).open_unless(signals.as_fd()) {
        Err(Error::Stopped) => return Ok(signals.next().next().map_or(OWN_FAILURE, by_signal)),
        log => log,
    };
    let mut command = Command::new(program);
    command.args(arguments);
    let log = exec.put_output(&mut command, log)?;
    let child = command.spawn().map_err(|error| Failed {
        code: if error.kind() == io::ErrorKind::NotFound { NOT_FOUND } else { CANNOT_RUN },
        why: format!("{}: {error}", program.display()),
    })?;
    // The command has the write end open too.
    drop(command);
    let status = watch(child, &mut signals).map_err(Failed::own)?;
    if let Some(Err(error)) = log.map(Log::end) {
        say(error);
    }
    Ok(code(status))
}

impl Exec {
    fn options(&self, program: &Path, places: Places) -> OpenOptions {
        let owner = self.domid.map_or(Owner::Host, Owner::Domain);
        let file = self.file.clone().unwrap_or_else(|| {
            let mut name = program.file_name().unwrap_or(program.as_os_str()).to_owned();
            name.push(".log");
            name.into()
        });
        let mut options = OpenOptions::new(owner, file).places(places).blocking(true);
        options = options.wait(Duration::from_secs(self.wait));
        if let Some(id) = &self.id {
            options = options.id(id.clone());
        }
        if let Some(limit) = self.limit {
            options = options.limit(limit);
        }
        if let Some(copies) = self.copies {
            options = options.copies(copies);
        }
        if let Some(policy) = self.policy {
            options = options.policy(policy);
        }
        if self.timestamp {
            options = options.timestamp(Stamp::Line);
        }
        options
    }

    /// Sets where the program's output goes: into the log, or what takes its place.
    fn put_output(&self, command: &mut Command, log: Result<Log, Error>) -> Result<Option<Log>, Failed> {
        let (log, out, error) = match log {
            Ok(log) => {
                let ends = log.writer().and_then(|out| Ok((out, log.writer()?)));
                let (out, error) = ends.map_err(Failed::own)?;
                (Some(log), out, error)
            }
            Err(why) => {
                let (out, why) = self.fallback.open(why).map_err(Failed::own)?;
                say(format!("{why}; running {} without a log", self.program[0].display()));
                let error = out.try_clone().map_err(Failed::own)?;
                (None, out, error)
            }
        };
        command.stdout(Stdio::from(out)).stderr(Stdio::from(error));
        Ok(log)
    }
}

/// Passes signals on to a program until it has ended.
fn watch(mut child: Child, signals: &mut Signals) -> io::Result<ExitStatus> {
    let pid = Pid::from_child(&child);
    let ended = pidfd_open(pid, PidfdFlags::empty())?;
    loop {
        let mut fds = [PollFd::new(&ended, PollFlags::IN), PollFd::new(signals, PollFlags::IN)];
        match poll(&mut fds, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        for signal in signals.next() {
            // A terminal sends these to every process in the foreground, so the program has them.
            let is_from_terminal = matches!(signal, SIGINT | SIGQUIT) && in_foreground();
            if let (false, Some(signal)) = (is_from_terminal, Signal::from_named_raw(signal)) {
                // It has not been waited for, so its id is not another's; a program of another user keeps its signals.
                let _ = kill_process(pid, signal);
            }
        }
    }
}

/// Whether our process group is the one that a terminal sends its signals to.
fn in_foreground() -> bool {
    let terminal = std::fs::File::open("/dev/tty");
    let foreground = terminal.ok().and_then(|terminal| rustix::termios::tcgetpgrp(terminal).ok());
    foreground == Some(rustix::process::getpgrp())
}

fn by_signal(signal: i32) -> u8 {
    u8::try_from(128 + signal).unwrap_or(OWN_FAILURE)
}

fn code(status: ExitStatus) -> u8 {
    let exited = status.code().and_then(|code| u8::try_from(code).ok());
    exited.or_else(|| status.signal().map(by_signal)).unwrap_or(OWN_FAILURE)
}
