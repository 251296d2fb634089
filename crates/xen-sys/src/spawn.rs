//! Programs started with given descriptors from 3 on, as sd_listen_fds(3) has them.

use std::ffi::{CString, OsString};
use std::io::{self, Read};
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::ptr;

use libc::{c_char, c_int};
use rustix::process::{Pid, WaitOptions, waitpid};

/// Where passed descriptors begin (`SD_LISTEN_FDS_START`).
const FIRST: RawFd = 3;
/// The largest number of a signal.
const SIGNALS: c_int = 64;
/// The exit status of a process that could not execute its program, as a shell has it. Nobody sees it.
const NOT_EXECUTED: c_int = 127;

/// A program and what it is started with.
#[derive(Debug)]
pub struct Program {
    path: CString,
    args: Vec<CString>,
    env: Vec<CString>,
}

impl Program {
    /// A program with its arguments, its own name first, and its whole environment.
    ///
    /// # Errors
    /// `InvalidInput` where there is a NUL in any of it.
    pub fn new(
        path: &Path,
        args: impl IntoIterator<Item = OsString>,
        env: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> io::Result<Program> {
        let with_nul = |text: OsString| CString::new(text.into_vec()).map_err(io::Error::from);
        let env = env.into_iter().map(|(mut name, value)| {
            name.push("=");
            name.push(value);
            name
        });
        Ok(Program {
            path: with_nul(path.into())?,
            args: args.into_iter().map(with_nul).collect::<io::Result<_>>()?,
            env: env.map(with_nul).collect::<io::Result<_>>()?,
        })
    }

    /// Starts it as a child. It has this process's standard streams, `descriptors` from 3 on in their order, and no other; all
    /// signals have their default effect and none is blocked; each variable in `own_id` has the id of the new process.
    ///
    /// # Errors
    /// What the system answers: then no child is left.
    pub fn spawn(&self, own_id: &[&str], descriptors: &[BorrowedFd<'_>]) -> io::Result<Pid> {
        let mut numbers: Vec<RawFd> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
        let mut ids: Vec<Vec<u8>> = own_id.iter().map(|name| room_for_id(name)).collect();
        let args = pointers(&self.args);
        // The first ones are filled in by the child.
        let mut env = vec![ptr::null(); ids.len()];
        env.extend(pointers(&self.env));
        let (mut said, say) = io::pipe()?;
        let mut report = say.as_raw_fd();
        let before = block_all();
        // SAFETY: the child calls nothing but what may be called after a fork in a program with threads (signal-safety(7)): all
        // memory that it uses was allocated before. Its signals are blocked, so no handler of this program runs in it.
        let pid = match unsafe { libc::fork() } {
            -1 => Err(io::Error::last_os_error()),
            0 => {
                // SAFETY: this is the child, which ends here; `args` and `env` end with a null pointer, and what they point to lives
                // in this frame.
                unsafe {
                    let why = become_program(&self.path, &args, &mut env, &mut ids, &mut numbers, &mut report);
                    libc::write(report, ptr::from_ref(&why).cast(), size_of::<c_int>());
                    libc::_exit(NOT_EXECUTED)
                }
            }
            pid => Ok(pid),
        };
        restore(&before);
        drop(say);
        // Positive, as fork(2) promises.
        let pid = Pid::from_raw(pid?).ok_or(io::ErrorKind::Other)?;
        // At its end when the child has executed the program.
        let mut why = [0; size_of::<c_int>()];
        match said.read_exact(&mut why) {
            Err(_) => Ok(pid),
            Ok(()) => {
                let _ = waitpid(Some(pid), WaitOptions::empty());
                Err(io::Error::from_raw_os_error(c_int::from_ne_bytes(why)))
            }
        }
    }

    /// Goes on as this program, in the same process: comes back only with an error. Signals that are blocked stay so, and what
    /// comes meanwhile waits. Descriptors that are not to be closed by exec(2) stay open.
    pub fn exec(&self) -> io::Error {
        let (args, env) = (pointers(&self.args), pointers(&self.env));
        // SAFETY: both arrays end with a null pointer, and what they point to lives in this frame.
        unsafe { libc::execve(self.path.as_ptr(), args.as_ptr(), env.as_ptr()) };
        io::Error::last_os_error()
    }
}

/// Becomes the program, in the child. Answers with `errno` if it cannot.
///
/// # Safety
/// To be called in a forked child that ends at once when this returns. `args` and `env` are as execve(2) wants them, but that
/// the first pointers of `env`, as many as there are `ids`, are set here.
unsafe fn become_program(
    path: &CString,
    args: &[*const c_char],
    env: &mut [*const c_char],
    ids: &mut [Vec<u8>],
    numbers: &mut [RawFd],
    report: &mut RawFd,
) -> c_int {
    // SAFETY: system calls on numbers and on memory of this frame; the caller answers for the pointers.
    unsafe {
        for signal in 1..=SIGNALS {
            // An error for those that have no other effect.
            libc::signal(signal, libc::SIG_DFL);
        }
        let Ok(count) = RawFd::try_from(numbers.len()) else { return libc::E2BIG };
        // First away from the places where they go, so that none is closed by another one's coming.
        let free = FIRST + count;
        for number in numbers.iter_mut().chain([report]).filter(|number| **number < free) {
            *number = libc::fcntl(*number, libc::F_DUPFD_CLOEXEC, free);
            if *number == -1 {
                return errno();
            }
        }
        for (&number, place) in numbers.iter().zip(FIRST..) {
            if libc::dup2(number, place) == -1 {
                return errno();
            }
        }
        // Whatever else is open, also what this program has from its own parent. Before Linux 5.11 the latter stays.
        libc::syscall(libc::SYS_close_range, free, c_int::MAX, libc::CLOSE_RANGE_CLOEXEC);
        for (variable, place) in ids.iter_mut().zip(env.iter_mut()) {
            fill_in_id(variable);
            *place = variable.as_ptr().cast();
        }
        restore(&none());
        libc::execve(path.as_ptr(), args.as_ptr(), env.as_ptr());
        errno()
    }
}

fn errno() -> c_int {
    // SAFETY: the place of this thread's errno is always there.
    unsafe { *libc::__errno_location() }
}

/// `NAME=`, with room for an id and a NUL.
fn room_for_id(name: &str) -> Vec<u8> {
    format!("{name}=\0\0\0\0\0\0\0\0\0\0\0").into_bytes()
}

/// Writes this process's id behind the `=`. Allocates nothing.
fn fill_in_id(variable: &mut [u8]) {
    let mut rest = std::process::id();
    let mut digits = [0; 10];
    let mut first = digits.len();
    while rest > 0 {
        first -= 1;
        // Below 10, so it is a byte.
        digits[first] = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    let room = variable.iter_mut().skip_while(|byte| **byte != 0);
    room.zip(&digits[first..]).for_each(|(place, digit)| *place = *digit);
}

/// The array that execve(2) wants.
fn pointers(strings: &[CString]) -> Vec<*const c_char> {
    strings.iter().map(|text| text.as_ptr()).chain([ptr::null()]).collect()
}

/// Blocks every signal for this thread; answers with what was blocked before.
fn block_all() -> libc::sigset_t {
    let mut all = none();
    let mut before = none();
    // SAFETY: the sets live in this frame, and neither call fails with valid pointers and a valid way to set.
    unsafe {
        libc::sigfillset(&raw mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, &raw mut before);
    }
    before
}

fn restore(before: &libc::sigset_t) {
    // SAFETY: as in `block_all`.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before, ptr::null_mut()) };
}

fn none() -> libc::sigset_t {
    let mut none = std::mem::MaybeUninit::uninit();
    // SAFETY: sigemptyset fills the set in.
    unsafe {
        libc::sigemptyset(none.as_mut_ptr());
        none.assume_init()
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    fn sh(script: &str, env: &[(&str, &str)]) -> Program {
        let args = ["sh", "-c", script].map(OsString::from);
        let env = env.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        Program::new(Path::new("/bin/sh"), args, env).unwrap()
    }

    /// What a script writes to its first descriptor after those in `more`.
    fn output(program: &Program, own_id: &[&str], more: &[BorrowedFd<'_>]) -> (Pid, String) {
        let (mut reader, writer) = io::pipe().unwrap();
        let mut all = more.to_vec();
        all.push(writer.as_fd());
        let pid = program.spawn(own_id, &all).unwrap();
        drop(writer);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        waitpid(Some(pid), WaitOptions::empty()).unwrap();
        (pid, text)
    }

    #[test]
    fn descriptors_come_in_their_order_wherever_they_were() {
        let files: Vec<_> = (0..40)
            .map(|number| {
                let (reader, mut writer) = io::pipe().unwrap();
                io::Write::write_all(&mut writer, format!("{number} ").as_bytes()).unwrap();
                reader
            })
            .collect();
        // Against their order, so that places are taken by each other; and one twice.
        let mut passed: Vec<BorrowedFd<'_>> = files.iter().rev().map(AsFd::as_fd).collect();
        passed.push(files[0].as_fd());
        let all =
            "exec >/proc/self/fd/44; n=3; while [ $n -lt 43 ]; do cat /proc/self/fd/$n; n=$((n+1)); done; echo end";
        let expected: String = (0..40).rev().map(|number| format!("{number} ")).collect();
        assert_eq!(output(&sh(all, &[]), &[], &passed).1, expected + "end\n");
    }

    #[test]
    fn nothing_else_is_open() {
        let strays = [(); 8].map(|()| std::fs::File::open("/dev/null").unwrap());
        strays.iter().for_each(|stray| rustix::io::fcntl_setfd(stray, rustix::io::FdFlags::empty()).unwrap());
        // With the directory that the shell reads while it looks.
        let (_, text) = output(&sh("for fd in /proc/$$/fd/*; do echo ${fd##*/}; done >&3", &[]), &[], &[]);
        let open: Vec<u32> = text.lines().map(|line| line.parse().unwrap()).filter(|fd| *fd < 10).collect();
        assert_eq!(&open[..4], [0, 1, 2, 3], "{text}");
        assert!(open.len() <= 5, "{text}");
    }

    #[test]
    fn variables_have_their_values_and_the_childs_own_id() {
        let (pid, text) =
            output(&sh("echo $A $LISTEN_PID $B $$ >&3", &[("A", "1"), ("B", "2 3")]), &["LISTEN_PID"], &[]);
        let id = pid.as_raw_nonzero();
        assert_eq!(text, format!("1 {id} 2 3 {id}\n"));
    }

    #[test]
    fn what_cannot_be_executed_is_an_error_and_no_child() {
        let missing = Program::new(Path::new("/nonexistent/program"), ["x".into()], []).unwrap();
        assert_eq!(missing.spawn(&[], &[]).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(missing.exec().kind(), io::ErrorKind::NotFound);
        assert!(Program::new(Path::new("/bin/sh"), ["a\0b".into()], []).is_err());
    }

    #[test]
    fn signals_that_are_blocked_or_ignored_here_are_neither_there() {
        crate::signals::block(&[libc::SIGUSR1]);
        let script = "exec grep -E 'Sig(Blk|Ign):' /proc/self/status >&3";
        let (_, text) = output(&sh(script, &[("PATH", "/usr/bin:/bin")]), &[], &[]);
        crate::signals::unblock(&[libc::SIGUSR1]);
        let masks = text.split_whitespace().filter_map(|word| u64::from_str_radix(word, 16).ok());
        // Rust ignores SIGPIPE in every program. From 32 on are signals that libc keeps for itself.
        assert_eq!(masks.map(|mask| mask & 0x7fff_ffff).collect::<Vec<_>>(), [0, 0], "{text}");
    }
}
