//! What a channel's registers were told: looked at before the write takes effect.

use std::sync::Arc;

use ioat_spec::{ChanCmd, ChanCtrl, ChanErr, ChannelRegister, ChannelState};

use super::book::{Finding, LintBook, Place, Value};
use super::rule::{DRY_DOORBELLS, Rule};
use super::under_way::Watch;
use crate::channel::{Channel, State};
use crate::fetch::{self, ALIGNMENT_MASK, Position};
use crate::memory::{DmaTable, Reader};
use crate::registers::Written;
use crate::unaffiliated::Unaffiliated;

/// CHANCTRL's bits that mean something (2.5).
const CHANCTRL_DEFINED: u64 = 0x033d;
/// CHANCMD's commands, and those of them that version 3 has.
const CHANCMD_ALL: u64 = 0x3f;
const CHANCMD_V3: u64 =
    ChanCmd::new().with_suspend(true).with_resume(true).with_reset(true).into_bits() as u64;
/// Bits of CHANCMP that must be 0.
const CHANCMP_MASK: u64 = 0x7;

/// One channel's part of the lint.
pub(crate) struct ChannelLint {
    channel: u8,
    book: Arc<LintBook>,
    watch: Arc<Watch>,
    /// For descriptors at their doorbell; not here while it is in use.
    reader: Option<Reader>,
    /// Dry doorbells since the last re-arm.
    dry: u32,
    generation: u32,
}

impl<F> Channel<F> {
    /// Looks at a write before it takes effect.
    #[inline]
    pub(crate) fn inspect(&mut self, register: ChannelRegister, written: Written, rest: &Unaffiliated) {
        if let Some(mut lint) = self.lint.take() {
            lint.inspect(register, written, self, rest);
            self.lint = Some(lint);
        }
    }

    /// Looks at what the write made of the chain.
    #[inline]
    pub(crate) fn observe(&mut self) {
        let Some(lint) = &mut self.lint else { return };
        if lint.generation == self.generation {
            return;
        }
        (lint.generation, lint.dry) = (self.generation, 0);
        match &self.state {
            State::Armed(chain) => {
                lint.watch.start(self.generation, chain.place.sequence, chain.place.next);
            }
            _ => lint.watch.clear(self.generation),
        }
    }

    /// Bus mastering is about to go off.
    pub(crate) fn inspect_bus_master_off(&self) {
        let Some(lint) = &self.lint else { return };
        if lint.active(self) {
            let (found, expected) = (Value::Word("ACTIVE"), Value::Word("a channel that is stopped"));
            lint.note(Rule::BusMasterOffWhileActive, "CHANSTS", found, expected);
        }
    }

    /// What of `[first, last]` the engine still needs.
    pub(crate) fn needs(&self, first: u64, last: u64) -> Option<Finding> {
        let lint = self.lint.as_ref()?;
        if lint.active(self) { lint.watch.needs(first, last, self.kept.chan_cmp) } else { None }
    }

    /// For a run.
    pub(crate) fn watch(&self) -> Option<Arc<Watch>> {
        self.lint.as_ref().map(|lint| Arc::clone(&lint.watch))
    }
}

impl ChannelLint {
    pub(crate) fn new(channel: u8, book: &Arc<LintBook>, table: &Arc<DmaTable>) -> Self {
        let watch = Arc::new(Watch::new(channel, Arc::clone(book)));
        let reader = Some(table.reader());
        Self { channel, book: Arc::clone(book), watch, reader, dry: 0, generation: 0 }
    }

    fn inspect<F>(
        &mut self,
        register: ChannelRegister,
        written: Written,
        channel: &Channel<F>,
        rest: &Unaffiliated,
    ) {
        match register {
            ChannelRegister::ChanCtrl => self.chan_ctrl(written),
            ChannelRegister::ChanCmd => self.chan_cmd(written, channel),
            ChannelRegister::DmaCount => self.dma_count(written, channel, rest),
            ChannelRegister::ChainAddr => self.chain_addr(written, channel),
            ChannelRegister::ChanCmp => self.chan_cmp(written, channel),
            ChannelRegister::DmaComp | ChannelRegister::ChanSts | ChannelRegister::Cdar => {
                let (found, expected) = (Value::Hex(written.bits), Value::Word("no write"));
                self.note(Rule::ReadOnlyRegister, register.name(), found, expected);
            }
            ChannelRegister::ChanErr | ChannelRegister::ChanErrMsk | ChannelRegister::DcaCtrl => {}
        }
    }

    fn chan_ctrl(&mut self, written: Written) {
        if written.bits & u64::from(ChanCtrl::new().with_int_dis(true).into_bits()) != 0 {
            self.dry = 0;
        }
        self.only("CHANCTRL", written.bits, CHANCTRL_DEFINED);
    }

    fn chan_cmd<F>(&self, written: Written, channel: &Channel<F>) {
        let commands = written.bits & CHANCMD_ALL;
        if commands.count_ones() > 1 {
            let (found, expected) = (Value::Hex(written.bits), Value::Word("one command"));
            return self.note(Rule::SeveralCommands, "CHANCMD", found, expected);
        }
        self.only("CHANCMD", written.bits, CHANCMD_V3);
        let command = ChanCmd::from_bits(commands.to_le_bytes()[0]);
        if command.reset() && self.active(channel) {
            let (found, expected) = (Value::Word("ACTIVE"), Value::Word("SUSPENDED, by a SUSPEND before"));
            self.note(Rule::ResetWhileActive, "CHANCMD", found, expected);
        }
        if command.resume() {
            // What was suspended may have been edited meanwhile.
            self.watch.forget();
        }
    }

    fn dma_count<F>(&mut self, written: Written, channel: &Channel<F>, rest: &Unaffiliated) {
        let old = channel.signals.look().count();
        let [a, b, ..] = written.onto(old.into()).to_le_bytes();
        let count = u16::from_le_bytes([a, b]);
        let moves = count != old;
        let found = Value::Count(count.into());
        let state = channel.state.code();
        if state == ChannelState::Halted {
            // A chain that an error has ended is another matter: the doorbell may have been under way by then.
            if count != 0 && !self.watch.started() {
                let expected = Value::Word("CHAINADDR first");
                self.note(Rule::DoorbellWithoutChain, "DMACOUNT", found, expected);
            }
            return;
        }
        if moves && state == ChannelState::Suspended {
            let expected = Value::Word("CHAINADDR first: the channel is suspended");
            self.note(Rule::DoorbellWhileSuspended, "DMACOUNT", found, expected);
        }
        if moves && !rest.bus_master() {
            let expected = Value::Word("bus mastering on first");
            self.note(Rule::DoorbellWithoutBusMaster, "DMACOUNT", found, expected);
        }
        if moves && state == ChannelState::Idle && channel.latch.holds_back() && rest.interrupts_reach() {
            self.dry_doorbell();
        }
        self.submit(count, channel.kept.chan_cmp);
    }

    fn dry_doorbell(&mut self) {
        self.dry += 1;
        if self.dry == DRY_DOORBELLS {
            let found = Value::Count(self.dry.into());
            let expected = Value::Word("a re-arm before so many batches");
            self.note(Rule::InterruptNotRearmed, "CHANCTRL", found, expected);
            self.dry = 0;
        }
    }

    fn submit(&mut self, count: u16, chan_cmp: u64) {
        let Some(reader) = self.reader.take() else { return };
        let pin = reader.pin();
        let load = |address| fetch::load(Position { address, first: false, sequence: 0 }, &pin).ok();
        self.watch.submit(count, chan_cmp, load);
        self.reader = Some(pin.unpin());
    }

    fn chain_addr<F>(&self, written: Written, channel: &Channel<F>) {
        let address = written.onto(channel.kept.chain_addr);
        let unmasked = channel.kept.chan_err.without(channel.kept.chan_err_msk);
        let halted = channel.state.code() == ChannelState::Halted;
        if self.active(channel) {
            let expected = Value::Word("no write while ACTIVE");
            self.note(Rule::ChainAddrWhileActive, "CHAINADDR", Value::Hex(address), expected);
        } else if halted && unmasked != ChanErr::default() {
            let found = Value::Hex(unmasked.into_bits().into());
            self.note(Rule::ChainAddrAfterError, "CHANERR", found, Value::Hex(0));
        } else if address & ALIGNMENT_MASK != 0 {
            let expected = Value::Hex(address & !ALIGNMENT_MASK);
            self.note(Rule::ChainAddrMisaligned, "CHAINADDR", Value::Hex(address), expected);
        }
    }

    fn chan_cmp<F>(&self, written: Written, channel: &Channel<F>) {
        let (old, new) = (channel.kept.chan_cmp, written.onto(channel.kept.chan_cmp));
        if new & CHANCMP_MASK != 0 {
            let expected = Value::Hex(new & !CHANCMP_MASK);
            self.note(Rule::ChanCmpMisaligned, "CHANCMP", Value::Hex(new), expected);
        }
        if new != old && self.active(channel) {
            self.note(Rule::ChanCmpWhileActive, "CHANCMP", Value::Hex(new), Value::Hex(old));
        }
    }

    /// The engine works, as far as its driver can know: it reports its last descriptor a moment before CHANSTS says so.
    fn active<F>(&self, channel: &Channel<F>) -> bool {
        channel.state.code() == ChannelState::Active && self.watch.outstanding()
    }

    fn only(&self, register: &'static str, bits: u64, defined: u64) {
        if bits & !defined != 0 {
            self.note(Rule::ReservedBits, register, Value::Hex(bits), Value::Hex(bits & defined));
        }
    }

    fn note(&self, rule: Rule, register: &'static str, found: Value, expected: Value) {
        let place = Place::Register(register);
        self.book.note(Finding { rule, channel: Some(self.channel), place, found, expected });
    }
}
