//! Memory that was used once and is not any more.

/// All threads share what the C library holds ready: what one has given back the others can use. By default each has its own
/// (mallopt(3), M_ARENA_MAX). To be called before there are threads.
pub fn share() {
    #[cfg(target_env = "gnu")]
    // SAFETY: mallopt takes its own locks and only sets a number.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// Gives memory back to the system that the C library holds ready: all pages that nothing lives in, not only those at the end
/// (malloc_trim(3)). Takes about a millisecond for each 10 MiB held.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim takes its own locks and touches only memory that is not allocated.
    unsafe {
        libc::malloc_trim(0);
    }
}
