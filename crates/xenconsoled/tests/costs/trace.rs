//! The system calls of a daemon, as strace(1) sees them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use testbed::{programs, until};

use crate::scene::Meter;
use crate::table::Table;

/// Answered without the kernel on most machines, and by it on others.
const TIMES: [&str; 2] = ["clock_gettime", "gettimeofday"];

/// What a program that is traced has called so far: a file for each thread, a line for each call that has come back.
pub struct Trace {
    dir: TempDir,
}

/// How far the files were.
pub struct Mark(BTreeMap<PathBuf, usize>);

/// One call that has come back, as strace(1) writes it: `write(4, ""..., 80) = 80`.
#[derive(Clone, Debug)]
pub struct Call(pub String);

impl Meter for Trace {
    /// It is no parent of what it traces: the process that is started is the program.
    fn give_to(&self, command: &mut Command) {
        let mut traced = Command::new("strace");
        traced.args(["-D", "-ff", "-qq", "-s", "0", "-e", "signal=none", "-o"]).arg(self.dir.path().join("of"));
        traced.arg(command.get_program()).args(command.get_args()).stdin(Stdio::null());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => traced.env(name, value),
                None => traced.env_remove(name),
            };
        }
        *command = traced;
    }
}

impl Trace {
    /// Of nothing yet. None where programs cannot be traced: it prints why, and the test passes it by.
    pub fn new() -> Option<Trace> {
        let why = match Command::new("strace").args(["-o", "/dev/null", "true"]).output() {
            Ok(output) if output.status.success() => None,
            Ok(output) => Some(format!("strace cannot trace: {}", String::from_utf8_lossy(&output.stderr).trim())),
            Err(_) => Some("no strace in PATH (Debian: apt install strace)".to_owned()),
        };
        let dir = || tempfile::Builder::new().prefix("trace").tempdir().unwrap();
        programs::available(why).then(|| Trace { dir: dir() })
    }

    /// Up to here. A call that has not come back is one of those that will be.
    pub fn mark(&self) -> Mark {
        Mark(self.files().map(|file| (file.clone(), whole_lines(&fs::read(file).unwrap()).len())).collect())
    }

    /// The calls since then that came back, of each thread by its number.
    pub fn since(&self, mark: &Mark) -> BTreeMap<u32, Vec<Call>> {
        let thread = |file: &PathBuf| file.extension().unwrap().to_str().unwrap().parse().unwrap();
        self.files().map(|file| (thread(&file), calls(&file, mark.0.get(&file).map_or(0, |from| *from)))).collect()
    }

    /// How often what was called since then by the program `pid`: without what its main thread did because a time had come.
    pub fn table(&self, mark: &Mark, pid: u32) -> Table {
        let alarms = alarms(pid);
        let mut table = Table::default();
        for (thread, calls) in self.since(mark) {
            let is_main = thread == pid;
            for round in calls.chunk_by(|_, next| next.wait().is_none()) {
                let rang = round[0].waited_in_vain() || round.iter().any(|call| alarms.iter().any(|fd| call.rang(*fd)));
                if !(is_main && rang) {
                    round.iter().for_each(|call| table.add(is_main, call.name()));
                }
            }
        }
        table
    }

    fn files(&self) -> impl Iterator<Item = PathBuf> {
        fs::read_dir(self.dir.path()).unwrap().map(|entry| entry.unwrap().path())
    }
}

fn calls(file: &Path, from: usize) -> Vec<Call> {
    let text = fs::read(file).unwrap();
    let text = String::from_utf8_lossy(&whole_lines(&text)[from..]);
    let calls = text.lines().filter(|line| line.contains('(')).map(|line| Call(line.to_owned()));
    calls.filter(|call| !TIMES.contains(&call.name())).collect()
}

/// The last line may be of a call that has not come back.
fn whole_lines(text: &[u8]) -> &[u8] {
    &text[..text.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1)]
}

/// A program's timers (timerfd_create(2)).
fn alarms(pid: u32) -> Vec<u32> {
    let open = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().map(|entry| entry.unwrap().path());
    let is_timer = |fd: &PathBuf| fs::read_link(fd).is_ok_and(|what| what == Path::new("anon_inode:[timerfd]"));
    open.filter(is_timer).map(|fd| fd.file_name().unwrap().to_str().unwrap().parse().unwrap()).collect()
}

impl Call {
    /// Which one it is.
    pub fn name(&self) -> &str {
        self.0.split('(').next().unwrap_or_default()
    }

    /// If it waits for events, for how long at most, as it is written: `-1` and `NULL` are for ever.
    pub fn wait(&self) -> Option<&str> {
        // epoll_pwait(3, [...], 64, 802, NULL, 0) = 1
        self.name().starts_with("epoll_").then_some(())?;
        self.0.rsplit(']').next()?.split(", ").nth(2).filter(|_| self.0.contains("wait"))
    }

    /// Whether it waited for events until its time was over.
    fn waited_in_vain(&self) -> bool {
        self.wait().is_some() && self.0.ends_with("= 0")
    }

    /// Whether it found that this timer has rung.
    fn rang(&self, timer: u32) -> bool {
        self.0.starts_with(&format!("read({timer}, ")) && self.0.ends_with("= 8")
    }
}

/// As long as there is one, a traced program goes no further than to its next call: it is strace(1) that is stopped. A program that
/// is stopped itself would have its calls interrupted, and others to make.
pub struct Halt(Pid);

impl Halt {
    /// Stops whoever traces this process.
    pub fn new(traced: u32) -> Halt {
        let status = fs::read_to_string(format!("/proc/{traced}/status")).unwrap();
        let tracer = status.lines().find_map(|line| line.strip_prefix("TracerPid:")).unwrap().trim();
        let halt = Halt(Pid::from_raw(tracer.parse().unwrap()).expect("a process that is traced"));
        kill_process(halt.0, Signal::STOP).unwrap();
        until("a tracer that stands still", || {
            let stat = fs::read_to_string(format!("/proc/{tracer}/stat")).unwrap();
            stat.contains(") T ").then_some(())
        });
        halt
    }
}

impl Drop for Halt {
    fn drop(&mut self) {
        // An error means that it is gone, and what it traced, too.
        let _ = kill_process(self.0, Signal::CONT);
    }
}
