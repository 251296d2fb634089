//! Xen's libraries: event channels, pages of guests, the hypervisor's console.
//!
//! They are loaded when they are opened, so the daemon runs, and serves all other logs, where Xen is not installed; and the
//! same program fits every Xen from 4.14 on. `libxenevtchn`, `libxengnttab` and `libxenforeignmemory` have a stable
//! interface, of which only functions of version 1.0 are used (tools/libs/*/include). `libxenctrl` has none, and is used
//! for the hypervisor's console alone: see [`HypervisorConsole`].
//!
//! What is open must not be used in a forked child (the libraries' headers); exec(2) closes it all.

mod event_channels;
mod hypervisor_console;
mod library;
mod logger;
mod memory;

use std::io;

pub use event_channels::EventChannels;
pub use hypervisor_console::HypervisorConsole;
pub use memory::{Memory, PAGE_SIZE, Page};

/// Why something of Xen's cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum XenError {
    /// A library is not installed, or cannot be loaded.
    #[error("cannot load {library} (Debian: apt install {package}): {why}")]
    Library {
        /// Its soname.
        library: String,
        /// The Debian package that has it.
        package: String,
        /// What the loader says.
        why: String,
    },
    /// A library is older than all that this program knows, or no library of Xen's.
    #[error("{library} has no function {function} (Debian: apt install {package})")]
    Function {
        /// What is missing.
        function: String,
        /// The library's soname.
        library: String,
        /// The Debian package that has the right one.
        package: String,
    },
    /// The library is there, but Xen is not, or this program may not use it.
    #[error("cannot open {what}: {why}")]
    Open {
        /// What was to be opened.
        what: &'static str,
        /// What the system answered.
        why: io::Error,
    },
}

/// The answer of a function that sets `errno` and answers with -1 when it fails.
fn checked(answer: libc::c_int) -> io::Result<u32> {
    u32::try_from(answer).map_err(|_| io::Error::last_os_error())
}
