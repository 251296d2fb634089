//! How a subcommand fails.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Why a subcommand could not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The store.
    #[error(transparent)]
    Store(#[from] xenstore::Error),
    /// A log that was asked for.
    #[error(transparent)]
    Log(#[from] xenlog::Error),
    /// A guest's console.
    #[error(transparent)]
    Console(#[from] xenlog::console::Error),
    /// A log file.
    #[error(transparent)]
    File(#[from] logfile::Error),
    /// Standard output.
    #[error("standard output: {0}")]
    Output(#[source] io::Error),
    /// Something of the system.
    #[error("{what}: {source}")]
    System {
        /// A path, or what else it was met at.
        what: String,
        /// The system's error.
        source: io::Error,
    },
    /// What was named is not there.
    #[error("{0}")]
    Named(String),
    /// A directory or file is not there that has to be.
    #[error("{}: no such log file", .0.display())]
    NoFile(PathBuf),
}

impl Failure {
    /// Makes a failure of an error of the system that was met at `what`.
    pub fn system<T: AsRef<Path> + ?Sized>(what: &T) -> impl Fn(io::Error) -> Failure + use<T> {
        let what = what.as_ref().display().to_string();
        move |source| Failure::System { what: what.clone(), source }
    }
}

/// Tells about a failure, and gives the exit code. A reader of standard output that has seen enough is no failure.
pub fn code(result: Result<(), Failure>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(failure) => {
            say(failure);
            ExitCode::FAILURE
        }
    }
}

/// A line on standard error, if anybody reads it.
pub fn say(line: impl std::fmt::Display) {
    let _ = writeln!(io::stderr(), "xenlog: {line}");
}
