//! Gives freed memory back to the system: the allocator would keep what a removed million-entry table took.
#![expect(unsafe_code, reason = "malloc_trim is a C function")]

/// Asks the allocator to return what it does not use.
pub(super) fn trim() {
    // glibc's own; other libcs return large frees by themselves.
    // SAFETY: malloc_trim touches no memory of ours and may be called by any thread at any time.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::malloc_trim(0)
    };
}
