//! The processors of one request for DPCs: one mask for each group (MT-5).

use crate::contract::{CpuNumber, GroupAffinity};

/// Groups of 64 processors that are named at most.
const GROUPS: usize = 4;

/// A set of processors, by number: processor `n` is bit `n % 64` of group `n / 64`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Targets([u64; GROUPS]);

impl Targets {
    /// One processor. One beyond the groups is in no set: its DPC counts as refused.
    #[must_use]
    pub fn of(cpu: CpuNumber) -> Self {
        let mut targets = Self::default();
        targets.add(cpu);
        targets
    }

    /// One processor more.
    pub fn add(&mut self, cpu: CpuNumber) {
        if let Some(mask) = self.0.get_mut((cpu.0 / u64::BITS) as usize) {
            *mask |= 1 << (cpu.0 % u64::BITS);
        }
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> u32 {
        self.0.iter().map(|mask| mask.count_ones()).sum()
    }

    /// One call of NdisMQueueDpcEx each (QD-13).
    pub fn groups(&self) -> impl Iterator<Item = GroupAffinity> + use<> {
        let groups = (0..).zip(self.0).filter(|(_, mask)| *mask != 0);
        groups.map(|(group, mask)| GroupAffinity { group, mask })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_group_is_a_request_of_its_own() {
        let mut targets = Targets::of(CpuNumber(3));
        targets.add(CpuNumber(64));
        targets.add(CpuNumber(3));
        assert_eq!(targets.len(), 2);
        let groups: Vec<_> = targets.groups().map(|group| (group.group, group.mask)).collect();
        assert_eq!(groups, [(0, 8), (1, 1)]);
        assert!(Targets::of(CpuNumber(256)).is_empty());
    }
}
