//! `struct xenlog_opening`: a log that is being asked for, in an event loop.

use std::ffi::{c_char, c_int, c_short};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use rustix::event::PollFlags;

use crate::log::Log;
use crate::outcome::{Failed, TextBuffer, tell};
use crate::request::Request;

/// `struct xenlog_opening`.
#[derive(Debug)]
pub struct Opening(client::Opening);

/// `xenlog_start`.
///
/// # Safety
/// As include/xenlog.h says: `request` and its strings are whole, `opening` may be written, `error` has `error_size`
/// bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xenlog_start(
    request: *const Request,
    opening: *mut *mut Opening,
    error: *mut c_char,
    error_size: usize,
) -> c_int {
    // SAFETY: the caller's promise about its buffer.
    let buffer = unsafe { TextBuffer::new(error, error_size) };
    tell(buffer, || {
        if opening.is_null() {
            return Err(Failed::argument("opening: NULL"));
        }
        // SAFETY: not NULL, so it may be written by the caller's promise.
        unsafe { opening.write(std::ptr::null_mut()) };
        // SAFETY: the caller's promise about its request.
        let started = unsafe { Request::options(request) }?.start();
        // SAFETY: as before.
        unsafe { opening.write(Box::into_raw(Box::new(Opening(started)))) };
        Ok(0)
    })
}

/// `xenlog_opening_fd`.
///
/// # Safety
/// `opening` is NULL or a handle that was not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xenlog_opening_fd(opening: *const Opening) -> c_int {
    // SAFETY: the caller's promise.
    let opening = unsafe { opening.as_ref() };
    opening.and_then(|opening| opening.0.fd()).map_or(-1, |fd| fd.as_raw_fd())
}

/// `xenlog_opening_events`.
///
/// # Safety
/// `opening` is NULL or a handle that was not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xenlog_opening_events(opening: *const Opening) -> c_short {
    // SAFETY: the caller's promise.
    let opening = unsafe { opening.as_ref() };
    let wants_write = opening.is_some_and(|opening| opening.0.wants_write());
    let events = if wants_write { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN };
    // The two flags are 1 and 4 (poll.h).
    events.bits() as c_short
}

/// `xenlog_opening_timeout`.
///
/// # Safety
/// `opening` is NULL or a handle that was not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xenlog_opening_timeout(opening: *const Opening) -> c_int {
    // SAFETY: the caller's promise.
    let opening = unsafe { opening.as_ref() };
    opening.map_or(0, |opening| milliseconds(opening.0.deadline().saturating_duration_since(Instant::now())))
}

/// A time for poll(2): rounded up, so that the deadline is reached when it is over.
fn milliseconds(time: Duration) -> c_int {
    c_int::try_from(time.as_nanos().div_ceil(1_000_000)).unwrap_or(c_int::MAX)
}

/// `xenlog_opening_process`.
///
/// # Safety
/// `opening` is NULL or a handle that was not freed, `log` may be written, `error` has `error_size` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xenlog_opening_process(
    opening: *mut Opening,
    log: *mut *mut Log,
    error: *mut c_char,
    error_size: usize,
) -> c_int {
    // SAFETY: the caller's promise about its buffer.
    let buffer = unsafe { TextBuffer::new(error, error_size) };
    tell(buffer, || {
        if log.is_null() {
            return Err(Failed::argument("log: NULL"));
        }
        // SAFETY: not NULL, so it may be written by the caller's promise.
        unsafe { log.write(std::ptr::null_mut()) };
        // SAFETY: the caller's promise: nobody else uses the handle now.
        let opening = unsafe { opening.as_mut() }.ok_or_else(|| Failed::argument("opening: NULL"))?;
        let Some(opened) = opening.0.process()? else {
            return Ok(0);
        };
        // SAFETY: as before.
        unsafe { log.write(Log::into_handle(opened)) };
        Ok(1)
    })
}

/// `xenlog_opening_cancel`.
///
/// # Safety
/// `opening` is NULL or a handle that was not freed, and nobody uses it any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xenlog_opening_cancel(opening: *mut Opening) {
    // SAFETY: NULL.
    let no_buffer = unsafe { TextBuffer::new(std::ptr::null_mut(), 0) };
    tell(no_buffer, || {
        if !opening.is_null() {
            // SAFETY: the caller's promise: it came from xenlog_start, and this is its last use.
            drop(unsafe { Box::from_raw(opening) });
        }
        Ok(0)
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_never_too_short_and_never_infinite() {
        for (time, want) in [
            (Duration::ZERO, 0),
            (Duration::from_nanos(1), 1),
            (Duration::from_millis(5), 5),
            (Duration::from_micros(5001), 6),
            (Duration::MAX, c_int::MAX),
        ] {
            assert_eq!(milliseconds(time), want);
        }
    }
}
