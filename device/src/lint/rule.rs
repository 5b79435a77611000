//! What the lint looks for: each rule with its word, how bad it is, and the clause of the device model behind it.

use std::fmt;

/// Dry doorbells after which an interrupt counts as not re-armed. A dry doorbell starts a channel that had run idle
/// while an interrupt event waited behind CHANCTRL.INT_DIS. A driver that is only slow re-arms long before: each dry
/// doorbell is a whole batch that came and went. There is no clock in the core, so batches are the measure.
pub const DRY_DOORBELLS: u32 = 64;

/// How bad it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Severity {
    /// The model forbids it: the engine loses work, corrupts memory, or does what is not defined.
    Violation,
    /// Without effect here, or defined but careless.
    Notice,
}

/// What a driver must not do.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Rule {
    /// CHAINADDR was written while the engine works.
    ChainAddrWhileActive,
    /// CHAINADDR is not 64-byte aligned.
    ChainAddrMisaligned,
    /// A descriptor changed between its doorbell and its fetch. The FENCE bit, the software fields and the link of the
    /// last descriptor may change (3.4).
    DescriptorChanged,
    /// The link of a descriptor changed after the engine had read it, and DMACOUNT moved on as if it had not.
    LinkChangedAfterFetch,
    /// CHANCMP is not 8-byte aligned.
    ChanCmpMisaligned,
    /// CHANCMP got another value while the engine works.
    ChanCmpWhileActive,
    /// A descriptor wants the completion word, and CHANCMP is 0.
    CompletionWithoutChanCmp,
    /// An interrupt event waits, and the driver goes on without a re-arm: [`DRY_DOORBELLS`] times.
    InterruptNotRearmed,
    /// Memory was unmapped that the engine still needs: a buffer, the ring, or the completion word.
    UnmappedTooEarly,
    /// DMACOUNT is not ahead of its old value: by more than half its range, or beyond what it can tell apart.
    DmaCountBackwards,
    /// DMACOUNT was written and there is no chain.
    DoorbellWithoutChain,
    /// DMACOUNT was written while bus mastering is off.
    DoorbellWithoutBusMaster,
    /// Bus mastering went off while the engine works.
    BusMasterOffWhileActive,
    /// Several commands at once.
    SeveralCommands,
    /// CHAINADDR was written while CHANERR still says why the channel halted.
    ChainAddrAfterError,
    /// DMACOUNT was written while the channel is suspended.
    DoorbellWhileSuspended,
    /// RESET without SUSPEND while the engine works.
    ResetWhileActive,
    /// A register that cannot be written was written.
    ReadOnlyRegister,
    /// Bits without a meaning on version 3 were set.
    ReservedBits,
    /// An access that is not naturally aligned.
    UnalignedAccess,
}

impl Rule {
    /// All rules, violations first.
    pub const ALL: [Self; 20] = [
        Self::ChainAddrWhileActive,
        Self::ChainAddrMisaligned,
        Self::DescriptorChanged,
        Self::LinkChangedAfterFetch,
        Self::ChanCmpMisaligned,
        Self::ChanCmpWhileActive,
        Self::CompletionWithoutChanCmp,
        Self::InterruptNotRearmed,
        Self::UnmappedTooEarly,
        Self::DmaCountBackwards,
        Self::DoorbellWithoutChain,
        Self::DoorbellWithoutBusMaster,
        Self::BusMasterOffWhileActive,
        Self::SeveralCommands,
        Self::ChainAddrAfterError,
        Self::DoorbellWhileSuspended,
        Self::ResetWhileActive,
        Self::ReadOnlyRegister,
        Self::ReservedBits,
        Self::UnalignedAccess,
    ];

    /// Its word in logs and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.about().0
    }

    /// How bad it is.
    #[must_use]
    pub const fn severity(self) -> Severity {
        // The order of the rules: notices come last.
        if self as u8 >= Self::ChainAddrAfterError as u8 { Severity::Notice } else { Severity::Violation }
    }

    /// The clause of the device model that it comes from.
    #[must_use]
    pub const fn source(self) -> &'static str {
        self.about().1
    }

    const fn about(self) -> (&'static str, &'static str) {
        match self {
            Self::ChainAddrWhileActive => ("chainaddr-while-active", "device model 3.2"),
            Self::ChainAddrMisaligned => ("chainaddr-misaligned", "device model 3.3"),
            Self::DescriptorChanged => ("descriptor-changed", "device model 3.4"),
            Self::LinkChangedAfterFetch => ("link-changed-after-fetch", "device model 3.4; ND-P7, ND-P8"),
            Self::ChanCmpMisaligned => ("chancmp-misaligned", "device model 2.2"),
            Self::ChanCmpWhileActive => ("chancmp-while-active", "device model 3.7"),
            Self::CompletionWithoutChanCmp => ("completion-without-chancmp", "device model 3.7"),
            Self::InterruptNotRearmed => ("interrupt-not-rearmed", "device model 2.5, 3.9"),
            Self::UnmappedTooEarly => ("unmapped-too-early", "device model 3.7, 3.10"),
            Self::DmaCountBackwards => ("dmacount-backwards", "device model 3.4"),
            Self::DoorbellWithoutChain => ("doorbell-without-chain", "device model 3.2"),
            Self::DoorbellWithoutBusMaster => ("doorbell-without-bus-master", "device model 1.5"),
            Self::BusMasterOffWhileActive => ("bus-master-off-while-active", "device model 1.5"),
            Self::SeveralCommands => ("several-commands", "device model 3.5"),
            Self::ChainAddrAfterError => ("chainaddr-after-error", "device model 3.2, 5.1"),
            Self::DoorbellWhileSuspended => ("doorbell-while-suspended", "device model 3.2"),
            Self::ResetWhileActive => ("reset-while-active", "device model 3.6, 6.1"),
            Self::ReadOnlyRegister => ("read-only-register", "device model 2.1, 2.2"),
            Self::ReservedBits => ("reserved-bits", "device model 2.5, 3.5"),
            Self::UnalignedAccess => ("unaligned-access", "device model 2"),
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Violation => "violation",
            Self::Notice => "notice",
        })
    }
}
