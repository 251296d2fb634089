//! Standard output, which must not hold up anything.

use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::event::{PollFd, PollFlags};
use rustix::fs::{FileType, Mode, OFlags, fstat, open};
use rustix::io::Errno;

use super::queue::Queue;
use crate::follow::readiness;

/// How much a pipe takes at once, or nothing, without being waited for (pipe(7), `PIPE_BUF`).
const AT_ONCE: usize = 4096;

/// Standard output and what is still to be shown on it.
#[derive(Debug)]
pub struct Screen {
    fd: OwnedFd,
    /// How much may be written when it can be written.
    at_once: usize,
    queue: Queue,
}

impl Screen {
    /// Takes standard output, by a description of our own: others who have the same one would not expect it to be
    /// non-blocking. Where there is none to be had, such as of another user's terminal, little is written at a time.
    pub fn open() -> io::Result<Screen> {
        let out = io::stdout();
        let is_pipe = fstat(&out).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Fifo);
        let own = (is_pipe || out.is_terminal()).then(|| {
            let flags = OFlags::WRONLY | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
            open(format!("/proc/self/fd/{}", out.as_raw_fd()), flags, Mode::empty())
        });
        let (fd, at_once) = match own {
            Some(Ok(own)) => (own, usize::MAX),
            _ => (out.as_fd().try_clone_to_owned()?, AT_ONCE),
        };
        Ok(Screen { fd, at_once, queue: Queue::default() })
    }

    /// Puts bytes at the end of what is to be shown.
    pub fn push(&mut self, bytes: &[u8]) {
        self.queue.push(bytes);
    }

    /// For how many bytes more there is room.
    pub fn room(&self) -> usize {
        self.queue.room()
    }

    /// Whether all is shown.
    pub fn is_done(&self) -> bool {
        self.queue.is_empty()
    }

    /// What to wait for: that more can be shown, or that the reader goes away.
    pub fn interest(&self) -> PollFd<'_> {
        let flags = if self.queue.is_empty() { PollFlags::empty() } else { PollFlags::OUT };
        PollFd::new(&self.fd, flags)
    }

    /// Shows what can be shown now.
    ///
    /// # Errors
    /// [`Errno::PIPE`] when nobody reads it any more, else the system's.
    pub fn show(&mut self) -> Result<(), Errno> {
        let now = readiness(self.fd.as_fd(), PollFlags::OUT);
        if now.intersects(PollFlags::ERR | PollFlags::HUP) {
            return Err(Errno::PIPE);
        }
        if now.contains(PollFlags::OUT) { self.queue.send(&self.fd, self.at_once) } else { Ok(()) }
    }
}
