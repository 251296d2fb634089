//! Where the libraries write what they think of an error: nowhere.
//!
//! Without a logger they print to standard error, for each failure, whatever came in from a guest. Every failure comes back
//! as an error, too, and the daemon says it once, in its own log.

use libc::{c_char, c_int, c_ulong, c_void};

/// `struct xentoollog_logger` (tools/include/xentoollog.h, unchanged since Xen 4.1).
#[repr(C)]
pub(super) struct Logger {
    /// The last argument is a `va_list`: one pointer on all machines that Xen runs on, or as good as one, as nobody looks
    /// at it.
    message: unsafe extern "C" fn(*mut Logger, c_int, c_int, *const c_char, *const c_char, *mut c_void),
    progress: Option<unsafe extern "C" fn(*mut Logger, *const c_char, *const c_char, c_int, c_ulong, c_ulong)>,
    destroy: unsafe extern "C" fn(*mut Logger),
}

static SILENT: Logger = Logger { message: say_nothing, progress: None, destroy: nothing_to_destroy };

/// A logger that says nothing, for all `open` functions. It is never written to: only its three functions are used.
pub(super) fn silent() -> *mut Logger {
    (&raw const SILENT).cast_mut()
}

extern "C" fn say_nothing(_: *mut Logger, _: c_int, _: c_int, _: *const c_char, _: *const c_char, _: *mut c_void) {}

extern "C" fn nothing_to_destroy(_: *mut Logger) {}
