//! Going to the background.

use std::fs::OpenOptions;
use std::io;

use rustix::process::{chdir, setsid};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};

/// Makes this process a daemon, as tools/console/daemon/utils.c does: two forks around a new session, `/` as the working
/// directory and `/dev/null` as its standard streams. The parents leave with status 0. To be called before any thread is
/// started: a forked process has only the thread that forked.
///
/// # Errors
/// What the system answers: then no new process has been made, or this is the first child and has to leave.
pub fn detach() -> io::Result<()> {
    let null = OpenOptions::new().read(true).write(true).open("/dev/null")?;
    leave_parent()?;
    setsid()?;
    leave_parent()?;
    chdir("/")?;
    dup2_stdin(&null)?;
    dup2_stdout(&null)?;
    dup2_stderr(&null)?;
    Ok(())
}

/// Goes on in a child; the parent leaves with status 0.
fn leave_parent() -> io::Result<()> {
    // SAFETY: the caller has not started a thread, so the child has all the threads that its parent had, and no lock is held
    // by one that does not exist in it.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(()),
        // SAFETY: _exit only ends the process. It is used because what the parent has buffered is the child's to write.
        _ => unsafe { libc::_exit(0) },
    }
}
