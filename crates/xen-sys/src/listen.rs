//! Descriptors that came with exec(2).

use std::os::fd::{FromRawFd, OwnedFd, RawFd};

/// Takes the descriptor with this number, if whoever executed this program left it open for it; from now on it is closed by the
/// next exec(2).
///
/// To be called for numbers that the environment names, at the start of the program. A descriptor that the program itself opened
/// is never given away: those are all closed by exec(2), and what is passed on is not. So the second call for a number has no
/// answer. Neither have 0, 1 and 2, which belong to the standard streams.
pub fn inherited(number: RawFd) -> Option<OwnedFd> {
    if number <= libc::STDERR_FILENO {
        return None;
    }
    // SAFETY: F_GETFD and F_SETFD only look at and set a flag of a number in the descriptor table; where nothing is open the
    // answer is -1.
    let taken = unsafe {
        let flags = libc::fcntl(number, libc::F_GETFD);
        flags != -1
            && flags & libc::FD_CLOEXEC == 0
            && libc::fcntl(number, libc::F_SETFD, flags | libc::FD_CLOEXEC) != -1
    };
    // SAFETY: it is open, and nothing in this program owns it: what the program opens has the flag that this one had not.
    taken.then(|| unsafe { OwnedFd::from_raw_fd(number) })
}

#[cfg(test)]
mod tests {
    use std::os::fd::{AsRawFd, IntoRawFd};

    use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};

    use super::*;

    #[test]
    fn only_what_exec_left_open_is_taken_and_only_once() {
        let own = std::fs::File::open("/dev/null").unwrap();
        assert!(inherited(own.as_raw_fd()).is_none(), "the program's own");
        fcntl_setfd(&own, FdFlags::empty()).unwrap();
        let number = own.into_raw_fd();
        let taken = inherited(number).unwrap();
        assert_eq!(taken.as_raw_fd(), number);
        assert!(fcntl_getfd(&taken).unwrap().contains(FdFlags::CLOEXEC));
        assert!(inherited(number).is_none());
    }

    #[test]
    fn what_is_no_descriptor_is_nothing() {
        for number in [-1, 0, 1, 2, RawFd::MAX] {
            assert!(inherited(number).is_none(), "{number}");
        }
    }
}
