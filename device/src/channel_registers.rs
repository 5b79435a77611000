//! What a channel's registers mean (device model 2.2 and 2.5).

use ioat_spec::register::DMA_COMP_V2_V3;
use ioat_spec::{ChanCmd, ChanCtrl, ChanErr, ChanSts, ChannelRegister, DcaCtrl};
use ioat_stage::{Faults, Trace};

use crate::channel::{Channel, Reaction};
use crate::command::{Command, ResetBit};
use crate::complete;
use crate::doorbell::{self, Caller, Heard, Rung};
use crate::general::store32;
use crate::msix::{self, Vector};
use crate::observer::Happening;
use crate::postponed::What;
use crate::registers::{Piece, Written};
use crate::unaffiliated::Unaffiliated;

/// CHANCTRL's bits that are kept as written: error behaviour, snoop, IN_USE, completion DCA.
const CHANCTRL_KEPT: u16 = 0x033c;
/// The byte of CHANCTRL that holds IN_USE.
const CHANCTRL_IN_USE_BYTE: usize = 1;
/// The low half of a 64-bit register.
const LOW_BYTES: usize = 4;

/// What a write leaves to do outside the channel.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) wake: bool,
    pub(crate) quiesce: bool,
}

impl<F: Faults> Channel<F> {
    /// A read of some bytes of a register, with what reading does.
    pub(crate) fn read(&mut self, register: ChannelRegister, piece: &Piece) -> u64 {
        match register {
            ChannelRegister::ChanCtrl => self.read_chan_ctrl(piece),
            ChannelRegister::ChanSts => self.read_chan_sts(piece),
            quiet => self.peek(quiet),
        }
    }

    /// What a register holds, without what reading does.
    pub(crate) fn peek(&self, register: ChannelRegister) -> u64 {
        match register {
            ChannelRegister::ChanCtrl => {
                self.kept.chan_ctrl.with_int_dis(self.latch.disabled).into_bits().into()
            }
            ChannelRegister::ChanSts => ChanSts::new(self.completed, self.state.code()).into_bits(),
            ChannelRegister::DmaComp => DMA_COMP_V2_V3.into(),
            // Every command is complete when its write is answered, but for a reset that is late or stuck.
            ChannelRegister::ChanCmd => {
                let reset = self.kept.reset_bit != ResetBit::Clear;
                ChanCmd::new().with_reset(reset).into_bits().into()
            }
            ChannelRegister::DmaCount => self.signals.look().count().into(),
            ChannelRegister::ChainAddr => self.kept.chain_addr,
            ChannelRegister::ChanCmp => self.kept.chan_cmp,
            ChannelRegister::Cdar => self.current,
            ChannelRegister::ChanErr => self.kept.chan_err.into_bits().into(),
            ChannelRegister::ChanErrMsk => self.kept.chan_err_msk.into_bits().into(),
            ChannelRegister::DcaCtrl => self.kept.dca_ctrl.into_bits().into(),
        }
    }

    /// A write of some bytes of a register.
    pub(crate) fn write<T: Trace>(
        &mut self,
        register: ChannelRegister,
        written: Written,
        unaffiliated: &Unaffiliated,
        trace: &T,
    ) -> Outcome {
        let reaction = match register {
            ChannelRegister::ChanCtrl => {
                self.write_chan_ctrl(written, unaffiliated, trace);
                Reaction::Done
            }
            ChannelRegister::ChanCmd => {
                let command = ChanCmd::from_bits(written.bits.to_le_bytes()[0]);
                if command == ChanCmd::new().with_reset(true) {
                    return self.give_reset(unaffiliated);
                }
                self.command(command, unaffiliated)
            }
            ChannelRegister::DmaCount => self.write_dma_count(written, unaffiliated, trace),
            ChannelRegister::ChainAddr => {
                self.give(Command::Arm(written.onto(self.kept.chain_addr)), unaffiliated)
            }
            ChannelRegister::ChanCmp => {
                self.kept.chan_cmp = written.onto(self.kept.chan_cmp);
                Reaction::Done
            }
            ChannelRegister::ChanErr => {
                self.kept.chan_err = self.kept.chan_err.without(chan_err(written.bits));
                Reaction::Done
            }
            ChannelRegister::ChanErrMsk => {
                let old = self.kept.chan_err_msk.into_bits().into();
                self.kept.chan_err_msk = chan_err(written.onto(old));
                Reaction::Done
            }
            ChannelRegister::DcaCtrl => {
                let mut bits = self.kept.dca_ctrl.into_bits();
                store32(&mut bits, written);
                self.kept.dca_ctrl = DcaCtrl::from_bits(bits);
                Reaction::Done
            }
            ChannelRegister::DmaComp | ChannelRegister::ChanSts | ChannelRegister::Cdar => Reaction::Done,
        };
        self.settle(reaction, unaffiliated, trace)
    }

    /// What a write leaves to do, from how it went.
    pub(crate) fn settle<T: Trace>(
        &mut self,
        reaction: Reaction,
        unaffiliated: &Unaffiliated,
        trace: &T,
    ) -> Outcome {
        match reaction {
            Reaction::Done => Outcome::default(),
            Reaction::Wake => Outcome { wake: true, quiesce: false },
            Reaction::Halt(chanerr) => {
                self.halt(chanerr);
                self.announce_halt(chanerr, unaffiliated, trace);
                Outcome::default()
            }
        }
    }

    /// A halt that no run met: CHANERR_INT and the interrupt. There is no memory here, so no completion word.
    pub(crate) fn announce_halt<T: Trace>(
        &mut self,
        chanerr: ChanErr,
        unaffiliated: &Unaffiliated,
        trace: &T,
    ) {
        unaffiliated.latch_chanerr(chanerr);
        self.tell_halt(chanerr, unaffiliated);
        let err_int_en = self.kept.chan_ctrl.err_int_en();
        let halted = complete::halted(self.completed, self.sequence);
        msix::offer(halted, err_int_en, &mut self.vector(unaffiliated, trace));
    }

    /// Tells whoever watches that the channel halted.
    pub(crate) fn tell_halt(&self, chanerr: ChanErr, unaffiliated: &Unaffiliated) {
        let (channel, completed, sequence) = (self.number, self.completed, self.sequence);
        unaffiliated.observed.tell(Happening::Halted { channel, chanerr, completed, sequence });
    }

    /// The channel's way to its interrupt.
    pub(crate) fn vector<'a, T>(
        &'a mut self,
        unaffiliated: &'a Unaffiliated,
        trace: &'a T,
    ) -> Vector<'a, F, T> {
        Vector {
            channel: self.number,
            generation: self.generation,
            state: self.state.code(),
            owner: self.owner(),
            latch: &mut self.latch,
            counters: &mut self.counters,
            unaffiliated,
            faults: &mut self.edge_faults,
            trace,
        }
    }

    fn read_chan_ctrl(&mut self, piece: &Piece) -> u64 {
        let value = self.peek(ChannelRegister::ChanCtrl);
        // The first read after it was cleared claims the channel.
        if covers(piece, CHANCTRL_IN_USE_BYTE) {
            self.kept.chan_ctrl.set_in_use(true);
        }
        value
    }

    /// A read that ends in the low half latches the high one for the reads that follow it (2.6).
    fn read_chan_sts(&mut self, piece: &Piece) -> u64 {
        let low_mask = u64::from(u32::MAX);
        let now = self.peek(ChannelRegister::ChanSts);
        let end = piece.first + piece.count;
        if piece.first >= LOW_BYTES {
            let high =
                if end == 2 * LOW_BYTES { self.kept.status_high.take() } else { self.kept.status_high };
            return high.unwrap_or(now & !low_mask) | (now & low_mask);
        }
        self.kept.status_high = (end <= LOW_BYTES).then_some(now & !low_mask);
        now
    }

    fn write_chan_ctrl<T: Trace>(&mut self, written: Written, unaffiliated: &Unaffiliated, trace: &T) {
        let old = self.kept.chan_ctrl.into_bits();
        let [a, b, ..] = written.onto(old.into()).to_le_bytes();
        self.kept.chan_ctrl = ChanCtrl::from_bits(u16::from_le_bytes([a, b]) & CHANCTRL_KEPT);
        // INT_DIS is cleared by writing 1; `bits` is 0 where nothing was written.
        if written.bits & u64::from(ChanCtrl::new().with_int_dis(true).into_bits()) != 0 {
            msix::rearm(&mut self.vector(unaffiliated, trace));
        }
    }

    /// CHANCMD but for RESET (3.5). The version 1 commands START, APPEND and ABORT do nothing on version 3.
    fn command(&mut self, command: ChanCmd, unaffiliated: &Unaffiliated) -> Reaction {
        let commands = [
            command.start(),
            command.append(),
            command.suspend(),
            command.abort(),
            command.resume(),
            command.reset(),
        ];
        if commands.iter().filter(|given| **given).count() > 1 {
            self.command_error(ChanErr::CHANCMD)
        } else if command.suspend() {
            self.give(Command::Suspend, unaffiliated)
        } else if command.resume() {
            self.give(Command::Resume, unaffiliated)
        } else {
            Reaction::Done
        }
    }

    fn write_dma_count<T: Trace>(
        &mut self,
        written: Written,
        unaffiliated: &Unaffiliated,
        trace: &T,
    ) -> Reaction {
        let [a, b, ..] = written.onto(self.signals.look().count().into()).to_le_bytes();
        let count = u16::from_le_bytes([a, b]);
        self.counters.doorbells += 1;
        let caller = self.caller();
        match doorbell::ring(count, caller, &mut self.edge_faults, trace) {
            Heard::Never => Reaction::Done,
            Heard::Once(rung) => self.ring(rung),
            Heard::Twice(rung) => match self.ring(rung) {
                Reaction::Done => self.ring(rung),
                woken => woken,
            },
            Heard::Later(after_ns, rung) => {
                unaffiliated.agenda.add(self.later(after_ns, What::Doorbell(rung)));
                Reaction::Done
            }
        }
    }

    /// A doorbell that was late.
    pub(crate) fn hear_late<T: Trace>(
        &mut self,
        rung: Rung,
        unaffiliated: &Unaffiliated,
        trace: &T,
    ) -> Outcome {
        doorbell::arrived(rung, self.caller(), trace);
        let reaction = self.ring(rung);
        self.settle(reaction, unaffiliated, trace)
    }

    fn caller(&self) -> Caller {
        let (channel, generation, sequence) = (self.number, self.generation, self.sequence);
        Caller { channel, generation, sequence, state: self.state.code() }
    }
}

fn covers(piece: &Piece, byte: usize) -> bool {
    (piece.first..piece.first + piece.count).contains(&byte)
}

fn chan_err(bits: u64) -> ChanErr {
    let [a, b, c, d, ..] = bits.to_le_bytes();
    ChanErr::from_bits(u32::from_le_bytes([a, b, c, d]))
}
