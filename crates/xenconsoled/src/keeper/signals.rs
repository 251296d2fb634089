//! The keeper's signals.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM, SIGUSR2};

/// What the keeper is told by signals.
const TOLD: [i32; 4] = [SIGTERM, SIGINT, SIGHUP, SIGUSR2];

/// Signals that came and were not looked at yet.
#[derive(Debug)]
pub struct Signals {
    bell: UnixStream,
    came: [(i32, Arc<AtomicBool>); TOLD.len()],
}

impl Signals {
    /// Catches them from now on, and lets those through that [`Signals::hold`] has kept back before exec(2). The end of a child
    /// only rings the bell; and it is no longer ignored, if that was inherited.
    pub fn catch() -> io::Result<Signals> {
        let (bell, rings) = UnixStream::pair()?;
        bell.set_nonblocking(true)?;
        let came = TOLD.map(|signal| (signal, Arc::new(AtomicBool::new(false))));
        for (signal, came) in &came {
            signal_hook::flag::register(*signal, Arc::clone(came))?;
        }
        for signal in TOLD.into_iter().chain([SIGCHLD]) {
            signal_hook::low_level::pipe::register(signal, rings.try_clone()?)?;
        }
        Signals::release();
        Ok(Signals { bell, came })
    }

    /// The next one that came, each once however often it did.
    pub fn next(&self) -> Option<i32> {
        while rustix::io::read(&self.bell, &mut [0; 64]).is_ok_and(|read| read > 0) {}
        self.came.iter().find(|(_, came)| came.swap(false, Ordering::SeqCst)).map(|(signal, _)| *signal)
    }

    /// Keeps back what comes from now on, also for the program that is executed next.
    pub fn hold() {
        xen_sys::signals::block(&TOLD);
    }

    /// Lets through what was kept back.
    pub fn release() {
        xen_sys::signals::unblock(&TOLD);
    }
}

impl AsFd for Signals {
    /// Readable when there is something to look at.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::{Signal, getpid, kill_process};

    #[test]
    fn a_signal_rings_the_bell_and_is_told_once() {
        let signals = Signals::catch().unwrap();
        assert_eq!(signals.next(), None);
        kill_process(getpid(), Signal::HUP).unwrap();
        kill_process(getpid(), Signal::HUP).unwrap();
        let mut bell = [rustix::event::PollFd::new(&signals, rustix::event::PollFlags::IN)];
        assert_eq!(rustix::event::poll(&mut bell, None).unwrap(), 1);
        assert_eq!((signals.next(), signals.next()), (Some(SIGHUP), None));
    }
}
