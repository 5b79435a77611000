//! How many processors there are, and in which groups.

use crate::contract::{CpuNumber, GroupAffinity};

/// Processors in groups: all groups are full but the last. With fewer than 64 in a group, the numbers between the
/// last processor of one group and the first of the next exist nowhere.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ProcessorLayout {
    /// All processors, 1 to [`Self::COUNT_MAX`].
    pub count: u32,
    /// Processors of a full group, 1 to 64.
    pub per_group: u32,
}

impl From<u32> for ProcessorLayout {
    fn from(count: u32) -> Self {
        Self { count, per_group: CpuNumber::GROUP_SIZE }
    }
}

impl ProcessorLayout {
    /// The most processors. Each is a thread, so this bounds what a typing error can start.
    pub const COUNT_MAX: u32 = 2048;

    /// Within the bounds that the fields name.
    #[must_use]
    pub const fn is_sound(self) -> bool {
        self.count >= 1
            && self.count <= Self::COUNT_MAX
            && self.per_group >= 1
            && self.per_group <= CpuNumber::GROUP_SIZE
    }

    /// How many groups have processors.
    #[must_use]
    pub fn groups(self) -> u32 {
        self.count.div_ceil(self.width())
    }

    /// The processors of `group`; empty for a group that is not there.
    #[must_use]
    pub fn active(self, group: u16) -> GroupAffinity {
        let before = u32::from(group).saturating_mul(self.width());
        let mask = match self.count.saturating_sub(before).min(self.width()) {
            count @ 0..64 => (1 << count) - 1,
            _ => u64::MAX,
        };
        GroupAffinity { mask, group }
    }

    /// Which one it is, counting from 0 without gaps; none if it does not exist.
    #[must_use]
    pub fn index(self, cpu: CpuNumber) -> Option<u32> {
        let (group, number) = (cpu.0 / CpuNumber::GROUP_SIZE, cpu.0 % CpuNumber::GROUP_SIZE);
        let index = group.checked_mul(self.width())?.checked_add(number)?;
        (number < self.width() && index < self.count).then_some(index)
    }

    /// The number of processor `index`, counting from 0 without gaps.
    pub fn number(self, index: u32) -> CpuNumber {
        CpuNumber(index / self.width() * CpuNumber::GROUP_SIZE + index % self.width())
    }

    /// A layout is checked where processors are started; what the arithmetic here needs holds always.
    fn width(self) -> u32 {
        self.per_group.clamp(1, CpuNumber::GROUP_SIZE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAYOUTS: [(u32, u32); 6] = [(1, 64), (64, 64), (65, 64), (256, 64), (7, 3), (2048, 1)];

    #[test]
    fn every_processor_has_one_number_in_the_mask_of_its_group() {
        for (count, per_group) in LAYOUTS {
            let layout = ProcessorLayout { count, per_group };
            let groups = u16::try_from(layout.groups()).expect("at most as many groups as processors");
            let numbers: Vec<_> = (0..groups).flat_map(|group| layout.active(group).iter()).collect();
            assert_eq!(numbers, (0..count).map(|index| layout.number(index)).collect::<Vec<_>>());
            for (index, cpu) in (0..).zip(&numbers) {
                assert_eq!(layout.index(*cpu), Some(index));
            }
            assert_eq!(layout.active(groups).mask, 0);
        }
    }

    #[test]
    fn a_number_between_groups_or_beyond_them_is_no_processor() {
        let layout = ProcessorLayout { count: 7, per_group: 3 };
        let there: Vec<_> = (0..300).filter(|number| layout.index(CpuNumber(*number)).is_some()).collect();
        assert_eq!(there, [0, 1, 2, 64, 65, 66, 128]);
        assert_eq!(layout.index(CpuNumber(u32::MAX)), None);
    }
}
