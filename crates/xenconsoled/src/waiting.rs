//! How an event loop waits for a connection that is lost and made again: with each, another descriptor.

use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::event::epoll;
use rustix::io::Errno;

/// What the event loop waits for now.
#[derive(Debug)]
pub struct Waiting {
    token: u64,
    /// Which connection, and whether to write.
    now: Option<(u64, bool)>,
}

impl Waiting {
    /// Nothing yet. Its events have this token.
    pub fn new(token: u64) -> Waiting {
        Waiting { token, now: None }
    }

    /// Has the event loop wait for the connection of this number, if there is one: its descriptor, and whether it wants to write.
    pub fn wait(&mut self, epoll: &OwnedFd, connection: u64, fd: Option<(BorrowedFd<'_>, bool)>) -> Result<(), Errno> {
        let Some((fd, write)) = fd else {
            // A descriptor that was closed is no longer waited for (epoll(7)).
            self.now = None;
            return Ok(());
        };
        let flags = if write { epoll::EventFlags::IN | epoll::EventFlags::OUT } else { epoll::EventFlags::IN };
        let data = epoll::EventData::new_u64(self.token);
        match self.now {
            Some(now) if now == (connection, write) => return Ok(()),
            Some((now, _)) if now == connection => epoll::modify(epoll, fd, data, flags)?,
            _ => epoll::add(epoll, fd, data, flags)?,
        }
        self.now = Some((connection, write));
        Ok(())
    }
}
