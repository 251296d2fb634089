//! Guests' pages by their place.

use std::io;
use std::ptr::{self, NonNull};

use libc::{PROT_READ, PROT_WRITE, c_int, c_uint, c_void, size_t};

use super::super::XenError;
use super::super::library::Library;
use super::super::logger::{Logger, silent};
use super::{Handle, Source};

/// A handle of `libxenforeignmemory`.
pub(super) struct Foreign {
    functions: Functions,
    handle: Handle,
}

/// `xen_pfn_t` (xen/include/public/arch-*/xen.h): 64 bits, but on x86 with 32 bits, where Xen's tools are not used any more.
type Gfn = u64;
const _: () = assert!(!cfg!(target_arch = "x86"));

/// As tools/libs/foreignmemory/include/xenforeignmemory.h declares them, VERS_1.0.
struct Functions {
    close: unsafe extern "C" fn(*mut c_void) -> c_int,
    map: unsafe extern "C" fn(*mut c_void, u32, c_int, size_t, *const Gfn, *mut c_int) -> *mut c_void,
    unmap: unsafe extern "C" fn(*mut c_void, *mut c_void, size_t) -> c_int,
}

impl Foreign {
    pub(super) fn open() -> Result<Foreign, XenError> {
        let library = Library::open("libxenforeignmemory.so.1", "libxenforeignmemory1")?;
        // SAFETY: each is as the header declares it.
        let (open, functions) = unsafe {
            let open: unsafe extern "C" fn(*mut Logger, c_uint) -> *mut c_void =
                library.function(c"xenforeignmemory_open")?;
            let functions = Functions {
                close: library.function(c"xenforeignmemory_close")?,
                map: library.function(c"xenforeignmemory_map")?,
                unmap: library.function(c"xenforeignmemory_unmap")?,
            };
            (open, functions)
        };
        // SAFETY: the logger lives as long as the program.
        let handle = Handle::new(unsafe { open(silent(), 0) }, "the memory of Xen's guests")?;
        Ok(Foreign { functions, handle })
    }

    /// The address of the page, to be read and written.
    pub(super) fn map(&self, domid: u16, gfn: Gfn) -> io::Result<NonNull<u8>> {
        let flags = PROT_READ | PROT_WRITE;
        // SAFETY: an open handle, and one number where one is promised. No place for each page's error: then it is that of
        // the call.
        self.handle.map(|handle| unsafe {
            (self.functions.map)(handle, domid.into(), flags, 1, &raw const gfn, ptr::null_mut())
        })
    }
}

impl Source for Foreign {
    unsafe fn unmap(&self, base: NonNull<u8>) {
        // SAFETY: as the caller says. It cannot fail for a page that is mapped.
        self.handle.with(|handle| unsafe { (self.functions.unmap)(handle, base.as_ptr().cast(), 1) });
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        // SAFETY: the pages that came from it are unmapped: each keeps this alive.
        self.handle.with(|handle| unsafe { (self.functions.close)(handle) });
    }
}
