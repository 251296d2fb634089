//! The thread that answers the programs.

use std::collections::HashMap;
use std::fs::File;
use std::io::{IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::fs::OFlags;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

use super::call::{Call, SIZE};
use super::state::State;

/// The events of the listening socket, and those of the one that ends the thread.
const LISTENER: u64 = 0;
const END: u64 = 1;
/// Set in the events of the pipe that belongs to a connection.
const WORDS: u64 = 1 << 63;

/// What is read at once.
const MOST: usize = 256 * SIZE;

struct Connection {
    socket: UnixStream,
    /// The beginning of a question that has not come as a whole.
    rest: Vec<u8>,
    /// Where the program of a handle says what has no answer.
    words: Option<File>,
}

pub(crate) struct Server {
    state: Arc<Mutex<State>>,
    listener: UnixListener,
    epoll: OwnedFd,
    connections: HashMap<u64, Connection>,
    next: u64,
}

impl Server {
    /// A server that ends when the other end of `end` is closed.
    pub(crate) fn new(state: Arc<Mutex<State>>, listener: UnixListener, end: &UnixStream) -> std::io::Result<Server> {
        listener.set_nonblocking(true)?;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, &listener, epoll::EventData::new_u64(LISTENER), epoll::EventFlags::IN)?;
        epoll::add(&epoll, end, epoll::EventData::new_u64(END), epoll::EventFlags::IN)?;
        Ok(Server { state, listener, epoll, connections: HashMap::new(), next: END + 1 })
    }

    /// Answers until it is to end.
    ///
    /// # Panics
    /// If the system has no descriptor or no memory left for a test.
    pub(crate) fn run(mut self) {
        let mut events = Vec::with_capacity(64);
        loop {
            events.clear();
            let rest = self.state.lock().unwrap_or_else(PoisonError::into_inner).rest;
            let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
            if let Some(rest) = rest {
                std::thread::sleep(rest);
            }
            match epoll::wait(&self.epoll, spare_capacity(&mut events), rest.map(|_| &at_once)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(why) => panic!("the hypervisor cannot wait: {why}"),
            }
            for event in &events {
                match event.data.u64() {
                    LISTENER => self.accept(),
                    END => return,
                    words if words & WORDS != 0 => self.hear(words & !WORDS),
                    id => self.serve(id),
                }
            }
        }
    }

    fn accept(&mut self) {
        let socket = match self.listener.accept() {
            Ok((socket, _)) => socket,
            Err(why) if why.kind() == std::io::ErrorKind::WouldBlock => return,
            Err(why) => panic!("the hypervisor cannot take a connection: {why}"),
        };
        let (id, data) = (self.next, epoll::EventData::new_u64(self.next));
        epoll::add(&self.epoll, &socket, data, epoll::EventFlags::IN)
            .unwrap_or_else(|why| panic!("the hypervisor cannot wait for a connection: {why}"));
        self.connections.insert(id, Connection { socket, rest: Vec::new(), words: None });
        self.next += 1;
    }

    /// Does what the program behind this connection has told without waiting for an answer.
    fn hear(&mut self, id: u64) {
        let Some(Connection { socket, words: Some(words), .. }) = self.connections.get_mut(&id) else { return };
        let mut buffer = [0; MOST];
        // An error means that there is nothing more.
        while let Ok(count @ 1..) = words.read(&mut buffer) {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            // Each is written at once and shorter than what a pipe keeps together (pipe(7)), so all are whole.
            for word in buffer[..count].as_chunks::<SIZE>().0 {
                state.answer(id, Call::parse(word), socket, None);
            }
        }
    }

    /// Does all that this connection has asked for.
    fn serve(&mut self, id: u64) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let mut pipes = Vec::new();
        let came = receive(&connection.socket, &mut connection.rest, &mut pipes);
        let mut pipes = pipes.into_iter();
        // What was told before a question comes before it.
        self.hear(id);
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some((question, rest)) = connection.rest.split_first_chunk::<SIZE>() {
            let call = Call::parse(question);
            connection.rest = rest.to_vec();
            let pipe = pipes.next();
            // One who asks waits for the answer, so there is room for it. An error means that it is gone.
            if let Some(answer) = state.answer(id, call, &connection.socket, pipe) {
                let _ = connection.socket.write_all(&answer);
            }
            if let Some(words) = pipes.next() {
                connection.words = listen(&self.epoll, id, &words).ok();
            }
        }
        if !came {
            state.close(id);
            self.connections.remove(&id);
        }
    }
}

/// Waits for what comes through this pipe. It is opened anew, since the program's descriptor writes to it, and waits for room.
fn listen(epoll: &OwnedFd, id: u64, words: &OwnedFd) -> std::io::Result<File> {
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let words = File::options().read(true).custom_flags(flags).open(format!("/proc/self/fd/{}", words.as_raw_fd()))?;
    epoll::add(epoll, &words, epoll::EventData::new_u64(id | WORDS), epoll::EventFlags::IN)?;
    Ok(words)
}

/// Appends what has come; false at the connection's end.
fn receive(socket: &UnixStream, bytes: &mut Vec<u8>, pipes: &mut Vec<OwnedFd>) -> bool {
    let mut buffer = [0; MOST];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    let count = match recvmsg(socket, &mut [IoSliceMut::new(&mut buffer)], &mut control, flags) {
        Ok(came) => came.bytes,
        Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => return true,
        Err(_) => 0,
    };
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = message {
            pipes.extend(descriptors);
        }
    }
    bytes.extend(&buffer[..count]);
    count > 0
}
