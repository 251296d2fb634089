//! An embedded store: nodes, permissions, watches, transactions with conflicts and limits as in Xen's own stores, for
//! trying and testing on a machine without Xen. Everything is in memory and gone with the [`Server`].
//!
//! Who connects to its socket is domain 0, as with xenstored; [`Server::listen_as`] adds sockets for other domains.
//! What it does not have: CONTROL, RESUME, SET_TARGET and rings of real domains.

mod call;
mod change;
mod outbox;
mod reactor;
mod store;
mod transaction;
mod tree;
mod watches;

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use rustix::event::EventfdFlags;
use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use crate::{Address, Error, wire};
use reactor::{Command, Reactor};
use store::Store;

/// What a store allows, for every connection alike (xenstored exempts domain 0).
#[derive(Debug, Clone)]
pub struct Limits {
    /// Nodes in all; `ENOSPC` beyond.
    pub nodes: usize,
    /// Bytes of a node's value; `ENOSPC` beyond.
    pub value: usize,
    /// Bytes of an absolute path; `EINVAL` beyond.
    pub path: usize,
    /// Watches of one connection; `E2BIG` beyond.
    pub watches: usize,
    /// Transactions of one connection that go on at the same time; `ENOSPC` beyond.
    pub transactions: usize,
}

impl Default for Limits {
    /// So much that only the protocol's own limits are felt.
    fn default() -> Self {
        Limits {
            nodes: 1 << 20,
            value: wire::PAYLOAD_MAX,
            path: crate::path::PATH_MAX,
            watches: 1 << 16,
            transactions: 1 << 10,
        }
    }
}

/// A store that runs, in a thread of its own, until it is dropped.
#[derive(Debug)]
pub struct Server {
    socket: PathBuf,
    sockets: Vec<PathBuf>,
    wake: OwnedFd,
    commands: Sender<(Command, Sender<()>)>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Starts an empty store that listens at `socket`, for its owner alone (mode 0600). A socket file that lies there
    /// is replaced.
    ///
    /// # Errors
    /// [`Error::Listen`].
    pub fn start(socket: impl Into<PathBuf>, limits: Limits) -> Result<Server, Error> {
        let socket = socket.into();
        let listener = listen(&socket)?;
        let refused = |source| Error::Listen { path: socket.clone(), source };
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        let wake = rustix::event::eventfd(0, flags).map_err(refused)?;
        let (commands, receiver) = channel();
        let reactor = Reactor {
            store: Store::new(limits),
            wake: wake.try_clone().map_err(|error| refused(system_error(&error)))?,
            commands: receiver,
            listeners: vec![(listener, 0)],
            peers: Vec::new(),
            next_peer: 0,
            is_paused: false,
        };
        let thread = std::thread::Builder::new()
            .name("xenstore".into())
            .spawn(|| reactor.run())
            .map_err(|error| refused(system_error(&error)))?;
        Ok(Server { sockets: vec![socket.clone()], socket, wake, commands, thread: Some(thread) })
    }

    /// Listens at a further `socket`, whose connections are those of domain `domid`: its permissions, and paths that
    /// do not begin with `/` below its home.
    ///
    /// # Errors
    /// [`Error::Listen`].
    pub fn listen_as(&mut self, domid: u32, socket: impl Into<PathBuf>) -> Result<(), Error> {
        let socket = socket.into();
        let listener = listen(&socket)?;
        self.sockets.push(socket);
        self.command(Command::Listen { listener, domid });
        Ok(())
    }

    /// The socket of domain 0.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Where clients find it.
    pub fn address(&self) -> Address {
        Address::unix(&self.socket)
    }

    /// Closes every connection, with what waits in it, as a store that is started anew; nodes stay. Returns when it
    /// is done.
    pub fn drop_connections(&self) {
        self.command(Command::DropConnections);
    }

    /// Stops reading and answering, with every connection open, until [`Server::resume`]. Returns when it is done.
    pub fn pause(&self) {
        self.command(Command::Pause);
    }

    /// Goes on after [`Server::pause`].
    pub fn resume(&self) {
        self.command(Command::Resume);
    }

    /// Has the thread do something and waits for it; the thread itself waits for nobody.
    fn command(&self, command: Command) {
        let (done, wait) = channel();
        if self.commands.send((command, done)).is_ok() {
            // The counter of an eventfd cannot be full here. If the thread is gone, so is `done`, and recv() ends.
            let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
            let _ = wait.recv();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.command(Command::Stop);
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was reported by the thread.
            let _ = thread.join();
        }
        for socket in &self.sockets {
            let _ = std::fs::remove_file(socket);
        }
    }
}

fn listen(path: &Path) -> Result<OwnedFd, Error> {
    let bind = || {
        let name = SocketAddrUnix::new(path)?;
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let fd = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        match rustix::fs::unlink(path) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(error),
        }
        rustix::net::bind(&fd, &name)?;
        rustix::fs::chmod(path, Mode::RUSR | Mode::WUSR)?;
        rustix::net::listen(&fd, 128)?;
        Ok(fd)
    };
    bind().map_err(|source| Error::Listen { path: path.to_owned(), source })
}

fn system_error(error: &std::io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}
