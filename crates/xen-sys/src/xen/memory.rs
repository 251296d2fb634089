//! Pages of guests.

mod foreign;
mod grants;

use std::fmt;
use std::io;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, PoisonError};

use libc::c_void;

use super::XenError;
use crate::shared::Shared;
use foreign::Foreign;
use grants::Grants;

/// The size of a page of Xen's, whatever the kernel's is (`XEN_PAGE_SIZE`).
pub const PAGE_SIZE: usize = 4096;

/// One page of a guest, to be read and written: [`PAGE_SIZE`] bytes, mapped until this is dropped. It stays when the
/// [`Memory`] that it came from is dropped before, and when the guest ends.
pub type Page = Shared;

/// The way to guests' pages.
pub struct Memory {
    foreign: Arc<Foreign>,
    grants: Result<Arc<Grants>, XenError>,
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").field("without_grants", &self.without_grants()).finish_non_exhaustive()
    }
}

impl Memory {
    /// Opens what is needed to map pages: foreign memory, and grants where they are to be had.
    ///
    /// # Errors
    /// See [`XenError`]. That there are no grants is none: see [`Memory::without_grants`].
    pub fn open() -> Result<Memory, XenError> {
        Ok(Memory { foreign: Arc::new(Foreign::open()?), grants: Grants::open().map(Arc::new) })
    }

    /// Why no page can be mapped by a grant, if none can: the library or the kernel's driver (`/dev/xen/gntdev`) is missing.
    #[must_use]
    pub fn without_grants(&self) -> Option<&XenError> {
        self.grants.as_ref().err()
    }

    /// Maps the page that a domain has granted to this one under this reference.
    ///
    /// # Errors
    /// `Unsupported` where there are no grants; what the system answers, where the domain has not granted it for one.
    pub fn map_grant(&self, domid: u16, reference: u32) -> io::Result<Page> {
        let grants = self.grants.as_ref().map_err(|_| io::ErrorKind::Unsupported)?;
        let base = grants.map(domid, reference)?;
        // SAFETY: it has just been mapped.
        Ok(unsafe { page(grants, base) })
    }

    /// Maps the page that a domain has at this place in its memory (`gfn`: guest frame number).
    ///
    /// # Errors
    /// What the system answers: this domain has to have power over the other one.
    pub fn map_foreign(&self, domid: u16, gfn: u64) -> io::Result<Page> {
        let base = self.foreign.map(domid, gfn)?;
        // SAFETY: it has just been mapped.
        Ok(unsafe { page(&self.foreign, base) })
    }
}

/// Where pages are mapped from.
trait Source: Send + Sync + 'static {
    /// Ends the mapping of the page at `base`.
    ///
    /// # Safety
    /// It was mapped by this source, and is not used any more.
    unsafe fn unmap(&self, base: NonNull<u8>);
}

/// A page that ends its mapping itself, and keeps alive what is needed for that.
///
/// # Safety
/// `source` has mapped a page at `base`, to be read and written, and nobody else unmaps it.
unsafe fn page<S: Source>(source: &Arc<S>, base: NonNull<u8>) -> Page {
    // SAFETY: as the caller says; a mapping is aligned to pages, and it ends when `Mapping` is dropped.
    unsafe { Shared::new(base, PAGE_SIZE, Mapping { source: Arc::clone(source), base }) }
}

struct Mapping<S: Source> {
    source: Arc<S>,
    base: NonNull<u8>,
}

// SAFETY: all that is done with the address is to unmap it, by a source that every thread may use.
unsafe impl<S: Source> Send for Mapping<S> {}
// SAFETY: shared, nothing can be done with it.
unsafe impl<S: Source> Sync for Mapping<S> {}

impl<S: Source> Drop for Mapping<S> {
    fn drop(&mut self) {
        // SAFETY: this source has mapped it, and the last one who could access it is being dropped.
        unsafe { self.source.unmap(self.base) };
    }
}

/// A library's handle that one thread at a time uses, as the libraries' headers promise nothing about more.
struct Handle(Mutex<NonNull<c_void>>);

// SAFETY: a handle is a descriptor and what belongs to it. It belongs to no thread.
unsafe impl Send for Handle {}
// SAFETY: only who has the lock has the handle.
unsafe impl Sync for Handle {}

impl Handle {
    /// What an `open` function has answered: nothing for an error in `errno`.
    fn new(answer: *mut c_void, what: &'static str) -> Result<Handle, XenError> {
        let handle = NonNull::new(answer).ok_or_else(|| XenError::Open { what, why: io::Error::last_os_error() })?;
        Ok(Handle(Mutex::new(handle)))
    }

    /// Has something done with it.
    fn with<T>(&self, what: impl FnOnce(*mut c_void) -> T) -> T {
        what(self.0.lock().unwrap_or_else(PoisonError::into_inner).as_ptr())
    }

    /// Has a page mapped: `map` answers with its address, or with nothing and `errno`.
    fn map(&self, map: impl FnOnce(*mut c_void) -> *mut c_void) -> io::Result<NonNull<u8>> {
        self.with(|handle| NonNull::new(map(handle).cast()).ok_or_else(io::Error::last_os_error))
    }
}
