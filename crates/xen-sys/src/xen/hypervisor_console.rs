//! The hypervisor's own console.

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;
use std::ptr::NonNull;

use libc::{c_char, c_int, c_uint, c_void};

use super::library::Library;
use super::logger::{Logger, silent};
use super::{XenError, checked};

/// The oldest and the newest minor version of Xen 4 whose library is looked for, where it is not that of the running one.
const OTHERS: std::ops::RangeInclusive<u32> = 14..=60;

/// What the hypervisor has written to its console, as it keeps it in its ring.
///
/// It is read by a call that is made for Xen's own tools (`XEN_SYSCTL_readconsole`): the library that makes it has to be of
/// the running Xen's version. So that one is tried first, then others that are installed, the newest first; taken is the
/// first one whose call the hypervisor understands.
pub struct HypervisorConsole {
    functions: Functions,
    handle: NonNull<c_void>,
}

// SAFETY: a handle is some descriptors and buffers, and belongs to no thread. What is not `Sync` is not used by several at
// once.
unsafe impl Send for HypervisorConsole {}

impl fmt::Debug for HypervisorConsole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HypervisorConsole").finish_non_exhaustive()
    }
}

/// As tools/include/xenctrl.h declares them.
struct Functions {
    close: unsafe extern "C" fn(*mut c_void) -> c_int,
    read: unsafe extern "C" fn(*mut c_void, *mut c_char, *mut c_uint, c_int, c_int, *mut u32) -> c_int,
}

impl HypervisorConsole {
    /// Opens it.
    ///
    /// # Errors
    /// That of the running version's library; where the version is not known, that of the first library that is there, if
    /// there is one. See [`XenError`].
    pub fn open() -> Result<HypervisorConsole, XenError> {
        let running = version_in(Path::new("/sys/hypervisor"));
        let mut telling = None;
        for version in versions(running.as_deref()) {
            match HypervisorConsole::of_version(&version) {
                Ok(console) => return Ok(console),
                Err(XenError::Library { .. }) if running.is_none() => {}
                Err(error) => {
                    telling.get_or_insert(error);
                }
            }
        }
        Err(telling.unwrap_or_else(|| XenError::Library {
            library: "libxenctrl.so.4.*".into(),
            package: "libxenmisc4.*".into(),
            why: "no version is installed, and which one is needed is not known".into(),
        }))
    }

    /// Opens it by the library of this version of Xen, and sees that the hypervisor understands it.
    fn of_version(version: &str) -> Result<HypervisorConsole, XenError> {
        let library = Library::open(&format!("libxenctrl.so.{version}"), &format!("libxenmisc{version}"))?;
        // SAFETY: each is as the header declares it.
        let (open, functions) = unsafe {
            let open: unsafe extern "C" fn(*mut Logger, *mut Logger, c_uint) -> *mut c_void =
                library.function(c"xc_interface_open")?;
            let functions = Functions {
                close: library.function(c"xc_interface_close")?,
                read: library.function(c"xc_readconsolering")?,
            };
            (open, functions)
        };
        let failed = |why| XenError::Open { what: "the hypervisor's console", why };
        // SAFETY: the logger lives as long as the program.
        let handle = unsafe { open(silent(), silent(), 0) };
        let handle = NonNull::new(handle).ok_or_else(|| failed(io::Error::last_os_error()))?;
        let console = HypervisorConsole { functions, handle };
        console.read(0, &mut [0]).map_err(failed)?;
        Ok(console)
    }

    /// Reads from where `index` is, which counts all bytes ever written, modulo 2^32. If nothing is there, because it is
    /// overwritten, was cleared by somebody else or never written, it begins with the oldest byte that is there
    /// (xen/drivers/char/console.c). 0 is a good index to begin with.
    ///
    /// Answers with the number of bytes and the index of the next one: as it has gone on by more than these bytes, it has
    /// skipped the rest. 0 bytes when there is nothing new. What is read stays for others.
    ///
    /// # Errors
    /// What the hypervisor answers: `EPERM` where it is not for this domain.
    pub fn read(&self, index: u32, buffer: &mut [u8]) -> io::Result<(usize, u32)> {
        let (clear, incremental) = (0, 1);
        let room = c_uint::try_from(buffer.len()).unwrap_or(c_uint::MAX);
        let (mut count, mut next) = (room, index);
        // SAFETY: an open handle; `buffer` has room for `count` bytes; the numbers live in this frame.
        checked(unsafe {
            let (count, next) = (&raw mut count, &raw mut next);
            (self.functions.read)(self.handle.as_ptr(), buffer.as_mut_ptr().cast(), count, clear, incremental, next)
        })?;
        Ok((count.min(room) as usize, next))
    }
}

impl Drop for HypervisorConsole {
    fn drop(&mut self) {
        // SAFETY: nobody else has the handle.
        unsafe { (self.functions.close)(self.handle.as_ptr()) };
    }
}

/// The versions of which a library may do, the best first.
fn versions(running: Option<&str>) -> impl Iterator<Item = String> {
    running.map(str::to_owned).into_iter().chain(OTHERS.rev().map(|minor| format!("4.{minor}")))
}

/// The version of the running Xen, `4.17` for one, as the kernel says it in this directory.
fn version_in(sys: &Path) -> Option<String> {
    let part = |name| Some(fs::read_to_string(sys.join(name)).ok()?.trim().to_owned());
    (part("type")? == "xen").then_some(())?;
    Some(format!("{}.{}", part("version/major")?, part("version/minor")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_running_version_is_that_of_xen() {
        let sys = tempfile::tempdir().unwrap();
        let write = |name, text| fs::write(sys.path().join(name), text).unwrap();
        assert_eq!(version_in(sys.path()), None);
        fs::create_dir(sys.path().join("version")).unwrap();
        write("version/major", "4\n");
        write("version/minor", "21\n");
        write("type", "other\n");
        assert_eq!(version_in(sys.path()), None);
        write("type", "xen\n");
        assert_eq!(version_in(sys.path()).as_deref(), Some("4.21"));
    }

    #[test]
    fn the_running_version_is_tried_first_then_the_newest() {
        let first = |running| versions(running).take(3).collect::<Vec<_>>();
        assert_eq!(first(Some("4.17")), ["4.17", "4.60", "4.59"]);
        assert_eq!(first(None), ["4.60", "4.59", "4.58"]);
        assert_eq!(versions(None).last().as_deref(), Some("4.14"));
    }
}
