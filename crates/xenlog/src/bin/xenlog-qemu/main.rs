//! `xenlog-qemu`: becomes the real QEMU, with its standard output and error in a log of its domain. Put into an xl
//! guest's configuration as `device_model_override`.

#![forbid(unsafe_code)]

mod arguments;
mod real;
mod request;
mod settings;

use std::ffi::OsString;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode};

use xenlog::Log;

/// What a shell says when a program cannot be run, and when it is not there.
const CANNOT_RUN: u8 = 126;
const NOT_FOUND: u8 = 127;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let (settings, mut complaints) =
        settings::read(|name| std::env::var_os(name), |path| std::fs::read_to_string(path));
    let real = real::find(&settings.qemu, &mut complaints);
    complaints.iter().for_each(say);
    let Some(real) = real else {
        say(format!("no QEMU found; looked at XENLOG_QEMU, qemu.path of the configuration, {}", real::places()));
        return NOT_FOUND.into();
    };
    let log = arguments::domain(&arguments).and_then(|domain| match request::open(&domain, &settings) {
        Ok(log) => Some(log),
        Err(why) => {
            say(format!("domain {}: {why}; QEMU starts without a log of its own", domain.id));
            None
        }
    });
    // If this comes back, the log ends with its value.
    run(&real, &arguments, log.as_ref())
}

/// Becomes QEMU. Comes back only if that fails.
///
/// [`CommandExt::exec`] puts SIGPIPE, which Rust programs ignore, back to its default action, as libxl does before it
/// runs QEMU, and empties the signal mask; handlers go with the old program (execve(2)).
fn run(real: &Path, arguments: &[OsString], log: Option<&Log>) -> ExitCode {
    let mut qemu = Command::new(real);
    qemu.args(arguments);
    match log.map(|log| Ok((log.stdio()?, log.stdio()?))) {
        Some(Ok((out, error))) => drop(qemu.stdout(out).stderr(error)),
        Some(Err::<_, io::Error>(error)) => say(format!("{error}; QEMU starts without a log of its own")),
        None => {}
    }
    let error = qemu.exec();
    say(format!("{}: {error}", real.display()));
    if error.kind() == io::ErrorKind::NotFound { NOT_FOUND.into() } else { CANNOT_RUN.into() }
}

/// A line into what libxl gave as standard error: its own log file of this QEMU. Losing it must not hold up the guest.
fn say(line: impl AsRef<str>) {
    let _ = writeln!(io::stderr(), "xenlog-qemu: {}", line.as_ref());
}
