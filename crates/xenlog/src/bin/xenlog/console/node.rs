//! The node that names a console's terminal, followed.

use std::os::fd::BorrowedFd;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags};
use xenlog::console::Console;
use xenstore::{Address, Error, Reply, Request, RequestId, Session, SessionEvent, TxId};

/// What a look at the node found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// There is no such node.
    Nothing,
    /// It is there, and names no terminal yet.
    Empty,
    /// It names this.
    Tty(String),
    /// The guest may have written it, so what it names is not to be touched.
    Guests,
}

/// The node of one console. Each change leads to a look; what is found is always the newest.
#[derive(Debug)]
pub struct Node {
    session: Session,
    console: Console,
    path: String,
    is_dirty: bool,
    look: Option<Look>,
}

/// A look under way: the value is asked for first, so that the permissions are not those of an older node.
#[derive(Debug)]
struct Look {
    value: RequestId,
    perms: RequestId,
    read: Option<Result<Vec<u8>, Error>>,
}

impl Node {
    /// Begins to follow it.
    ///
    /// # Errors
    /// None that a console's path can cause.
    pub fn follow(store: Vec<Address>, console: Console) -> Result<Node, Error> {
        let mut session = Session::new(store);
        let path = console.tty_node();
        session.watch(&path, "tty")?;
        // The watch's own first event, or the session's, asks for the first look.
        Ok(Node { session, console, path, is_dirty: false, look: None })
    }

    /// Asks for another look.
    pub fn look_again(&mut self) {
        self.is_dirty = true;
    }

    /// What to wait for.
    pub fn interest(&self) -> Option<PollFd<'_>> {
        let write = if self.session.wants_write() { PollFlags::OUT } else { PollFlags::empty() };
        self.session.as_fd().map(|fd: BorrowedFd<'_>| PollFd::from_borrowed_fd(fd, PollFlags::IN | write))
    }

    /// When to call [`Node::process`] at the latest.
    pub fn deadline(&self) -> Option<Instant> {
        self.session.deadline()
    }

    /// Goes on; gives what a look found, if one has ended. While the store is away nothing is found, and the terminal
    /// that is known stays what it is.
    pub fn process(&mut self, now: Instant) -> Option<Found> {
        let mut found = None;
        loop {
            // The answer to what was asked at the end of the last round may be here already, and nothing would wake for it.
            self.session.process(now);
            while let Some(event) = self.session.next() {
                match event {
                    SessionEvent::Event(_) | SessionEvent::Rescan => self.is_dirty = true,
                    SessionEvent::Reply { id, result } => found = self.take(id, result).or(found),
                    SessionEvent::Lost(_) => self.look = None,
                }
            }
            if !self.is_dirty || self.look.is_some() || !self.session.is_connected() {
                return found;
            }
            self.look = self.ask().ok();
            self.is_dirty = self.look.is_none();
            if self.is_dirty {
                return found;
            }
        }
    }

    fn ask(&mut self) -> Result<Look, Error> {
        let value = self.session.submit(TxId::NONE, Request::Read { path: &self.path })?;
        let perms = self.session.submit(TxId::NONE, Request::GetPerms { path: &self.path })?;
        Ok(Look { value, perms, read: None })
    }

    fn take(&mut self, id: RequestId, result: Result<Reply, Error>) -> Option<Found> {
        let look = self.look.as_mut()?;
        if id == look.value {
            look.read = Some(match result {
                Ok(Reply::Value(value)) => Ok(value),
                Ok(_) => Ok(Vec::new()),
                Err(error) => Err(error),
            });
            return None;
        }
        if id != look.perms {
            return None;
        }
        let value = self.look.take().and_then(|look| look.read)?;
        match (value, result) {
            (Ok(value), Ok(Reply::Perms(perms))) if !self.console.is_guests(&perms) => Some(tty(value)),
            (Ok(_), Ok(_)) => Some(Found::Guests),
            (Err(error), _) | (_, Err(error)) if error.is_absent() => Some(Found::Nothing),
            // The connection was lost: there is another look after it.
            _ => None,
        }
    }
}

fn tty(value: Vec<u8>) -> Found {
    match String::from_utf8(value) {
        Ok(path) if path.is_empty() => Found::Empty,
        Ok(path) => Found::Tty(path),
        Err(error) => Found::Tty(String::from_utf8_lossy(error.as_bytes()).into_owned()),
    }
}
