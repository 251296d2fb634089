//! The C interface of xenlog. What each function does is told once, in `include/xenlog.h`.
//!
//! Handles are boxes whose owner is the C caller: made by one function, freed by another, opaque between. Nothing
//! unwinds into C: a panic becomes `-EIO` (or ends the process, where the profile says so).

mod log;
mod opening;
mod outcome;
mod request;

/// The number in the name of the shared library: build.rs.
pub const ABI_VERSION: u32 = 1;

/// `xenlog_abi_version`.
#[unsafe(no_mangle)]
pub extern "C" fn xenlog_abi_version() -> u32 {
    ABI_VERSION
}
