//! Processors, by number and as the 32-bit map of group 0.

use std::fmt;

/// A logical processor.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[must_use = "the DPC must run on the processor that the contract named (ND-I5)"]
pub struct CpuNumber(pub u32);

impl CpuNumber {
    /// Processors of a full group.
    pub const GROUP_SIZE: u32 = 64;

    /// Processor `number` of `group`. The contract's processor numbers are plain 32-bit words and it never says what
    /// they mean beyond group 0; here it is `64 * group + number` (MT-5, our choice).
    pub const fn in_group(group: u16, number: u8) -> Self {
        Self(group as u32 * Self::GROUP_SIZE + number as u32 % Self::GROUP_SIZE)
    }

    /// Its group; beyond the last group there can be, the last.
    #[must_use]
    pub fn group(self) -> u16 {
        u16::try_from(self.0 / Self::GROUP_SIZE).unwrap_or(u16::MAX)
    }

    /// Its bit in its group's mask.
    #[must_use]
    pub const fn bit(self) -> u64 {
        1 << (self.0 % Self::GROUP_SIZE)
    }
}

impl From<ProcessorNumber> for CpuNumber {
    fn from(number: ProcessorNumber) -> Self {
        Self::in_group(number.group, number.number)
    }
}

impl fmt::Display for CpuNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "processor {}", self.0)
    }
}

/// A processor by its group and its number inside that group, 0 to 63.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
#[doc(alias = "PROCESSOR_NUMBER")]
pub struct ProcessorNumber {
    /// The group.
    pub group: u16,
    /// The number in the group. One of 64 and above is no processor.
    pub number: u8,
}

impl From<CpuNumber> for ProcessorNumber {
    fn from(cpu: CpuNumber) -> Self {
        // The remainder is below 64.
        Self { group: cpu.group(), number: u8::try_from(cpu.0 % CpuNumber::GROUP_SIZE).unwrap_or(u8::MAX) }
    }
}

/// A set of processors 0 to 31 of group 0, one bit each (IS-5).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct CpuSet32(pub u32);

impl CpuSet32 {
    /// No processor.
    pub const EMPTY: Self = Self(0);

    /// The processors `0..count`, at most 32.
    #[must_use]
    pub const fn first(count: u32) -> Self {
        Self(if count >= 32 { u32::MAX } else { (1 << count) - 1 })
    }

    /// This processor alone; empty for a number above 31 (QD-8).
    #[must_use]
    pub const fn of(cpu: CpuNumber) -> Self {
        Self(if cpu.0 < 32 { 1 << cpu.0 } else { 0 })
    }

    /// No bit is set.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The bit of `cpu` is set.
    #[must_use]
    pub const fn contains(self, cpu: CpuNumber) -> bool {
        self.0 & Self::of(cpu).0 != 0
    }

    /// This set and `other` together.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What is in both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// What is here and not in `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// How many.
    #[must_use]
    pub const fn len(self) -> u32 {
        self.0.count_ones()
    }

    /// The processors, lowest first.
    pub fn iter(self) -> impl Iterator<Item = CpuNumber> {
        (0..32).map(CpuNumber).filter(move |cpu| self.contains(*cpu))
    }
}

impl fmt::Debug for CpuSet32 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CpuSet32({:#b})", self.0)
    }
}

/// Processors of one group: 64 bits, bit `n` for processor `n` of the group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[doc(alias = "GROUP_AFFINITY")]
pub struct GroupAffinity {
    /// The processors.
    pub mask: u64,
    /// The group.
    pub group: u16,
}

impl GroupAffinity {
    /// `cpu` is one of them.
    #[must_use]
    pub fn contains(self, cpu: CpuNumber) -> bool {
        cpu.group() == self.group && self.mask & cpu.bit() != 0
    }

    /// Those that exist when there are `processors` in all, in full groups but the last.
    #[must_use]
    pub fn existing(self, processors: u32) -> Self {
        let before = u32::from(self.group).saturating_mul(CpuNumber::GROUP_SIZE);
        let mask = match processors.saturating_sub(before) {
            0 => 0,
            count @ 1..64 => self.mask & ((1 << count) - 1),
            _ => self.mask,
        };
        Self { mask, ..self }
    }

    /// The part that the 32-bit map of group 0 can say.
    #[must_use]
    pub const fn low(self) -> CpuSet32 {
        let bytes = self.mask.to_le_bytes();
        CpuSet32(match self.group {
            0 => u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]),
            _ => 0,
        })
    }

    /// The processors, lowest first.
    pub fn iter(self) -> impl Iterator<Item = CpuNumber> {
        (0..64)
            .map(move |number| CpuNumber::in_group(self.group, number))
            .filter(move |cpu| self.contains(*cpu))
    }
}
