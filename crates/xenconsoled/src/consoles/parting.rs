//! Ptys of domains that are gone. A pty that is closed loses what its clients have not read yet, so it stays until they have, or for a
//! moment where nobody does.

use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::backlog::Backlog;
use super::pty::Pty;

/// How long it stays at most.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often it is looked at.
const EVERY: Duration = Duration::from_millis(10);

/// All of them.
#[derive(Debug, Default)]
pub struct Partings {
    all: Vec<Parting>,
    next: Option<Instant>,
}

#[derive(Debug)]
struct Parting {
    pty: Pty,
    backlog: Backlog,
    until: Instant,
}

impl Partings {
    /// One more.
    pub fn add(&mut self, pty: Pty, backlog: Backlog, now: Instant) {
        self.all.push(Parting { pty, backlog, until: now + PATIENCE });
        self.next = Some(now);
    }

    /// When [`Partings::process`] wants to be called.
    pub fn deadline(&self) -> Option<Instant> {
        self.next
    }

    /// Shows what there is room for, and closes those that are done with.
    pub fn process(&mut self, now: Instant) {
        if self.next.is_none_or(|next| next > now) {
            return;
        }
        self.all.retain_mut(|parting| now < parting.until && parting.goes_on());
        self.next = (!self.all.is_empty()).then_some(now + EVERY);
    }
}

impl Parting {
    fn goes_on(&mut self) -> bool {
        let mut chunk = [0; 4096];
        loop {
            let count = match self.backlog.peek(&mut chunk) {
                Ok(0) => break,
                Ok(count) => count,
                // For want of memory: there may be some the next time.
                Err(_) => return true,
            };
            match self.pty.write(&chunk[..count]) {
                Ok(written @ 1..) if self.backlog.consume(written).is_ok() => {}
                Ok(_) => return true,
                Err(_) => return false,
            }
        }
        // What clients can read and have not. poll(2) also sees what is on its way from the master to the slave; FIONREAD does not
        // (`n_tty_poll`, drivers/tty/n_tty.c).
        let slave = self.pty.slave();
        let mut unread = [PollFd::from_borrowed_fd(slave, PollFlags::IN)];
        poll(&mut unread, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok_and(|ready| ready > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::Read;

    /// A pty was closed before what had just been written to it had come to its slave: a guest's last words were lost.
    #[test]
    fn what_was_written_last_is_read_before_it_is_gone() {
        for _ in 0..200 {
            let (mut pty, mut backlog) = (Pty::new().unwrap(), Backlog::new(4096).unwrap());
            let mut client = File::open(pty.name()).unwrap();
            assert_eq!(pty.write(b"last ").unwrap(), 5);
            backlog.push(b"words").unwrap();
            let (mut partings, start) = (Partings::default(), Instant::now());
            partings.add(pty, backlog, start);
            partings.process(start);
            assert!(partings.deadline().is_some(), "it is gone");
            let mut text = [0; 10];
            client.read_exact(&mut text).unwrap();
            assert_eq!(&text, b"last words");
            partings.process(start + EVERY);
            assert_eq!(partings.deadline(), None);
        }
    }

    #[test]
    fn nobody_is_waited_for_for_ever() {
        let (mut pty, backlog, start) = (Pty::new().unwrap(), Backlog::new(4096).unwrap(), Instant::now());
        pty.write(b"unread").unwrap();
        let mut partings = Partings::default();
        partings.add(pty, backlog, start);
        partings.process(start);
        assert!(partings.deadline().is_some());
        partings.process(start + PATIENCE);
        assert_eq!(partings.deadline(), None);
    }
}
