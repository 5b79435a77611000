//! What stages 2 to 5 of one run work with.

use ioat_spec::{ChanErr, ChannelState, DmaCapability};
use ioat_stage::{Action, Event, Executed, Faults, Mark, Op, Point, Stage, Verdict};

use crate::deviation::Deviation;
use crate::fetch::Slot;
use crate::memory::GuestMemory;
use crate::scribe::Scribe;

/// What the registers said when the run began.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    pub(crate) channel: u8,
    pub(crate) generation: u32,
    /// CHANCMP.
    pub(crate) chan_cmp: u64,
    /// CHANCTRL.ERR_CMP_EN.
    pub(crate) err_cmp_en: bool,
    /// The channel's vector, if there is one.
    pub(crate) vector: Option<u16>,
    /// CHANERRMSK.
    pub(crate) chan_err_msk: ChanErr,
    /// XFERCAP in bytes.
    pub(crate) transfer_max_bytes: u64,
    /// DMACAPABILITY.
    pub(crate) capability: DmaCapability,
}

/// The surroundings of one descriptor on its way.
pub(crate) struct Path<'a, M, F, T> {
    pub(crate) terms: &'a Terms,
    pub(crate) memory: &'a M,
    pub(crate) faults: &'a mut F,
    pub(crate) trace: &'a T,
    /// There is one where faults are possible.
    pub(crate) deviation: Option<&'a mut Deviation>,
}

impl<M: GuestMemory, F: Faults, T: Scribe> Path<'_, M, F, T> {
    /// The same for a rare way, which is a call: what is lent to one has to be in memory, and this need not be.
    #[inline(always)]
    pub(crate) fn again(&mut self) -> Path<'_, M, F, T> {
        let deviation = if F::ACTIVE { self.deviation.as_deref_mut() } else { None };
        Path { terms: self.terms, memory: self.memory, faults: self.faults, trace: self.trace, deviation }
    }

    /// What faults make of this chain; nothing, and nothing of it in the code, where there are none.
    #[inline(always)]
    pub(crate) fn deviation(&mut self) -> Option<&mut Deviation> {
        if F::ACTIVE { self.deviation.as_deref_mut() } else { None }
    }

    /// The fault `early` of a message will befall this descriptor's interrupt. Stage 6 counts it; here it is only foreseen.
    #[inline(always)]
    pub(crate) fn interrupts_early(&mut self, slot: &Slot) -> bool {
        F::ACTIVE && slot.control.int_en() && self.foresees_early(slot)
    }

    #[cold]
    fn foresees_early(&mut self, slot: &Slot) -> bool {
        let Terms { channel, vector, .. } = *self.terms;
        let (address, state) = (u64::from(vector.unwrap_or(0)), Some(ChannelState::Active));
        let op =
            Op { channel: Some(channel), sequence: slot.sequence, address, vector, state, ..Op::default() };
        self.faults.foresees(Point::Msix, &op) == Some(Action::Early)
    }

    /// Asks for the verdict on one operation.
    #[inline(always)]
    pub(crate) fn ask(&mut self, point: Point, sequence: u64, address: u64, len: u64) -> Verdict {
        self.ask_in(ChannelState::Active, point, sequence, address, len)
    }

    /// The same, of a channel in another state than ACTIVE.
    #[inline(always)]
    pub(crate) fn ask_in(
        &mut self,
        state: ChannelState,
        point: Point,
        sequence: u64,
        address: u64,
        len: u64,
    ) -> Verdict {
        let Some(deviation) = self.deviation() else { return None };
        let described = deviation.verdicts.described;
        let (channel, state) = (Some(self.terms.channel), Some(state));
        let op = Op { channel, sequence, address, len, described, state, ..Op::default() };
        let verdict = self.faults.at(point, &op);
        if let Some(deviation) = self.deviation() {
            deviation.verdicts.fired |= verdict.is_some();
        }
        verdict
    }

    /// Tells the trace of a descriptor that is done or has failed. What faults said of it ends here.
    #[inline(always)]
    pub(crate) fn executed(&mut self, slot: &Slot, mark: Mark) {
        let memory = self.memory;
        let mark = self.deviation().map_or(mark, |deviation| deviation.conclude(mark, memory));
        let Terms { channel, generation, .. } = *self.terms;
        let Slot { address: descriptor, sequence, size, destination: address, .. } = *slot;
        self.trace.executed(Executed {
            channel,
            generation,
            sequence,
            descriptor,
            address,
            len: size.into(),
            mark,
        });
    }

    /// Tells the trace of one stage.
    #[inline(always)]
    pub(crate) fn event(&self, stage: Stage, sequence: u64, address: u64, len: u64, mark: Mark) {
        let Terms { channel, generation, .. } = *self.terms;
        self.trace.event(Event {
            stage,
            channel,
            generation,
            sequence,
            address,
            len,
            mark,
            vector: None,
            processor: None,
        });
    }
}

/// The mark of an operation that a CHANERR bit ended.
pub(crate) fn error(chanerr: ChanErr) -> Mark {
    Mark::Error(chanerr.into_bits())
}
