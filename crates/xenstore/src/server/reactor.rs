//! The thread that serves the store's sockets.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::mpsc::{Receiver, Sender};

use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno as SystemErrno;
use rustix::net::{SendFlags, SocketFlags};

use super::store::Store;
use super::watches::PeerId;
use crate::wire::Decoder;

/// Bytes read from one peer before it is another's turn.
const READ_MAX: usize = 64 << 10;

/// What the owner of the store wants done.
#[derive(Debug)]
pub(super) enum Command {
    Listen { listener: OwnedFd, domid: u32 },
    DropConnections,
    Pause,
    Resume,
    Stop,
}

/// Listeners, connections, and the store they lead to.
pub(super) struct Reactor {
    pub(super) store: Store,
    /// Becomes readable when there are commands.
    pub(super) wake: OwnedFd,
    /// Each with a sender that is told when it is done.
    pub(super) commands: Receiver<(Command, Sender<()>)>,
    pub(super) listeners: Vec<(OwnedFd, u32)>,
    pub(super) peers: Vec<Peer>,
    pub(super) next_peer: u64,
    pub(super) is_paused: bool,
}

pub(super) struct Peer {
    id: PeerId,
    fd: OwnedFd,
    decoder: Decoder,
}

/// Whether a peer stays.
#[derive(PartialEq, Eq)]
enum Verdict {
    Keep,
    Drop,
}

impl Reactor {
    /// Serves until [`Command::Stop`].
    pub(super) fn run(mut self) {
        loop {
            let ready = self.wait();
            if ready[0] {
                if self.obey() {
                    return;
                }
                // Who is there to be served may be others now.
                continue;
            }
            let (listeners, peers) = ready[1..].split_at(if self.is_paused { 0 } else { self.listeners.len() });
            // Backwards, and before new ones come, so that places stay what they were.
            for (index, _) in peers.iter().enumerate().rev().filter(|(_, is_ready)| **is_ready) {
                if self.serve(index) == Verdict::Drop {
                    let gone = self.peers.remove(index);
                    self.store.disconnect(gone.id);
                }
            }
            for (index, _) in listeners.iter().enumerate().filter(|(_, is_ready)| **is_ready) {
                self.accept(index);
            }
        }
    }

    /// Waits until something is ready: first of the result the commands, then each listener, then each peer.
    fn wait(&mut self) -> Vec<bool> {
        let mut fds = vec![PollFd::new(&self.wake, PollFlags::IN)];
        if !self.is_paused {
            fds.extend(self.listeners.iter().map(|(fd, _)| PollFd::new(fd, PollFlags::IN)));
            for peer in &self.peers {
                let has_output = self.store.outbox(peer.id).is_some_and(|out| !out.front().is_empty());
                let flags = if has_output { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN };
                fds.push(PollFd::new(&peer.fd, flags));
            }
        }
        match rustix::event::poll(&mut fds, None) {
            Ok(_) => fds.iter().map(|fd| !fd.revents().is_empty()).collect(),
            // A signal, or no memory just now: look again.
            Err(_) => vec![false; fds.len()],
        }
    }

    /// Carries commands out; true for the end.
    fn obey(&mut self) -> bool {
        let mut count = [0; 8];
        // Only emptied; what there is to do is in the channel.
        let _ = rustix::io::read(&self.wake, &mut count);
        while let Ok((command, done)) = self.commands.try_recv() {
            let is_stop = matches!(command, Command::Stop);
            match command {
                Command::Listen { listener, domid } => self.listeners.push((listener, domid)),
                Command::DropConnections => {
                    for peer in self.peers.drain(..) {
                        self.store.disconnect(peer.id);
                    }
                }
                Command::Pause => self.is_paused = true,
                Command::Resume => self.is_paused = false,
                Command::Stop => {}
            }
            // Nobody waits any more: fine.
            let _ = done.send(());
            if is_stop {
                return true;
            }
        }
        false
    }

    fn accept(&mut self, index: usize) {
        let (listener, domid) = &self.listeners[index];
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        while let Ok(fd) = rustix::net::accept_with(listener, flags) {
            self.next_peer += 1;
            let id = PeerId(self.next_peer);
            self.store.connect(id, *domid);
            self.peers.push(Peer { id, fd, decoder: Decoder::new() });
        }
    }

    fn serve(&mut self, index: usize) -> Verdict {
        let peer = &mut self.peers[index];
        let mut buffer = [0; 16 << 10];
        let mut total = 0;
        let mut verdict = Verdict::Keep;
        while total < READ_MAX && verdict == Verdict::Keep {
            match rustix::io::read(&peer.fd, &mut buffer) {
                Ok(0) => verdict = Verdict::Drop,
                Ok(count) => {
                    total += count;
                    let mut input = &buffer[..count];
                    loop {
                        match peer.decoder.next(&mut input) {
                            Ok(Some(message)) => self.store.receive(peer.id, &message),
                            Ok(None) => break,
                            Err(_) => {
                                verdict = Verdict::Drop;
                                break;
                            }
                        }
                    }
                }
                Err(SystemErrno::INTR) => {}
                Err(SystemErrno::AGAIN) => break,
                Err(_) => verdict = Verdict::Drop,
            }
        }
        match self.send(index) {
            Verdict::Drop => Verdict::Drop,
            Verdict::Keep => verdict,
        }
    }

    fn send(&mut self, index: usize) -> Verdict {
        let peer = &self.peers[index];
        let Some(out) = self.store.outbox(peer.id) else { return Verdict::Drop };
        while !out.front().is_empty() {
            match rustix::net::send(peer.fd.as_fd(), out.front(), SendFlags::NOSIGNAL) {
                Ok(count) => out.advance(count),
                Err(SystemErrno::INTR) => {}
                Err(SystemErrno::AGAIN) => break,
                Err(_) => return Verdict::Drop,
            }
        }
        Verdict::Keep
    }
}
