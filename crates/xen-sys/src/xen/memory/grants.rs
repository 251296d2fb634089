//! Pages that guests have granted.

use std::io;
use std::ptr::NonNull;

use libc::{PROT_READ, PROT_WRITE, c_int, c_uint, c_void};

use super::super::XenError;
use super::super::library::Library;
use super::super::logger::{Logger, silent};
use super::{Handle, Source};

/// A handle of `libxengnttab`.
pub(super) struct Grants {
    functions: Functions,
    handle: Handle,
}

/// As tools/libs/gnttab/include/xengnttab.h declares them, VERS_1.0.
struct Functions {
    close: unsafe extern "C" fn(*mut c_void) -> c_int,
    map: unsafe extern "C" fn(*mut c_void, u32, u32, c_int) -> *mut c_void,
    unmap: unsafe extern "C" fn(*mut c_void, *mut c_void, u32) -> c_int,
}

impl Grants {
    pub(super) fn open() -> Result<Grants, XenError> {
        let library = Library::open("libxengnttab.so.1", "libxengnttab1")?;
        // SAFETY: each is as the header declares it.
        let (open, functions) = unsafe {
            let open: unsafe extern "C" fn(*mut Logger, c_uint) -> *mut c_void = library.function(c"xengnttab_open")?;
            let functions = Functions {
                close: library.function(c"xengnttab_close")?,
                map: library.function(c"xengnttab_map_grant_ref")?,
                unmap: library.function(c"xengnttab_unmap")?,
            };
            (open, functions)
        };
        // SAFETY: the logger lives as long as the program.
        let handle = Handle::new(unsafe { open(silent(), 0) }, "Xen's grant tables")?;
        Ok(Grants { functions, handle })
    }

    /// The address of the page, to be read and written.
    pub(super) fn map(&self, domid: u16, reference: u32) -> io::Result<NonNull<u8>> {
        // SAFETY: an open handle and numbers.
        self.handle
            .map(|handle| unsafe { (self.functions.map)(handle, domid.into(), reference, PROT_READ | PROT_WRITE) })
    }
}

impl Source for Grants {
    unsafe fn unmap(&self, base: NonNull<u8>) {
        // SAFETY: as the caller says. It cannot fail for a page that is mapped.
        self.handle.with(|handle| unsafe { (self.functions.unmap)(handle, base.as_ptr().cast(), 1) });
    }
}

impl Drop for Grants {
    fn drop(&mut self) {
        // SAFETY: the pages that came from it are unmapped: each keeps this alive.
        self.handle.with(|handle| unsafe { (self.functions.close)(handle) });
    }
}
