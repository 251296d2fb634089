//! `struct xenlog`: a log that is open for writing.

use std::ffi::{CString, c_char, c_int};
use std::os::fd::{AsFd, AsRawFd, IntoRawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::io::Errno;

use crate::outcome::{Failed, TextBuffer, tell};
use crate::request::Request;

/// `struct xenlog`.
#[derive(Debug)]
pub struct Log {
    log: client::Log,
    id: CString,
    file: CString,
    pipe: CString,
}

impl Log {
    /// A handle for C, to be freed by `xenlog_end` or `xenlog_detach`.
    pub fn into_handle(log: client::Log) -> *mut Log {
        // A path that was opened, and an id, have no NUL in them.
        let string = |bytes: &[u8]| CString::new(bytes).unwrap_or_default();
        let path = |path: &Path| string(path.as_os_str().as_bytes());
        let (id, file, pipe) = (string(log.key().name.as_bytes()), path(log.file()), path(log.pipe()));
        Box::into_raw(Box::new(Log { log, id, file, pipe }))
    }
}

/// `xenlog_open`.
///
/// # Safety
/// As include/xenlog.h says: `request` and its strings are whole, `log` may be written, `error` has `error_size` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xenlog_open(
    request: *const Request,
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
        // SAFETY: the caller's promise about its request.
        let opened = unsafe { Request::options(request) }?.open()?;
        // SAFETY: as before.
        unsafe { log.write(Log::into_handle(opened)) };
        Ok(0)
    })
}

/// `xenlog_fd`.
///
/// # Safety
/// `log` is NULL or a log that is open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xenlog_fd(log: *const Log) -> c_int {
    // SAFETY: the caller's promise.
    let log = unsafe { log.as_ref() };
    log.map_or(-Errno::INVAL.raw_os_error(), |log| log.log.as_fd().as_raw_fd())
}

/// `xenlog_id`.
///
/// # Safety
/// `log` is NULL or a log that is open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xenlog_id(log: *const Log) -> *const c_char {
    // SAFETY: the caller's promise.
    let log = unsafe { log.as_ref() };
    log.map_or(std::ptr::null(), |log| log.id.as_ptr())
}

/// `xenlog_file`.
///
/// # Safety
/// `log` is NULL or a log that is open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xenlog_file(log: *const Log) -> *const c_char {
    // SAFETY: the caller's promise.
    let log = unsafe { log.as_ref() };
    log.map_or(std::ptr::null(), |log| log.file.as_ptr())
}

/// `xenlog_pipe`.
///
/// # Safety
/// `log` is NULL or a log that is open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xenlog_pipe(log: *const Log) -> *const c_char {
    // SAFETY: the caller's promise.
    let log = unsafe { log.as_ref() };
    log.map_or(std::ptr::null(), |log| log.pipe.as_ptr())
}

/// `xenlog_end`.
///
/// # Safety
/// `log` is NULL or a log that is open, and nobody uses it any more; `error` has `error_size` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xenlog_end(log: *mut Log, error: *mut c_char, error_size: usize) -> c_int {
    // SAFETY: the caller's promise about its buffer.
    let buffer = unsafe { TextBuffer::new(error, error_size) };
    tell(buffer, || {
        if log.is_null() {
            return Ok(0);
        }
        // SAFETY: the caller's promise: it came from into_handle, and this is its last use.
        let log = unsafe { Box::from_raw(log) };
        log.log.end()?;
        Ok(0)
    })
}

/// `xenlog_detach`.
///
/// # Safety
/// `log` is NULL or a log that is open, and nobody uses it any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xenlog_detach(log: *mut Log) -> c_int {
    // SAFETY: NULL.
    let no_buffer = unsafe { TextBuffer::new(std::ptr::null_mut(), 0) };
    tell(no_buffer, || {
        if log.is_null() {
            return Err(Failed::argument("log: NULL"));
        }
        // SAFETY: the caller's promise: it came from into_handle, and this is its last use.
        let log = unsafe { Box::from_raw(log) };
        Ok(log.log.detach().into_raw_fd())
    })
}
