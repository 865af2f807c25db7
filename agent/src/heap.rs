//! What a look leaves of the heap goes back to the system: a resident agent looks for a moment and waits for an hour.

#![expect(unsafe_code, reason = "the allocator's own call has no safe form")]

/// Gives the pages that are free back.
pub(crate) fn trim() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it takes the allocator's own locks, and leaves what is in use where it is. See `malloc_trim(3)`.
    unsafe {
        libc::malloc_trim(0);
    }
}
