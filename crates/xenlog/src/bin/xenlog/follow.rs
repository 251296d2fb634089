//! Waiting for more of a log.

use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use logfile::Follower;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// How often a log is looked at of which nobody says when there is more.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// How often one is looked at all the same of which inotify(7) should say so.
const LOOK_ANYWAY: Duration = Duration::from_secs(1);
/// So often in a row there may have been more without a word before nothing is expected of it any more.
const SILENCES: u32 = 3;

/// How more of a log is waited for: by inotify(7), and by looking now and then, since older kernels do not report what is
/// spliced into a file, which is how the daemon writes.
#[derive(Debug, Default)]
pub struct Wait {
    is_begun: bool,
    /// The last wait ended without a word.
    is_silent: bool,
    silences: u32,
}

impl Wait {
    /// Waits until there may be more of a log that was read to its end, one of `others` is ready, or it is `until`.
    pub fn wait(&mut self, follower: &mut Follower, others: &mut Vec<PollFd<'_>>, until: Option<Instant>) {
        self.is_silent = false;
        let changes = follower.changes().ok();
        if !std::mem::replace(&mut self.is_begun, true) && changes.is_some() {
            // What was written before anybody watched is still to be looked at.
            return;
        }
        let look = if changes.is_some() && self.silences < SILENCES { LOOK_ANYWAY } else { LOOK_AGAIN };
        let left = until.map_or(look, |until| until.saturating_duration_since(Instant::now()).min(look));
        // Seconds and less always are a Timespec.
        let left = Timespec::try_from(left).ok();
        let changes = changes.map(|changes| PollFd::from_borrowed_fd(changes, PollFlags::IN));
        let is_watched = changes.is_some();
        let mut fds: Vec<PollFd<'_>> = changes.into_iter().chain(others.drain(..)).collect();
        match poll(&mut fds, left.as_ref()) {
            Ok(0) => self.is_silent = is_watched,
            Ok(_) if is_watched && !fds[0].revents().is_empty() => self.silences = 0,
            // Something else, or a signal.
            _ => {}
        }
    }

    /// More was found.
    pub fn found(&mut self) {
        if std::mem::take(&mut self.is_silent) {
            self.silences = self.silences.saturating_add(1);
        }
    }
}

/// What a descriptor is ready for now: of these, and whether it has failed or hung up.
pub fn readiness(fd: BorrowedFd<'_>, flags: PollFlags) -> PollFlags {
    let mut fds = [PollFd::from_borrowed_fd(fd, flags)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    if poll(&mut fds, Some(&now)).is_ok() { fds[0].revents() } else { PollFlags::empty() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use logfile::{Bounds, Dir, LogFile, Next, Start};

    #[test]
    fn one_word_is_believed_and_silence_is_not_for_long() {
        let dir = tempfile::tempdir().unwrap();
        let dir = Dir::open(dir.path()).unwrap();
        let mut log = LogFile::open(&dir, "a".as_ref(), Bounds { limit: 1 << 20, copies: 1 }).unwrap();
        let mut follower = Follower::open(&dir, "a".as_ref(), Start::Oldest).unwrap();
        let (mut wait, mut buffer) = (Wait::default(), [0; 100]);
        let mut read = |wait: &mut Wait| {
            let next = follower.read(&mut buffer).unwrap();
            if next == Next::UpToDate {
                wait.wait(&mut follower, &mut Vec::new(), None);
            }
            next
        };
        assert_eq!(read(&mut wait), Next::UpToDate);
        log.append(b"x").unwrap();
        assert_eq!(read(&mut wait), Next::Bytes(1), "written before the first wait");
        wait.silences = 2;
        assert_eq!(read(&mut wait), Next::UpToDate, "nothing comes, the wait ends all the same");
        assert!(wait.is_silent);
        wait.found();
        wait.found();
        assert_eq!(wait.silences, SILENCES, "one silence counts once");
        std::thread::scope(|scope| {
            scope.spawn(|| log.append(b"y").unwrap());
            while read(&mut wait) != Next::Bytes(1) {}
        });
    }
}
