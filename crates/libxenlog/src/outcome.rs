//! How an outcome is told to C: a number, and a text in the caller's buffer.

use std::ffi::{c_char, c_int};
use std::panic::{AssertUnwindSafe, catch_unwind};

use client::Error;
use rustix::io::Errno;

/// An error: its negative errno and its text.
#[derive(Debug)]
pub struct Failed {
    /// As the header lists them.
    pub code: c_int,
    /// For a person.
    pub text: String,
}

impl Failed {
    /// A wrong argument.
    pub fn argument(text: impl Into<String>) -> Failed {
        Failed { code: -Errno::INVAL.raw_os_error(), text: text.into() }
    }
}

impl From<Error> for Failed {
    fn from(error: Error) -> Failed {
        Failed { code: -error.errno(), text: error.to_string() }
    }
}

/// The caller's buffer for a text.
#[derive(Clone, Copy, Debug)]
pub struct TextBuffer {
    start: *mut c_char,
    size: usize,
}

impl TextBuffer {
    /// # Safety
    /// `start` is NULL, or `size` bytes from it may be written until the buffer is dropped, by nobody else.
    pub unsafe fn new(start: *mut c_char, size: usize) -> TextBuffer {
        TextBuffer { start, size }
    }

    fn write(self, text: &str) {
        if self.start.is_null() || self.size == 0 {
            return;
        }
        let cut = text.floor_char_boundary(self.size - 1);
        // A NUL would end it early.
        let text = text[..cut].replace('\0', " ");
        // SAFETY: `new` was promised that `size` bytes may be written, and cut + 1 are no more than that. The text is
        // ours, so it cannot overlap.
        unsafe {
            std::ptr::copy_nonoverlapping(text.as_ptr().cast(), self.start, text.len());
            self.start.add(text.len()).write(0);
        }
    }
}

/// Runs what a function does, and tells C how it ended. The buffer is empty unless it failed.
pub fn tell(buffer: TextBuffer, run: impl FnOnce() -> Result<c_int, Failed>) -> c_int {
    buffer.write("");
    // What a panic leaves behind is the handle that was being worked on; the caller can still free it, no more.
    let panicked = || Failed { code: -Errno::IO.raw_os_error(), text: "libxenlog: a bug: it panicked".into() };
    match catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| Err(panicked())) {
        Ok(value) => value,
        Err(failed) => {
            buffer.write(&failed.text);
            failed.code
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::CStr;

    fn told(size: usize, run: impl FnOnce() -> Result<c_int, Failed>) -> (c_int, String) {
        let mut bytes = vec![b'x'; size + 1];
        // SAFETY: so many bytes are there, and nobody else looks at them before the call is over.
        let buffer = unsafe { TextBuffer::new(bytes.as_mut_ptr().cast(), size) };
        let value = tell(buffer, run);
        assert_eq!(bytes[size], b'x', "nothing is written behind the buffer");
        (value, CStr::from_bytes_until_nul(&bytes[..size]).unwrap().to_str().unwrap().to_owned())
    }

    #[test]
    fn a_text_is_cut_to_its_buffer() {
        let fail = |text: &'static str| move || Err(Failed::argument(text));
        assert_eq!(told(10, fail("short")), (-22, "short".into()));
        assert_eq!(told(6, fail("short")), (-22, "short".into()));
        assert_eq!(told(5, fail("short")), (-22, "shor".into()));
        assert_eq!(told(5, fail("abcé")), (-22, "abc".into()));
        assert_eq!(told(9, fail("a\0b")), (-22, "a b".into()));
        assert_eq!(told(1, fail("x")), (-22, String::new()));
        assert_eq!(told(5, || Ok(3)), (3, String::new()));
    }

    #[test]
    fn no_buffer_is_no_trouble() {
        // SAFETY: NULL.
        let buffer = unsafe { TextBuffer::new(std::ptr::null_mut(), 100) };
        assert_eq!(tell(buffer, || Err(Failed::argument("x"))), -22);
    }

    #[test]
    #[cfg(panic = "unwind")]
    fn a_panic_is_an_error() {
        let (code, text) = told(99, || panic!("on purpose"));
        assert!(code == -5 && text.contains("panicked"), "{code} {text}");
    }
}
