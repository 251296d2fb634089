//! Event channels.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::ptr::NonNull;

use libc::{c_int, c_uint, c_void};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::{Errno, FdFlags, fcntl_getfd, fcntl_setfd};

use super::library::Library;
use super::logger::{Logger, silent};
use super::{XenError, checked};

/// `xenevtchn_handle`.
type Handle = *mut c_void;

/// All event channels of this program, on one handle: any number of them, with one descriptor to wait for.
///
/// A *port* is the number that a channel has at this end.
pub struct EventChannels {
    functions: Functions,
    handle: NonNull<c_void>,
}

// SAFETY: a handle is a descriptor and what belongs to it, and belongs to no thread: xenevtchn.h speaks only of several
// threads that use one at once, and what is not `Sync` is not used so.
unsafe impl Send for EventChannels {}

impl fmt::Debug for EventChannels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventChannels").field("fd", &self.as_fd()).finish_non_exhaustive()
    }
}

/// As tools/libs/evtchn/include/xenevtchn.h declares them, VERS_1.0.
struct Functions {
    close: unsafe extern "C" fn(Handle) -> c_int,
    fd: unsafe extern "C" fn(Handle) -> c_int,
    notify: unsafe extern "C" fn(Handle, u32) -> c_int,
    bind_interdomain: unsafe extern "C" fn(Handle, u32, u32) -> c_int,
    bind_virq: unsafe extern "C" fn(Handle, c_uint) -> c_int,
    unbind: unsafe extern "C" fn(Handle, u32) -> c_int,
    unmask: unsafe extern "C" fn(Handle, u32) -> c_int,
}

impl EventChannels {
    /// Opens a new handle, without any channel.
    ///
    /// # Errors
    /// See [`XenError`].
    pub fn open() -> Result<EventChannels, XenError> {
        let library = Library::open("libxenevtchn.so.1", "libxenevtchn1")?;
        // SAFETY: each is as the header declares it; `unsigned int flags` is as good as ever without one.
        let (open, functions) = unsafe {
            let open: unsafe extern "C" fn(*mut Logger, c_uint) -> Handle = library.function(c"xenevtchn_open")?;
            let functions = Functions {
                close: library.function(c"xenevtchn_close")?,
                fd: library.function(c"xenevtchn_fd")?,
                notify: library.function(c"xenevtchn_notify")?,
                bind_interdomain: library.function(c"xenevtchn_bind_interdomain")?,
                bind_virq: library.function(c"xenevtchn_bind_virq")?,
                unbind: library.function(c"xenevtchn_unbind")?,
                unmask: library.function(c"xenevtchn_unmask")?,
            };
            (open, functions)
        };
        let failed = |why| XenError::Open { what: "Xen's event channels", why };
        // SAFETY: the logger lives as long as the program.
        let handle = unsafe { open(silent(), 0) };
        let handle = NonNull::new(handle).ok_or_else(|| failed(io::Error::last_os_error()))?;
        let channels = EventChannels { functions, handle };
        channels.prepare().map_err(|errno| failed(errno.into()))?;
        Ok(channels)
    }

    /// Closed by exec(2), which is so in all libraries of today, but promised by none; and no read waits when there is nothing.
    fn prepare(&self) -> Result<(), Errno> {
        fcntl_setfd(self, fcntl_getfd(self)? | FdFlags::CLOEXEC)?;
        fcntl_setfl(self, fcntl_getfl(self)? | OFlags::NONBLOCK)
    }

    /// Makes a channel to the port `remote` of a domain, which has to be waiting for this domain. Answers with the local port.
    ///
    /// Xen makes it pending at once, so what the domain said before is not overlooked.
    ///
    /// # Errors
    /// What Xen answers: `ESRCH` for no such domain, `EINVAL` for a port that waits for nobody or for another.
    pub fn bind_interdomain(&self, domid: u16, remote: u32) -> io::Result<u32> {
        // SAFETY: numbers only, on an open handle. So are all calls below.
        checked(unsafe { (self.functions.bind_interdomain)(self.handle.as_ptr(), domid.into(), remote) })
    }

    /// Makes a channel from a virtual interrupt of Xen's (`VIRQ_` in xen/include/public/xen.h). Answers with the local port.
    ///
    /// # Errors
    /// What Xen answers: `EEXIST` or `EBUSY` if another one has it.
    pub fn bind_virq(&self, virq: u32) -> io::Result<u32> {
        // SAFETY: see `bind_interdomain`.
        checked(unsafe { (self.functions.bind_virq)(self.handle.as_ptr(), virq) })
    }

    /// Ends a channel. The other end's port waits for this domain again.
    ///
    /// # Errors
    /// What the system answers: `ENOTCONN` for a port that is not bound here.
    pub fn unbind(&self, local: u32) -> io::Result<()> {
        // SAFETY: see `bind_interdomain`.
        checked(unsafe { (self.functions.unbind)(self.handle.as_ptr(), local) }).map(drop)
    }

    /// Sends an event to the other end.
    ///
    /// # Errors
    /// What the system answers: `ENOTCONN` for a port that is not bound here.
    pub fn notify(&self, local: u32) -> io::Result<()> {
        // SAFETY: see `bind_interdomain`.
        checked(unsafe { (self.functions.notify)(self.handle.as_ptr(), local) }).map(drop)
    }

    /// Lets the next event of a port through: one that came meanwhile is pending at once.
    ///
    /// # Errors
    /// What the system answers.
    pub fn unmask(&self, local: u32) -> io::Result<()> {
        // SAFETY: see `bind_interdomain`.
        checked(unsafe { (self.functions.unmask)(self.handle.as_ptr(), local) }).map(drop)
    }

    /// Takes ports that have an event, as many as there are and have room. Each is masked from now on: it comes again only
    /// after [`EventChannels::unmask`]. Never waits; 0 when there is none.
    ///
    /// # Errors
    /// What the system answers.
    pub fn pending(&self, ports: &mut [u32]) -> io::Result<usize> {
        // The library's own function takes one port for each call; what it does is to read one from the descriptor.
        let mut bytes = [0; 4096];
        let wanted = size_of_val(ports).min(bytes.len());
        let read = loop {
            match rustix::io::read(self, &mut bytes[..wanted]) {
                Ok(read) => break read,
                Err(Errno::AGAIN) => return Ok(0),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        };
        let (found, _) = bytes[..read].as_chunks();
        for (port, bytes) in ports.iter_mut().zip(found) {
            *port = u32::from_ne_bytes(*bytes);
        }
        Ok(found.len())
    }
}

impl AsFd for EventChannels {
    /// Readable when [`EventChannels::pending`] has something to say.
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: it is open, and the handle's own until that is closed, which is not before `self` is dropped.
        unsafe { BorrowedFd::borrow_raw((self.functions.fd)(self.handle.as_ptr())) }
    }
}

impl Drop for EventChannels {
    fn drop(&mut self) {
        // SAFETY: nobody else has the handle. What it had bound is unbound by the system.
        unsafe { (self.functions.close)(self.handle.as_ptr()) };
    }
}
