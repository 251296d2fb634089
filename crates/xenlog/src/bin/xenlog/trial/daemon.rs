//! The real daemon as a child that does not outlive us.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};

use rustix::process::{Pid, Signal, getppid, kill_process, set_parent_process_death_signal};

use crate::failure::{Failure, say};

/// The program's name.
const NAME: &str = "xenconsoled";

/// Become a program that gets SIGTERM when the process that started it dies, however it dies
#[derive(Debug, clap::Args)]
pub struct Leashed {
    /// The process that has to live
    parent: i32,
    /// The program and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    program: Vec<OsString>,
}

impl Leashed {
    /// Becomes the program. Comes back only if that fails.
    pub fn run(&self) -> ExitCode {
        let [program, arguments @ ..] = &self.program[..] else {
            return ExitCode::FAILURE;
        };
        // Kept by execve(2); asked for before looking, so that a parent that dies between is not missed.
        let leashed = set_parent_process_death_signal(Some(Signal::TERM));
        let error = match leashed {
            Ok(()) if getppid() != Pid::from_raw(self.parent) => return ExitCode::FAILURE,
            Ok(()) => Command::new(program).args(arguments).exec(),
            Err(error) => error.into(),
        };
        say(format!("{}: {error}", program.display()));
        ExitCode::FAILURE
    }
}

/// A daemon that runs.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    log: PathBuf,
}

impl Daemon {
    /// Starts the daemon with these arguments and this store, its own log in a file.
    pub fn start(arguments: &[OsString], store: &Path, log: &Path) -> Result<Daemon, Failure> {
        let program = find()?;
        let own = std::env::current_exe().map_err(Failure::system("own program"))?;
        let failed = |what: &Path| Failure::system(what);
        let output = File::create(log).map_err(failed(log))?;
        let child = Command::new(own)
            .args(["try-daemon", &std::process::id().to_string(), "--"])
            .arg(&program)
            .args(arguments)
            .env("XENSTORED_PATH", store)
            .stdin(Stdio::null())
            .stdout(output.try_clone().map_err(failed(log))?)
            .stderr(output)
            .spawn()
            .map_err(failed(&program))?;
        Ok(Daemon { child, log: log.to_owned() })
    }

    /// Whether it still runs; if not, what it said.
    pub fn check(&mut self) -> Result<(), Failure> {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => {
                let said = std::fs::read_to_string(&self.log).unwrap_or_default();
                Err(Failure::Named(format!("{NAME} ended with {status}; it said: {}", said.trim_end())))
            }
            Err(error) => Err(Failure::system(NAME)(error)),
        }
    }

    /// Asks it to stop, and waits until it has drained its logs and left.
    pub fn stop(&mut self) -> Result<(), Failure> {
        // It was not waited for, so its number is its own.
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        self.child.wait().map(drop).map_err(Failure::system(NAME))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // After a proper stop there is nothing left to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The daemon that belongs to us: beside our own program, else in PATH or a directory for system programs.
fn find() -> Result<PathBuf, Failure> {
    let own = std::env::current_exe().and_then(|own| own.canonicalize()).ok();
    let beside = own.as_deref().and_then(Path::parent).map(Path::to_owned);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/local/sbin", "/usr/sbin"].map(PathBuf::from);
    let mut dirs = beside.iter().cloned().chain(std::env::split_paths(&path)).chain(system);
    dirs.find_map(|dir| Some(dir.join(NAME)).filter(|file| file.is_file())).ok_or_else(|| {
        let beside = beside.as_deref().unwrap_or(Path::new("."));
        let missing = io::Error::from(io::ErrorKind::NotFound);
        let build = "in a source tree, `cargo build --workspace` makes it";
        Failure::Named(format!("{}: {missing}; {build}", beside.join(NAME).display()))
    })
}
