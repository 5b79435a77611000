//! The baselines: what the same memory operations cost without a device.
#![expect(unsafe_code, reason = "a bare loop over addresses is what the device is held against")]

use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};

use ioat_spec::Descriptor;

/// Copies between two buffers of this program's mapping.
pub(crate) fn copy(source: *const u8, destination: *mut u8, len: usize) {
    // SAFETY: callers pass buffers of `len` bytes of one mapping that is alive, and that do not overlap.
    unsafe { ptr::copy_nonoverlapping(source, destination, len) };
}

/// Follows `count` links of a ring whose addresses are this program's own: load the descriptor, copy, store the
/// completion word where one is asked for. Returns where to go on.
#[inline(never)]
pub(crate) fn follow(mut at: u64, count: u64, word: *mut u8) -> u64 {
    for _ in 0..count {
        // SAFETY: `at` and every `next` is the address of a descriptor in a mapping that is alive, and so are its source
        // and destination; `word` is an aligned word there. Nobody else writes to them meanwhile.
        unsafe {
            let descriptor = ptr::read_volatile(ptr::with_exposed_provenance::<Descriptor>(address(at)));
            ptr::copy_nonoverlapping(
                ptr::with_exposed_provenance::<u8>(address(descriptor.source)),
                ptr::with_exposed_provenance_mut::<u8>(address(descriptor.destination)),
                address(descriptor.size.into()),
            );
            if descriptor.control().cmpl_wr() {
                AtomicU64::from_ptr(word.cast()).store(at, Ordering::Release);
            }
            at = descriptor.next;
        }
    }
    at
}

#[inline]
fn address(value: u64) -> usize {
    #[expect(clippy::cast_possible_truncation, reason = "addresses of this program")]
    let address = value as usize;
    address
}
