//! Signals kept back across exec(2).

use std::ptr;

use libc::c_int;

/// From now on these signals wait, in this thread and what it executes: between exec(2) and the new program's own measures
/// they would have their default effect.
pub fn block(signals: &[c_int]) {
    set(libc::SIG_BLOCK, signals);
}

/// Lets these signals through, and those that came meanwhile.
pub fn unblock(signals: &[c_int]) {
    set(libc::SIG_UNBLOCK, signals);
}

fn set(how: c_int, signals: &[c_int]) {
    let mut set = std::mem::MaybeUninit::uninit();
    // SAFETY: sigemptyset fills the set in, which lives in this frame; an invalid number is not added; the last call cannot fail
    // with a valid set and a valid `how`.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        for signal in signals {
            libc::sigaddset(set.as_mut_ptr(), *signal);
        }
        libc::pthread_sigmask(how, set.as_ptr(), ptr::null_mut());
    }
}
