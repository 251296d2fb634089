//! The terminal that we are used from: how it is set while a console is looked at, and put back on every way out.

use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, Once};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

/// How a terminal is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// Every key goes to the guest, and every byte to the screen, as they are.
    Raw,
    /// Keys are read at once and not shown; `^C` and the like do what they always do, and lines end as usual.
    Quiet,
}

/// The terminal that is set and has to be put back. A panic puts it back even in a process that it ends at once.
static SET: Mutex<Option<(OwnedFd, Termios)>> = Mutex::new(None);
static HOOK: Once = Once::new();

/// A terminal that is put back when this is dropped. There is one at a time.
#[derive(Debug)]
pub struct Terminal {
    manner: Manner,
    fd: OwnedFd,
}

impl Terminal {
    /// Standard input, if it and standard output are a terminal.
    pub fn take(manner: Manner) -> io::Result<Option<Terminal>> {
        if !(io::stdin().is_terminal() && io::stdout().is_terminal()) {
            return Ok(None);
        }
        Terminal::set(io::stdin().as_fd(), manner).map(Some)
    }

    fn set(fd: BorrowedFd<'_>, manner: Manner) -> io::Result<Terminal> {
        HOOK.call_once(|| {
            let previous = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                put_back();
                previous(panic);
            }));
        });
        let terminal = Terminal { manner, fd: fd.try_clone_to_owned()? };
        terminal.again()?;
        Ok(terminal)
    }

    /// Sets it, after [`put_back`] again.
    pub fn again(&self) -> io::Result<()> {
        let before = tcgetattr(&self.fd)?;
        let mut mode = before.clone();
        match self.manner {
            Manner::Raw => mode.make_raw(),
            Manner::Quiet => mode.local_modes -= LocalModes::ECHO | LocalModes::ICANON,
        }
        let fd = self.fd.try_clone()?;
        if let Ok(mut set) = SET.lock() {
            *set = Some((fd, before));
        }
        tcsetattr(&self.fd, OptionalActions::Now, &mode)?;
        Ok(())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        put_back();
    }
}

/// Puts the terminal back, if one is set.
pub fn put_back() {
    // Who panics while it holds the lock has nothing set yet, or nothing any more.
    if let Some((fd, before)) = SET.try_lock().ok().and_then(|mut set| set.take()) {
        // A terminal that has hung up is nobody's any more.
        let _ = tcsetattr(fd, OptionalActions::Now, &before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt};

    /// Released programs end at a panic without dropping anything.
    #[test]
    fn a_panic_puts_it_back_without_a_drop() {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        unlockpt(&master).unwrap();
        let slave = ioctl_tiocgptpeer(&master, OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        let modes = || tcgetattr(&slave).unwrap().local_modes;
        let before = modes();
        for (manner, left) in [(Manner::Raw, LocalModes::empty()), (Manner::Quiet, LocalModes::ISIG)] {
            let terminal = Terminal::set(slave.as_fd(), manner).unwrap();
            assert_eq!(modes() & (LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG), left);
            std::mem::forget(terminal);
            std::thread::spawn(|| panic!("on purpose")).join().unwrap_err();
            assert_eq!(modes(), before);
        }
    }
}
