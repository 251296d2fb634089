//! Guests with consoles and the daemon that serves them, played by the test: their terminals, nodes, and status.

use std::fs;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use rustix::io::{Errno, read, write};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use testbed::until;

use crate::host::{Host, Process, XENLOG};

/// A pseudo terminal, both ends open.
pub struct Pty {
    pub master: OwnedFd,
    pub slave: OwnedFd,
    pub path: String,
}

impl Pty {
    /// One as a person has it.
    pub fn open() -> Pty {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY;
        let master = openpt(flags | OpenptFlags::CLOEXEC).unwrap();
        unlockpt(&master).unwrap();
        let slave = ioctl_tiocgptpeer(&master, flags | OpenptFlags::CLOEXEC).unwrap();
        rustix::io::ioctl_fionbio(&master, true).unwrap();
        let path = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
        Pty { master, slave, path }
    }

    /// One as a console daemon makes it.
    pub fn raw() -> Pty {
        let pty = Pty::open();
        let mut mode = tcgetattr(&pty.slave).unwrap();
        mode.make_raw();
        tcsetattr(&pty.slave, OptionalActions::Now, &mode).unwrap();
        pty
    }

    /// Writes to who has the other end.
    pub fn send(&self, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let written = until("room in a terminal", || unless_busy(write(&self.master, rest)));
            rest = &rest[written..];
        }
    }

    /// Waits for so many bytes from who has the other end.
    pub fn receive(&self, count: usize) -> Vec<u8> {
        let mut seen = Vec::new();
        while seen.len() < count {
            let mut buffer = vec![0; count - seen.len()];
            let length = until("bytes of a terminal", || unless_busy(read(&self.master, &mut buffer)));
            seen.extend(&buffer[..length]);
        }
        seen
    }

    /// Waits until the other end has said this.
    pub fn until_said(&self, text: &str) -> String {
        let mut seen = Vec::new();
        while !String::from_utf8_lossy(&seen).contains(text) {
            seen.extend(self.receive(1));
        }
        String::from_utf8_lossy(&seen).into_owned()
    }

    /// How it is set.
    pub fn mode(&self) -> Termios {
        tcgetattr(&self.slave).unwrap()
    }

    /// How it is set, as something that can be compared.
    pub fn modes(&self) -> String {
        let mode = self.mode();
        format!("{:?} {:?} {:?}", mode.input_modes, mode.output_modes, mode.local_modes)
    }

    /// An end for a program to run on.
    pub fn stdio(&self) -> Stdio {
        self.slave.as_fd().try_clone_to_owned().unwrap().into()
    }
}

fn unless_busy(result: Result<usize, Errno>) -> Option<usize> {
    match result {
        Ok(length) => Some(length),
        Err(Errno::WOULDBLOCK | Errno::INTR) => None,
        Err(error) => panic!("a terminal: {error}"),
    }
}

/// Writes the nodes of a guest with a console on this terminal, as libxl and the daemon do.
pub fn nodes(host: &Host, domid: u16, name: &str, tty: &str) {
    let mut client = host.client();
    client.write(&format!("/local/domain/{domid}/name"), name.as_bytes()).unwrap();
    client.write(&format!("/local/domain/{domid}/console/tty"), tty.as_bytes()).unwrap();
}

/// A guest's entry in the status, with a log.
pub fn console_json(domid: u16, name: &str, file: Option<&str>) -> serde_json::Value {
    let log = file.map(|_| serde_json::json!({"in": 70, "dropped": 6, "gaps": 1, "waiting": 0, "trouble": null}));
    serde_json::json!({
        "domid": domid, "kind": "pv", "name": name, "tty": "/dev/pts/77", "file": file, "out": 70, "in": 7,
        "dropped": 2000, "backlog": 3, "held": 4, "corrupt": 5, "log": log,
    })
}

/// A status socket that says what it is told to.
pub struct Status {
    path: PathBuf,
    text: Arc<Mutex<Option<String>>>,
    thread: Option<JoinHandle<()>>,
}

impl Status {
    pub fn serve(host: &Host, consoles: &[serde_json::Value]) -> Status {
        let path = host.run_dir().join("xenlog.status");
        let _ = fs::remove_file(&path);
        let listener = UnixListener::bind(&path).unwrap();
        let text: Arc<Mutex<Option<String>>> = Arc::default();
        let says = Arc::clone(&text);
        let thread = thread::spawn(move || {
            for stream in listener.incoming() {
                let Some(text) = says.lock().unwrap().clone() else { return };
                // Who has gone meanwhile does not want to know.
                let _ = stream.unwrap().write_all(text.as_bytes());
            }
        });
        let status = Status { path, text, thread: Some(thread) };
        status.say(consoles);
        status
    }

    pub fn say(&self, consoles: &[serde_json::Value]) {
        self.say_all(&serde_json::json!({ "logs": [], "consoles": consoles, "hypervisor": null }));
    }

    pub fn say_all(&self, all: &serde_json::Value) {
        *self.text.lock().unwrap() = Some(all.to_string());
    }
}

impl Drop for Status {
    fn drop(&mut self) {
        *self.text.lock().unwrap() = None;
        let _ = UnixStream::connect(&self.path);
        let _ = self.thread.take().map(JoinHandle::join);
        let _ = fs::remove_file(&self.path);
    }
}

/// `xenlog console` on this host, with a lock directory of the host's own.
pub fn console(host: &Host, arguments: &[&str]) -> Command {
    let mut command = host.command(XENLOG);
    command.arg("console").args(arguments).env("XEN_LOCK_DIR", host.store.dir());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// The same on a terminal of a person.
pub fn at_desk(host: &Host, desk: &Pty, arguments: &[&str]) -> Process {
    let mut command = console(host, arguments);
    command.stdin(desk.stdio()).stdout(desk.stdio()).stderr(desk.stdio());
    let process = Process::spawn(command);
    desk.until_said("ends it\r\n");
    process
}
