//! A console's pty: what clients open to see it and to type into it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl, fstat};
use rustix::io::{Errno, read, write};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};

/// A pty with both its ends.
///
/// Its slave is kept open, so that it stays when the last client leaves. It is made raw once; what a client then sets is not
/// touched, as with stock: clients set and restore it themselves.
#[derive(Debug)]
pub struct Pty {
    master: OwnedFd,
    slave: OwnedFd,
    name: String,
}

/// What cannot be done with a pty.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PtyError {
    /// There are as many as there may be.
    #[error("no pty is to be had: the kernel gives no more of them (kernel.pty.max, or /dev/pts mounted with max=)")]
    NoMore,
    /// A step of making or recovering it.
    #[error("cannot {what}: {why}")]
    Step {
        /// What was tried.
        what: &'static str,
        /// The system's answer.
        why: Errno,
    },
    /// These were kept as one pty's ends, and are not.
    #[error("master and slave are not of one pty")]
    NoPair,
    /// It cannot be read or written.
    #[error("{name}: cannot {what}: {why}")]
    Use {
        /// Which.
        name: String,
        /// What was tried.
        what: &'static str,
        /// The system's answer.
        why: Errno,
    },
}

/// How the slave is opened: never as this process's own terminal.
const SLAVE: OpenptFlags = OpenptFlags::RDWR.union(OpenptFlags::NOCTTY).union(OpenptFlags::CLOEXEC);

fn step<T>(what: &'static str, done: Result<T, Errno>) -> Result<T, PtyError> {
    done.map_err(|why| PtyError::Step { what, why })
}

impl Pty {
    /// A new one, raw. Costs two descriptors.
    pub fn new() -> Result<Pty, PtyError> {
        let master = match openpt(SLAVE) {
            // So ENOSPC comes out of openpt, to say what other systems say.
            Err(Errno::AGAIN) => return Err(PtyError::NoMore),
            opened => step("open /dev/ptmx", opened)?,
        };
        step("unlock the pty", unlockpt(&master))?;
        let slave = raw_slave(&master)?;
        Pty::of(master, slave)
    }

    /// One that somebody else kept: as it is, whatever clients have made of it.
    pub fn recover(master: OwnedFd, slave: OwnedFd) -> Result<Pty, PtyError> {
        let device =
            |end: &OwnedFd| step("look at the pty's slave", fstat(end)).map(|stat| (stat.st_dev, stat.st_rdev));
        let own = step("open the pty's slave", ioctl_tiocgptpeer(&master, SLAVE))?;
        if device(&own)? != device(&slave)? {
            return Err(PtyError::NoPair);
        }
        Pty::of(master, slave)
    }

    fn of(master: OwnedFd, slave: OwnedFd) -> Result<Pty, PtyError> {
        let flags = step("read the pty's flags", fcntl_getfl(&master))?;
        step("make the pty non-blocking", fcntl_setfl(&master, flags | OFlags::NONBLOCK))?;
        let name = step("find out the pty's name", ptsname(&master, Vec::new()))?;
        // The kernel's own name, so it is text.
        let name = name.to_string_lossy().into_owned();
        Ok(Pty { master, slave, name })
    }

    /// The slave's path, which clients open: `/dev/pts/N`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The master, to be waited for: readable when somebody types, writable when there is room for output.
    pub fn master(&self) -> BorrowedFd<'_> {
        self.master.as_fd()
    }

    /// The slave, to be kept by somebody else too.
    pub fn slave(&self) -> BorrowedFd<'_> {
        self.slave.as_fd()
    }

    /// Writes output: how many bytes there was room for, 0 where there is none until a client reads.
    pub fn write(&mut self, bytes: &[u8]) -> Result<usize, PtyError> {
        let written = self.with_slave("write", |master| write(master, bytes))?;
        Ok(written.unwrap_or_default())
    }

    /// Reads what clients typed; `None` where that is nothing. Also to be called at a hang-up of the master, which it mends.
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<Option<usize>, PtyError> {
        let read = self.with_slave("read", |master| read(master, &mut *buffer))?;
        Ok(read.filter(|bytes| *bytes > 0))
    }

    /// Does something with the master. `EIO` says that no slave is open. Ours always is; should it not be, another one is opened,
    /// once, since the pty would stay hung up for whoever waits for it.
    fn with_slave<T>(
        &mut self,
        what: &'static str,
        mut act: impl FnMut(BorrowedFd<'_>) -> Result<T, Errno>,
    ) -> Result<Option<T>, PtyError> {
        let mut is_mended = false;
        loop {
            match act(self.master.as_fd()) {
                Ok(done) => return Ok(Some(done)),
                Err(Errno::AGAIN) => return Ok(None),
                Err(Errno::INTR) => {}
                Err(Errno::IO) if !is_mended => {
                    self.slave = raw_slave(&self.master)?;
                    is_mended = true;
                }
                Err(why) => return Err(PtyError::Use { name: self.name.clone(), what, why }),
            }
        }
    }
}

/// Opens the slave and makes it raw: no echo, no signals, no translation of line ends, each byte as it is.
fn raw_slave(master: &OwnedFd) -> Result<OwnedFd, PtyError> {
    let slave = step("open the pty's slave", ioctl_tiocgptpeer(master, SLAVE))?;
    let mut termios = step("read the pty's settings", tcgetattr(&slave))?;
    termios.make_raw();
    step("make the pty raw", tcsetattr(&slave, OptionalActions::Now, &termios))?;
    Ok(slave)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read, Write};
    use std::os::unix::fs::OpenOptionsExt;

    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use rustix::io::{FdFlags, fcntl_getfd};
    use rustix::termios::LocalModes;
    use testbed::until;

    use super::*;

    fn client(pty: &Pty) -> File {
        let flags = i32::try_from((OFlags::NOCTTY | OFlags::NONBLOCK).bits()).unwrap();
        File::options().read(true).write(true).custom_flags(flags).open(pty.name()).unwrap()
    }

    /// What comes out at a client's end, until there are so many bytes.
    fn shown(client: &mut File, bytes: usize) -> Vec<u8> {
        let mut shown = vec![0; bytes];
        let mut len = 0;
        until("output at the client's end", || {
            len += client.read(&mut shown[len..]).unwrap_or_default();
            (len == bytes).then_some(())
        });
        shown
    }

    fn typed(pty: &mut Pty, bytes: usize) -> Vec<u8> {
        let (mut typed, mut buffer) = (Vec::new(), [0; 80]);
        until("input", || {
            if let Some(more) = pty.read(&mut buffer).unwrap() {
                typed.extend_from_slice(&buffer[..more]);
            }
            (typed.len() >= bytes).then_some(())
        });
        typed
    }

    fn is_hung_up(pty: &Pty) -> bool {
        let mut fds = [PollFd::from_borrowed_fd(pty.master(), PollFlags::IN)];
        poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).unwrap();
        fds[0].revents().contains(PollFlags::HUP)
    }

    fn copy(end: BorrowedFd<'_>) -> OwnedFd {
        end.try_clone_to_owned().unwrap()
    }

    #[test]
    fn each_byte_passes_as_it_is_in_both_directions() {
        let mut pty = Pty::new().unwrap();
        assert!(pty.name().starts_with("/dev/pts/"), "{}", pty.name());
        let every: Vec<u8> = (0..=255).chain(*b"\r\n\n\r\x03\x04\x11\x13\x1a\x1c").collect();
        let mut client = client(&pty);
        // What was written before a client came waits for it.
        assert_eq!(pty.write(&every), Ok(every.len()));
        assert_eq!(shown(&mut client, every.len()), every);
        client.write_all(&every).unwrap();
        assert_eq!(typed(&mut pty, every.len()), every, "no echo of the output, nothing taken for a signal");
        assert_eq!(pty.read(&mut [0; 80]), Ok(None));
    }

    #[test]
    fn clients_come_and_go() {
        let mut pty = Pty::new().unwrap();
        for round in [b'0', b'1', b'2'] {
            let mut client = client(&pty);
            pty.write(&[round]).unwrap();
            assert_eq!(shown(&mut client, 1), [round]);
            client.write_all(&[round]).unwrap();
            drop(client);
            // What it typed last is read after it has gone.
            assert_eq!(typed(&mut pty, 1), [round]);
            assert_eq!((pty.read(&mut [0; 80]), is_hung_up(&pty)), (Ok(None), false));
        }
    }

    #[test]
    fn two_clients_share_it() {
        let mut pty = Pty::new().unwrap();
        let (mut one, mut two) = (client(&pty), client(&pty));
        one.write_all(b"one ").unwrap();
        two.write_all(b"two").unwrap();
        assert_eq!(typed(&mut pty, 7), b"one two");
        drop(one);
        pty.write(b"out").unwrap();
        assert_eq!(shown(&mut two, 3), b"out");
    }

    #[test]
    fn a_full_pty_takes_nothing_and_has_lost_nothing() {
        let mut pty = Pty::new().unwrap();
        let mut total = 0;
        // It ends: a pty does not take more than some kilobytes that nobody reads.
        while let more @ 1.. = pty.write(&[b'.'; 4096]).unwrap() {
            total += more;
        }
        assert!(total > 0);
        let mut client = client(&pty);
        assert_eq!(shown(&mut client, total), vec![b'.'; total]);
        until("room", || (pty.write(b"x") == Ok(1)).then_some(()));
        assert_eq!(shown(&mut client, 1), b"x");
    }

    #[test]
    fn what_a_client_sets_stays() {
        let pty = Pty::new().unwrap();
        let client = client(&pty);
        let mut termios = tcgetattr(&client).unwrap();
        assert!(!termios.local_modes.intersects(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG));
        termios.local_modes |= LocalModes::ECHO;
        tcsetattr(&client, OptionalActions::Now, &termios).unwrap();
        drop(client);
        let pty = Pty::recover(copy(pty.master()), copy(pty.slave())).unwrap();
        assert!(tcgetattr(pty.slave()).unwrap().local_modes.contains(LocalModes::ECHO));
    }

    #[test]
    fn a_kept_pty_goes_on_and_its_client_notices_nothing() {
        let mut pty = Pty::new().unwrap();
        let mut client = client(&pty);
        pty.write(b"before ").unwrap();
        client.write_all(b"typed").unwrap();
        let (name, kept) = (pty.name().to_owned(), [copy(pty.master()), copy(pty.slave())]);
        drop(pty);
        let [master, slave] = kept;
        let mut pty = Pty::recover(master, slave).unwrap();
        assert_eq!(pty.name(), name);
        pty.write(b"after").unwrap();
        assert_eq!(shown(&mut client, 12), b"before after");
        assert_eq!(typed(&mut pty, 5), b"typed");
    }

    #[test]
    fn what_is_no_pair_is_no_pty() {
        let (one, two) = (Pty::new().unwrap(), Pty::new().unwrap());
        assert_eq!(Pty::recover(copy(one.master()), copy(two.slave())).unwrap_err(), PtyError::NoPair);
        let null = || OwnedFd::from(File::open("/dev/null").unwrap());
        assert!(matches!(Pty::recover(null(), null()), Err(PtyError::Step { why: Errno::NOTTY, .. })));
    }

    #[test]
    fn a_slave_that_was_hung_up_is_opened_again() {
        let mut pty = Pty::new().unwrap();
        pty.slave = OwnedFd::from(File::open("/dev/null").unwrap());
        assert!(is_hung_up(&pty));
        assert_eq!(pty.read(&mut [0; 80]), Ok(None));
        assert!(!is_hung_up(&pty));
        assert!(!tcgetattr(pty.slave()).unwrap().local_modes.contains(LocalModes::ECHO));
        pty.slave = OwnedFd::from(File::open("/dev/null").unwrap());
        assert_eq!(pty.write(b"x"), Ok(1));
        assert_eq!(shown(&mut client(&pty), 1), b"x");
    }

    #[test]
    fn programs_that_are_started_do_not_get_it() {
        let pty = Pty::new().unwrap();
        for end in [pty.master(), pty.slave()] {
            assert!(fcntl_getfd(end).unwrap().contains(FdFlags::CLOEXEC));
        }
    }
}
