//! The raw accesses of stages 2 (fetch), 4 (copy) and 5 (complete), on slices that a pin resolved.
//!
//! The client may change any byte at any time, so nothing here makes a reference to its memory, and a descriptor is
//! loaded once, into a copy of our own (R44). All but the shortest copies are `vm-memory`'s volatile or atomic accesses.
#![expect(unsafe_code, reason = "a short copy costs less than the call of memmove would")]

use std::ptr;
use std::sync::atomic::Ordering;

use vm_memory::{Bytes, VolatileMemory, VolatileMemoryError, VolatileSlice};

/// Bytes that [`fill`] writes at a time.
const FILL_CHUNK: usize = 1024;

/// Copies as many bytes as both have, at memmove speed; the two may overlap and be aligned in any way.
#[inline]
pub fn copy(source: &VolatileSlice<'_>, destination: &VolatileSlice<'_>) {
    match source.len().min(destination.len()) {
        // A cache line, the most frequent of the short ones.
        64 => copy_ends::<64>(source, destination, 64),
        len @ 32..=64 if disjoint(source, destination, len) => copy_ends::<32>(source, destination, len),
        len @ 65..=128 if disjoint(source, destination, len) => copy_ends::<64>(source, destination, len),
        _ => source.copy_to_volatile_slice(*destination),
    }
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

/// The first `len` bytes of the two have none in common.
#[inline(always)]
fn disjoint(source: &VolatileSlice<'_>, destination: &VolatileSlice<'_>, len: usize) -> bool {
    source.ptr_guard().as_ptr().addr().abs_diff(destination.ptr_guard().as_ptr().addr()) >= len
}

/// Copies `len` bytes, `N` to `2 * N`: the first `N`, and then the last `N`. The two must be disjoint if `len` is not `N`.
#[inline(always)]
fn copy_ends<const N: usize>(source: &VolatileSlice<'_>, destination: &VolatileSlice<'_>, len: usize) {
    debug_assert!((N..=2 * N).contains(&len) && len <= source.len().min(destination.len()));
    let (from, to) = (source.ptr_guard(), destination.ptr_guard_mut());
    let (from, to) = (from.as_ptr(), to.as_ptr());
    let rest = len - N;
    // A memmove whose length the compiler knows is a few loads and stores; `vm-memory` has none.
    // SAFETY: both slices have `len` bytes, which hold `[0, N)` and `[rest, rest + N)`, and `ptr::copy` asks for no
    // alignment of bytes. Raw copies, as in `vm-memory`'s own: the client may write meanwhile.
    unsafe {
        ptr::copy(from, to, N);
        if rest > 0 {
            ptr::copy(from.add(rest), to.add(rest), N);
        }
    }
}

#[cfg(test)]
mod tests {
    use vm_memory::VolatileSlice;

    #[test]
    fn short_copies_of_every_length_and_overlap_move_what_was_there() {
        for len in 0..=160_usize {
            for (from, to) in (0..=130).map(|shift| (0, shift)).chain((1..=130).map(|shift| (shift, 0))) {
                let mut memory: Vec<u8> = (0..=u8::MAX).chain(0..64).collect();
                let mut expected = memory.clone();
                expected.copy_within(from..from + len, to);
                let all = VolatileSlice::from(&mut memory[..]);

                super::copy(&all.subslice(from, len).unwrap(), &all.subslice(to, len).unwrap());

                assert_eq!(memory, expected, "{len} bytes from {from} to {to}");
            }
        }
    }
}
