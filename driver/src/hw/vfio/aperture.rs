//! Which I/O virtual addresses an IOMMU translates: the answer to VFIO_IOMMU_GET_INFO.

use std::ops::RangeInclusive;

use vfio_bindings::bindings::vfio::{VFIO_IOMMU_INFO_CAPS, VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE};

/// Where the answer's fields lie (`struct vfio_iommu_type1_info`).
const FLAGS: usize = 4;
const CAP_OFFSET: usize = 16;

/// Where a capability's fields lie (`struct vfio_info_cap_header` and the ranges behind it).
const CAP_ID: usize = 0;
const CAP_NEXT: usize = 4;
const RANGE_COUNT: usize = 8;
const RANGES: usize = 16;
const RANGE: usize = 16;

/// The usable ranges. Empty when the kernel does not say.
pub(super) fn ranges(info: &[u8]) -> Vec<RangeInclusive<u64>> {
    find(info).unwrap_or_default()
}

fn find(info: &[u8]) -> Option<Vec<RangeInclusive<u64>>> {
    if u32_at(info, FLAGS)? & VFIO_IOMMU_INFO_CAPS == 0 {
        return None;
    }
    let mut at = index(u32_at(info, CAP_OFFSET)?)?;
    while at != 0 {
        let capability = info.get(at..)?;
        let id = u16::from_ne_bytes(*capability.get(CAP_ID..)?.first_chunk()?);
        if u32::from(id) == VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE {
            let count = index(u32_at(capability, RANGE_COUNT)?)?;
            let ranges = capability.get(RANGES..)?.chunks_exact(RANGE).take(count);
            return ranges.map(|range| Some(u64_at(range, 0)?..=u64_at(range, 8)?)).collect();
        }
        // The kernel's list only goes forward; anything else would go round for ever.
        let next = index(u32_at(capability, CAP_NEXT)?)?;
        at = if next > at { next } else { 0 };
    }
    None
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|word| u32::from_ne_bytes(*word))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|word| u64::from_ne_bytes(*word))
}

fn index(value: u32) -> Option<usize> {
    usize::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The fixed part, a capability of another kind, and the ranges of a VT-d unit with 39 bits.
    fn answer() -> Vec<u8> {
        let words: [u32; 6] = [96, 3, 0x1000, 0, 24, 0];
        let other: [u32; 4] = [3 | 1 << 16, 40, 65535, 0];
        let ours: [u32; 4] = [1 | 1 << 16, 0, 2, 0];
        let ranges: [u64; 4] = [0, 0xfedf_ffff, 0xfef0_0000, 0x7f_ffff_ffff];
        let words = words.iter().chain(&other).chain(&ours).flat_map(|word| word.to_ne_bytes());
        words.chain(ranges.iter().flat_map(|word| word.to_ne_bytes())).collect()
    }

    #[test]
    fn the_ranges_behind_another_capability_are_found() {
        assert_eq!(ranges(&answer()), [0..=0xfedf_ffff, 0xfef0_0000..=0x7f_ffff_ffff]);
    }

    #[test]
    fn an_answer_without_capabilities_says_nothing() {
        let mut without = answer();
        without[FLAGS] = 1;
        assert_eq!(ranges(&without), []);
    }

    #[test]
    fn a_cut_answer_or_a_list_in_a_circle_says_nothing_and_ends() {
        for len in 0..56 {
            assert_eq!(ranges(&answer()[..len]), [], "{len}");
        }
        let mut circle = answer();
        circle[28..32].copy_from_slice(&24_u32.to_ne_bytes());
        assert_eq!(ranges(&circle), []);
    }
}
