//! The raw accesses of stages 2 (fetch), 4 (copy) and 5 (complete), on slices that a pin resolved.
//!
//! The client may change any byte at any time, so nothing here makes a reference to its memory, and a descriptor is
//! loaded once, into a copy of our own (R44). All of them are `vm-memory`'s volatile or atomic accesses.

use std::sync::atomic::Ordering;

use vm_memory::{Bytes, VolatileMemory, VolatileMemoryError, VolatileSlice};

/// Bytes that [`fill`] writes at a time.
const FILL_CHUNK: usize = 1024;

/// Copies as many bytes as both have, at memmove speed; the two may overlap and be aligned in any way.
#[inline]
pub fn copy(source: &VolatileSlice<'_>, destination: &VolatileSlice<'_>) {
    source.copy_to_volatile_slice(*destination);
}

/// Loads the 64 bytes of a descriptor, each 8-byte word by one load, in host byte order.
///
/// # Errors
///
/// When the slice holds fewer than 64 bytes.
#[inline]
pub fn load_descriptor(source: &VolatileSlice<'_>) -> Result<[u64; 8], VolatileMemoryError> {
    let words = source.get_array_ref::<u64>(0, 8)?;
    Ok(std::array::from_fn(|i| words.load(i)))
}

/// Fills the slice with an 8-byte pattern. `phase` is the slice's position in the whole fill: byte `j` of the
/// slice becomes byte `(phase + j) % 8` of the pattern.
pub fn fill(destination: &VolatileSlice<'_>, pattern: [u8; 8], phase: u64) {
    let mut turned = pattern;
    turned.rotate_left((phase % 8) as usize);
    let mut chunk = [0; FILL_CHUNK];
    let chunk_len = FILL_CHUNK.min(destination.len().next_multiple_of(8));
    for word in chunk[..chunk_len].chunks_exact_mut(8) {
        word.copy_from_slice(&turned);
    }
    let mut done = 0;
    while let Ok(rest) = destination.offset(done) {
        let n = rest.len().min(chunk_len);
        if n == 0 {
            break;
        }
        rest.copy_from(&chunk[..n]);
        done += n;
    }
}

/// Stores a word at the start of the slice, in one piece; everything that this thread wrote before is visible to
/// whoever sees it. This is the completion word's store.
///
/// # Errors
///
/// When the slice holds fewer than 8 bytes or is not 8-byte aligned in host memory.
#[inline]
pub fn store_u64(destination: &VolatileSlice<'_>, value: u64) -> Result<(), VolatileMemoryError> {
    destination.store(value, 0, Ordering::Release)
}

/// Loads the word at the start of the slice, in one piece; what its writer wrote before is visible then.
///
/// # Errors
///
/// When the slice holds fewer than 8 bytes or is not 8-byte aligned in host memory.
#[inline]
pub fn load_u64(source: &VolatileSlice<'_>) -> Result<u64, VolatileMemoryError> {
    source.load(0, Ordering::Acquire)
}
