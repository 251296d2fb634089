//! A keeper that runs, and a line to each daemon that it starts.

use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use tempfile::TempDir;
use testbed::{PATIENCE, until};

use crate::parts;

/// How the keeper is to run.
#[derive(Default)]
pub struct Settings {
    /// How long its daemon may be silent.
    pub watchdog: Option<Duration>,
    /// How many descriptors it may have open.
    pub descriptors: Option<u64>,
}

/// A keeper and its directory. Both are gone with it.
pub struct Scene {
    keeper: Child,
    listener: UnixListener,
    dir: TempDir,
}

/// A daemon that the keeper has started. It ends when this is dropped.
pub struct Daemon {
    pub pid: Pid,
    /// Numbers of the descriptors that it had open at its start.
    pub open: Vec<u32>,
    /// Names and inodes of what it was given.
    pub received: Vec<(String, String)>,
    line: BufReader<UnixStream>,
}

impl Scene {
    pub fn begin(settings: &Settings) -> Scene {
        let dir = tempfile::Builder::new().prefix("keeper").tempdir_in("/tmp").unwrap();
        std::fs::hard_link(std::env::current_exe().unwrap(), dir.path().join("program"))
            .or_else(|_| std::fs::copy(std::env::current_exe().unwrap(), dir.path().join("program")).map(drop))
            .unwrap();
        let listener = UnixListener::bind(dir.path().join("line")).unwrap();
        listener.set_nonblocking(true).unwrap();
        let program = dir.path().join("program");
        let mut command = Command::new(&program);
        command.args(&parts::args(program.to_str().unwrap(), "keeper_part")[1..]);
        let said = std::fs::File::create(dir.path().join("stderr")).unwrap();
        command.env(parts::PLACE, dir.path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(said);
        if let Some(watchdog) = settings.watchdog {
            command.env(parts::WATCHDOG, watchdog.as_millis().to_string());
        }
        if let Some(descriptors) = settings.descriptors {
            command.env(parts::DESCRIPTORS, descriptors.to_string());
        }
        Scene { keeper: command.spawn().unwrap(), listener, dir }
    }

    /// The next daemon that the keeper starts.
    pub fn daemon(&mut self) -> Daemon {
        let line = until("a daemon", || match self.listener.accept() {
            Ok((line, _)) => Some(line),
            Err(why) if why.kind() == ErrorKind::WouldBlock => {
                assert!(self.keeper.try_wait().unwrap().is_none(), "the keeper has left");
                None
            }
            Err(why) => panic!("{why}"),
        });
        line.set_nonblocking(false).unwrap();
        line.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut line = BufReader::new(line);
        let mut hello = String::new();
        line.read_line(&mut hello).unwrap();
        let mut words = hello.split_whitespace();
        let pid = Pid::from_raw(words.next().unwrap().parse().unwrap()).unwrap();
        let open = words.next().unwrap().split(',').map(|number| number.parse().unwrap()).collect();
        let pair = |word: &str| word.split_once('=').map(|(name, inode)| (name.to_owned(), inode.to_owned())).unwrap();
        Daemon { pid, open, received: words.map(pair).collect(), line }
    }

    pub fn signal(&self, signal: Signal) {
        // It was not waited for, so its number is still its own.
        kill_process(Pid::from_child(&self.keeper), signal).unwrap();
    }

    /// Stops the keeper where it stands. From when this returns it does nothing, until SIGCONT.
    pub fn halt(&self) {
        self.signal(Signal::STOP);
        let stands = |thread: std::fs::DirEntry| {
            let stat = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
            stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('T'))
        };
        let threads = format!("/proc/{}/task", self.keeper.id());
        until("the keeper's standstill", || std::fs::read_dir(&threads).unwrap().flatten().all(stands).then_some(()));
    }

    /// Waits for the keeper's end: its status, or nothing if it was killed.
    pub fn ended(&mut self) -> Option<i32> {
        until("the keeper's end", || self.keeper.try_wait().unwrap()).code()
    }

    /// Where the keeper hears its daemon.
    pub fn socket(&self) -> PathBuf {
        self.dir.path().join(format!("xenconsoled.notify.{}", self.keeper.id()))
    }

    /// The program that the keeper was started as.
    pub fn program(&self) -> PathBuf {
        self.dir.path().join("program")
    }

    /// Puts another file in its place, as an upgrade does.
    pub fn replace_program(&self) {
        let new = self.dir.path().join("new");
        std::fs::copy(self.program(), &new).unwrap();
        std::fs::rename(new, self.program()).unwrap();
    }

    /// The program that the keeper is, as the kernel shows it.
    pub fn keeper_program(&self) -> String {
        let link = std::fs::read_link(format!("/proc/{}/exe", self.keeper.id())).unwrap();
        link.to_str().unwrap().to_owned()
    }

    /// What the keeper has open, as the kernel shows it.
    pub fn keeper_descriptors(&self) -> Vec<String> {
        let all = std::fs::read_dir(format!("/proc/{}/fd", self.keeper.id())).unwrap();
        let links = all.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
        links.map(|link| link.to_str().unwrap().to_owned()).collect()
    }

    /// How many of these are pipes.
    pub fn keeper_pipes(&self, daemon: &Daemon) -> usize {
        // A keeper that hears it has done with the start, which takes a pipe.
        daemon.ask("barrier");
        self.keeper_descriptors().iter().filter(|name| name.starts_with("pipe:")).count()
    }

    /// Bytes of memory that the keeper uses (proc_pid_status(5), VmRSS).
    pub fn keeper_memory(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.keeper.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() << 10
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        // Errors mean that it has left already. Its daemon leaves when the line is cut.
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
        if std::thread::panicking() {
            eprintln!("{}", std::fs::read_to_string(self.dir.path().join("stderr")).unwrap_or_default());
        }
    }
}

impl Daemon {
    /// Tells it something.
    pub fn tell(&self, order: &str) {
        writeln!(self.line.get_ref(), "{order}").unwrap();
    }

    /// Tells it something and waits for the answer.
    pub fn ask(&self, order: &str) -> String {
        self.tell(order);
        let mut answer = String::new();
        // Never more than one answer is under way, so nothing is left behind in the buffer.
        BufReader::new(self.line.get_ref()).read_line(&mut answer).unwrap();
        assert!(answer.ends_with('\n'), "no answer to {order}: {answer:?}");
        answer.trim().to_owned()
    }

    /// It says that it serves.
    pub fn ready(&self) {
        self.ask("ready");
    }

    /// It stores so many pipes by a name. Answers as [`Daemon::received`] of the next one will be.
    pub fn store(&self, name: &str, count: usize) -> Vec<(String, String)> {
        let inodes = self.ask(&format!("store {name} {count}"));
        inodes.split(' ').map(|inode| (name.to_owned(), inode.to_owned())).collect()
    }

    pub fn signal(&self, signal: Signal) {
        // The keeper waits for it only after its end, so that this may be nobody's number, but hardly anybody else's.
        let _ = kill_process(self.pid, signal);
    }

    pub fn kill(&self) {
        self.signal(Signal::KILL);
    }

    /// Waits until it is gone.
    pub fn is_gone(&self) {
        until("the daemon's end", || test_kill_process(self.pid).is_err().then_some(()));
    }
}
