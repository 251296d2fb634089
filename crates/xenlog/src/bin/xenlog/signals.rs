//! Signals as something that can be waited for beside other descriptors.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use signal_hook::iterator::backend::SignalDelivery;
use signal_hook::iterator::exfiltrator::SignalOnly;

/// Signals that wait to be taken.
#[derive(Debug)]
pub struct Signals {
    delivery: SignalDelivery<UnixStream, SignalOnly>,
}

impl Signals {
    /// From now on these signals come here, except those that this process was started to ignore (as by nohup(1)).
    pub fn take(signals: &[i32]) -> io::Result<Signals> {
        let ignored = ignored();
        let wanted = signals.iter().filter(|&&signal| ignored & (1 << (signal - 1)) == 0);
        let (read, write) = UnixStream::pair()?;
        Ok(Signals { delivery: SignalDelivery::with_pipe(read, write, SignalOnly, wanted)? })
    }

    /// Whether there are signals to take; waits for one at most so long.
    pub fn is_any(&self, at_most: Duration) -> bool {
        let timeout = Timespec::try_from(at_most).ok();
        let mut fds = [PollFd::new(self, PollFlags::IN)];
        matches!(poll(&mut fds, timeout.as_ref()), Ok(1..)) && fds[0].revents().contains(PollFlags::IN)
    }

    /// The signals that came since the last call.
    pub fn next(&mut self) -> impl Iterator<Item = i32> {
        self.delivery.pending()
    }
}

impl AsFd for Signals {
    /// Can be read while there are signals to take.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.delivery.get_read().as_fd()
    }
}

/// The signals that this process ignores, as a mask (proc_pid_status(5), SigIgn).
fn ignored() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_rust_ignores_is_known_as_ignored() {
        assert_eq!(ignored() & (1 << (signal_hook::consts::SIGPIPE - 1)), 1 << 12);
        assert_eq!(ignored() & (1 << (signal_hook::consts::SIGTERM - 1)), 0);
    }
}
