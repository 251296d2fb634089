//! Waiting for a descriptor, with an end.

use std::os::fd::BorrowedFd;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// What ended the waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Woken {
    /// `stop` can be read.
    Stop,
    /// Anything else: look again.
    Other,
}

/// Waits until `fd` can be read (or written, where that is wanted too), `stop` can be read, or it is `until`. May end
/// early.
pub(crate) fn wait(fd: Option<(BorrowedFd<'_>, bool)>, stop: Option<BorrowedFd<'_>>, until: Instant) -> Woken {
    let mut fds = Vec::with_capacity(2);
    fds.extend(stop.as_ref().map(|stop| PollFd::from_borrowed_fd(*stop, PollFlags::IN)));
    if let Some((fd, wants_write)) = fd {
        let write = if wants_write { PollFlags::OUT } else { PollFlags::empty() };
        fds.push(PollFd::from_borrowed_fd(fd, PollFlags::IN | write));
    }
    let left = until.saturating_duration_since(Instant::now());
    // Longer than poll can tell is for ever; nobody asks for that.
    let left = Timespec::try_from(left).ok();
    match poll(&mut fds, left.as_ref()) {
        Ok(1..) if stop.is_some() && !fds[0].revents().is_empty() => Woken::Stop,
        // A signal, or a kernel without memory: the caller's loop looks at its deadline and comes back.
        _ => Woken::Other,
    }
}
