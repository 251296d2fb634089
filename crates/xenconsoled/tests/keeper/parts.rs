//! The keeper and the daemon, as the test program plays them. Each runs in a process of its own, and ends it.

use std::fs::File;
use std::io::{BufRead, BufReader, IoSlice, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::fs::fstat;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use rustix::process::{Resource, Rlimit, getpid, setrlimit};
use signal_hook::consts::{SIGABRT, SIGHUP, SIGTERM};
use xenconsoled::keeper::{self, Plan};
use xenconsoled::notify::{self, Notify};

/// Where the scene is, in the environment of both parts.
pub const PLACE: &str = "KEEPER_TEST_PLACE";
/// How long the daemon may be silent, in ms.
pub const WATCHDOG: &str = "KEEPER_TEST_WATCHDOG";
/// How many descriptors the keeper may have open.
pub const DESCRIPTORS: &str = "KEEPER_TEST_DESCRIPTORS";

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// The arguments with which the test program plays a part.
pub fn args(program: &str, part: &str) -> Vec<std::ffi::OsString> {
    [program, part, "--exact", "--nocapture"].map(Into::into).to_vec()
}

pub fn keeper() {
    let Some(place) = std::env::var_os(PLACE).map(PathBuf::from) else { return };
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) }).unwrap();
    if let Some(most) = number(DESCRIPTORS) {
        setrlimit(Resource::Nofile, Rlimit { current: Some(most), maximum: Some(most) }).unwrap();
    }
    let program = place.join("program");
    let name = program.to_str().unwrap();
    let status = keeper::run(Plan {
        args: args(name, "keeper_part"),
        daemon_args: args(name, "daemon_part"),
        run: place,
        watchdog: number(WATCHDOG).map(Duration::from_millis),
        program,
    });
    std::process::exit(status.unwrap().into());
}

pub fn daemon() {
    let Some(place) = std::env::var_os(PLACE).map(PathBuf::from) else { return };
    let open: Vec<String> = open_descriptors().iter().map(u32::to_string).collect();
    let (notify, received) = notify::from_env();
    let line = UnixStream::connect(place.join("line")).unwrap();
    let received_as: String = received.iter().map(|(name, pipe)| format!(" {name}={}", inode(pipe))).collect();
    writeln!(&line, "{} {}{received_as}", getpid().as_raw_nonzero(), open.join(",")).unwrap();
    Daemon { notify: notify.unwrap(), received, line, hangup: Arc::default(), is_alive: true }.obey();
    std::process::exit(0);
}

struct Daemon {
    notify: Notify,
    received: notify::Descriptors,
    line: UnixStream,
    hangup: Arc<AtomicBool>,
    is_alive: bool,
}

impl Daemon {
    /// Does what comes over the line, until it is cut.
    fn obey(&mut self) {
        signal_hook::flag::register_conditional_shutdown(SIGTERM, 7, Arc::new(true.into())).unwrap();
        signal_hook::flag::register(SIGHUP, Arc::clone(&self.hangup)).unwrap();
        self.line.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let mut lines = BufReader::new(self.line.try_clone().unwrap());
        let mut order = String::new();
        loop {
            if self.is_alive {
                self.notify.alive(Instant::now());
            }
            self.notify.process();
            match lines.read_line(&mut order) {
                Ok(0) => return,
                Ok(_) => {
                    let answer = self.answer(order.trim());
                    writeln!(&self.line, "{answer}").unwrap();
                    order.clear();
                }
                Err(_) => {}
            }
        }
    }

    fn answer(&mut self, order: &str) -> String {
        let words: Vec<&str> = order.split(' ').collect();
        let count = || words[words.len() - 1].parse::<usize>().unwrap();
        match words[0] {
            "ready" => self.notify.ready(),
            "status" => self.notify.status(order),
            "remove" => self.notify.remove(words[1]),
            "hangup" => return self.hangup.load(Ordering::SeqCst).to_string(),
            "texts" => return self.received.iter().map(|(_, pipe)| text(pipe)).collect(),
            "store" => {
                let pipes: Vec<OwnedFd> = (0..count()).map(|_| filled_pipe()).collect();
                let all: Vec<_> = pipes.iter().map(AsFd::as_fd).collect();
                assert!(self.notify.store(words[1], &all));
                self.flush();
                return pipes.iter().map(inode).collect::<Vec<_>>().join(" ");
            }
            "store-what-fits" => {
                self.flush();
                let stored = (0..count()).take_while(|_| {
                    assert!(self.notify.store("last", &[filled_pipe().as_fd()]));
                    // The one that does not fit is not sent.
                    self.notify.is_flushed()
                });
                return stored.count().to_string();
            }
            "flood" => {
                // A line that was not told how much there may be.
                self.notify = Notify::connect(&address(), None).unwrap();
                for number in 0..count() {
                    self.notify.store(&format!("flood-{number}"), &[self.line.as_fd()]);
                    self.flush();
                }
            }
            "chatter" => {
                let keeper = keeper_line();
                let long = "x".repeat(3900);
                for number in 0..count() {
                    let text = format!(
                        "STATUS={long}\nFDSTORE=1\nFDNAME=nothing-{number}\nFDNAME=x{number}:\n{number}={long}"
                    );
                    keeper.send(&text.as_bytes()[..4096]).unwrap();
                    keeper.send(format!("FDSTOREREMOVE=1\nFDNAME=never-{number}").as_bytes()).unwrap();
                }
            }
            "barrier" => return barrier(),
            "keeper" => {
                while !self.notify.is_gone() {
                    self.notify.status("is anybody there");
                }
                return "gone".into();
            }
            "ready-for-anything" => {
                signal_hook::flag::register(SIGABRT, Arc::default()).unwrap();
                self.notify.ready();
                // And silent from now on.
                self.is_alive = false;
            }
            "wedge" => loop {
                std::thread::park();
            },
            "leave" => std::process::exit(words[1].parse().unwrap()),
            other => panic!("{other}"),
        }
        self.flush();
        "done".into()
    }

    fn flush(&mut self) {
        while self.notify.wants_write() {
            std::thread::yield_now();
            self.notify.process();
        }
    }
}

fn address() -> std::ffi::OsString {
    std::env::var_os("NOTIFY_SOCKET").unwrap()
}

/// A line that waits until the keeper takes what is said.
fn keeper_line() -> UnixDatagram {
    let line = UnixDatagram::unbound().unwrap();
    line.connect(address()).unwrap();
    line
}

/// As sd_notify_barrier(3): the other end of a pipe is closed when everything before was done.
fn barrier() -> String {
    let (reader, writer) = std::io::pipe().unwrap();
    let keeper = keeper_line();
    let descriptors = [writer.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    assert!(control.push(SendAncillaryMessage::ScmRights(&descriptors)));
    sendmsg(&keeper, &[IoSlice::new(b"BARRIER=1")], &mut control, SendFlags::empty()).unwrap();
    drop(writer);
    assert_eq!(std::io::read_to_string(reader).unwrap(), "");
    "lifted".into()
}

/// The read end of a pipe with a text in it; nobody writes to it any more.
fn filled_pipe() -> OwnedFd {
    let (reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(b"text;").unwrap();
    reader.into()
}

fn text(pipe: &OwnedFd) -> String {
    std::io::read_to_string(File::from(pipe.try_clone().unwrap())).unwrap()
}

fn inode(pipe: &OwnedFd) -> String {
    fstat(pipe).unwrap().st_ino.to_string()
}

/// Numbers of what is open, but for the directory that is read to know it.
fn open_descriptors() -> Vec<u32> {
    let numbers = std::fs::read_dir("/proc/self/fd").unwrap();
    let mut numbers: Vec<u32> =
        numbers.map(|entry| entry.unwrap().file_name().to_str().unwrap().parse().unwrap()).collect();
    numbers.retain(|number| std::fs::read_link(format!("/proc/self/fd/{number}")).is_ok());
    numbers.sort_unstable();
    numbers
}
