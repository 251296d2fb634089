//! A stand-in for systemd as the daemon sees it: starts it again whenever it ends, and keeps descriptors for it
//! (sd_notify(3), `FDSTORE=1`; sd_listen_fds(3)). Where systemd promises nothing (how soon it reads, in which order
//! descriptors come back), it is as unkind as it may be.

use std::ffi::OsString;
use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions, kill_process, pidfd_open, waitpid};
use testbed::until;
use xen_sys::spawn::Program;

use super::random::Random;

/// FileDescriptorStoreMax.
const MOST: usize = 1000;
/// The most descriptors of one message (`SCM_MAX_FD`).
const AT_ONCE: usize = 253;

/// The stand-in at work.
pub struct Manager {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    /// It is waited for with this lock held, so as long as it is here its number is its own.
    daemon: Mutex<Option<Pid>>,
    /// No other one is to follow.
    last: AtomicBool,
    starts: AtomicUsize,
    /// How the last one ended, if by itself.
    status: Mutex<Option<i32>>,
}

struct Kept {
    name: String,
    fd: OwnedFd,
    /// Not said otherwise, systemd closes what is hung up.
    polled: bool,
}

struct Thread {
    shared: Arc<Shared>,
    /// A shell's command line that executes the program, with its standard error in a file.
    words: Vec<OsString>,
    socket: Option<(UnixDatagram, PathBuf)>,
    env: Vec<(OsString, OsString)>,
    kept: Vec<Kept>,
    random: Random,
}

impl Manager {
    /// Starts a program and goes on to do so. With a path for the socket it keeps descriptors, too.
    pub fn start(
        program: &Path,
        args: &[OsString],
        env: &[(OsString, OsString)],
        socket: Option<&Path>,
        stderr: &Path,
        seed: u64,
    ) -> Manager {
        let shared = Arc::new(Shared::default());
        let socket = socket.map(|path| (UnixDatagram::bind(path).unwrap(), path.to_owned()));
        let mut words: Vec<OsString> = ["sh", "-c", "exec \"$@\" 2>>\"$0\""].map(OsString::from).into();
        words.extend([stderr.into(), program.into()]);
        words.extend(args.iter().cloned());
        let thread = Thread {
            shared: Arc::clone(&shared),
            words,
            socket,
            env: env.to_vec(),
            kept: Vec::new(),
            random: Random::new(seed),
        };
        let thread = std::thread::Builder::new().name("manager".into()).spawn(move || thread.run()).unwrap();
        Manager { shared, thread: Some(thread) }
    }

    /// The daemon that runs now.
    pub fn daemon(&self) -> Option<Pid> {
        *self.shared.daemon.lock().unwrap()
    }

    /// How often one was started.
    pub fn starts(&self) -> usize {
        self.shared.starts.load(Ordering::Relaxed)
    }

    /// Sends it a signal. False if there is none.
    pub fn signal(&self, signal: Signal) -> bool {
        self.shared.daemon.lock().unwrap().is_some_and(|pid| kill_process(pid, signal).is_ok())
    }

    /// Stops it for good. Answers with its status, if it ended by itself.
    pub fn stop(&mut self) -> Option<i32> {
        until("a daemon to stop", || self.daemon());
        self.shared.last.store(true, Ordering::SeqCst);
        self.signal(Signal::TERM);
        self.join();
        *self.shared.status.lock().unwrap()
    }

    /// Kills it for good.
    pub fn kill(&mut self) {
        self.shared.last.store(true, Ordering::SeqCst);
        self.signal(Signal::KILL);
        self.join();
    }

    fn join(&mut self) {
        if let Some(thread) = self.thread.take() {
            until("the service's end", || thread.is_finished().then_some(()));
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking(), "the stand-in for systemd failed");
        }
    }
}

impl Thread {
    fn run(mut self) {
        while !self.shared.last.load(Ordering::SeqCst) {
            self.live();
            if !self.shared.last.load(Ordering::SeqCst) && !self.random.one_in(4) {
                std::thread::sleep(self.random.time(Duration::from_millis(100)));
            }
        }
    }

    /// One daemon's life.
    fn live(&mut self) {
        let shared = Arc::clone(&self.shared);
        let daemon = {
            let mut daemon = shared.daemon.lock().unwrap();
            if shared.last.load(Ordering::SeqCst) {
                return;
            }
            let pid = self.spawn();
            *daemon = Some(pid);
            pidfd_open(pid, PidfdFlags::empty()).unwrap()
        };
        shared.starts.fetch_add(1, Ordering::Relaxed);
        loop {
            let ended = self.has_ended(&daemon);
            if self.random.one_in(3) {
                std::thread::sleep(self.random.time(Duration::from_millis(20)));
            }
            self.read();
            self.close_hung_up();
            if ended {
                let mut daemon = shared.daemon.lock().unwrap();
                let (_, status) = waitpid(*daemon, WaitOptions::empty()).unwrap().unwrap();
                *shared.status.lock().unwrap() = status.exit_status();
                *daemon = None;
                return;
            }
        }
    }

    /// Waits until something happens. True if it is the daemon's end.
    fn has_ended(&self, daemon: &OwnedFd) -> bool {
        let mut events = vec![PollFd::new(daemon, PollFlags::IN)];
        events.extend(self.socket.as_ref().map(|(socket, _)| PollFd::new(socket, PollFlags::IN)));
        poll(&mut events, Some(&Timespec { tv_sec: 1, tv_nsec: 0 })).unwrap();
        !events[0].revents().is_empty()
    }

    fn spawn(&mut self) -> Pid {
        self.random.shuffle(&mut self.kept);
        let (names, descriptors): (Vec<&str>, Vec<BorrowedFd<'_>>) =
            self.kept.iter().map(|kept| (&kept.name[..], kept.fd.as_fd())).unzip();
        let mut env = self.env.clone();
        if let Some((_, path)) = &self.socket {
            env.push(("NOTIFY_SOCKET".into(), path.into()));
            env.push(("FDSTORE".into(), MOST.to_string().into()));
            if !names.is_empty() {
                env.push(("LISTEN_FDS".into(), names.len().to_string().into()));
                env.push(("LISTEN_FDNAMES".into(), names.join(":").into()));
            }
        }
        let own_id: &[&str] = if names.is_empty() { &[] } else { &["LISTEN_PID"] };
        let program = Program::new(Path::new("/bin/sh"), self.words.iter().cloned(), env).unwrap();
        program.spawn(own_id, &descriptors).unwrap()
    }

    fn read(&mut self) {
        let Some((socket, _)) = &self.socket else { return };
        loop {
            let mut text = vec![0; 8192];
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(AT_ONCE))];
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
            let Ok(came) = recvmsg(socket, &mut [IoSliceMut::new(&mut text)], &mut control, flags) else { return };
            let mut descriptors = Vec::new();
            for message in control.drain() {
                if let RecvAncillaryMessage::ScmRights(rights) = message {
                    descriptors.extend(rights);
                }
            }
            let text = String::from_utf8(text[..came.bytes].to_vec()).unwrap();
            let has = |line| text.lines().any(|other| other == line);
            let name = text.lines().find_map(|line| line.strip_prefix("FDNAME=")).unwrap_or("stored");
            if has("FDSTOREREMOVE=1") {
                self.kept.retain(|kept| kept.name != name);
            }
            if has("FDSTORE=1") {
                let polled = !has("FDPOLL=0");
                self.kept.extend(descriptors.into_iter().map(|fd| Kept { name: name.to_owned(), fd, polled }));
                assert!(self.kept.len() <= MOST, "more is stored than there is room for");
            }
        }
    }

    fn close_hung_up(&mut self) {
        let is_hung_up = |kept: &Kept| {
            let mut event = [PollFd::new(&kept.fd, PollFlags::empty())];
            poll(&mut event, Some(&Timespec::default())).unwrap() > 0
        };
        self.kept.retain(|kept| !kept.polled || !is_hung_up(kept));
    }
}
