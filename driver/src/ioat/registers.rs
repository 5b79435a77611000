//! The registers of the function and of one channel, by name and in the widths that the engine wants.

use std::time::Duration;

use ioat_spec::register::channel_base;
use ioat_spec::{
    ChanCmd, ChanCtrl, ChanErr, ChanSts, ChannelRegister, ChannelState, DcaCtrl, GeneralRegister, IntrCtrl,
    pci,
};
use ioat_stage::pause::deadline;

use super::IoatError;
use crate::hw::{Device, Space};

/// How long a reset may take (device model 3.6: Linux gives it 200 ms).
const RESET_PATIENCE: Duration = Duration::from_millis(200);

/// How long a SUSPEND may take: one descriptor of XFERCAP bytes.
const STOP_PATIENCE: Duration = Duration::from_millis(200);

/// Reads a general register of one byte.
pub(super) fn general8(device: &Device, register: GeneralRegister) -> Result<u8, IoatError> {
    match device.read8(Space::BAR0, register.offset())? {
        u8::MAX => Err(IoatError::Gone { register: register.name() }),
        value => Ok(value),
    }
}

/// The function's interrupt registers, for a device that has only its line (device model 2.4).
#[derive(Clone)]
pub(super) struct LineRegisters {
    device: Device,
}

impl LineRegisters {
    pub(super) fn new(device: Device) -> Self {
        Self { device }
    }

    /// Reads INTRCTRL, and so takes the line back: the read clears MASTER_INT_EN.
    pub(super) fn take_intrctrl(&self) -> Result<IntrCtrl, IoatError> {
        general8(&self.device, GeneralRegister::IntrCtrl).map(IntrCtrl::from_bits)
    }

    /// Reads ATTNSTATUS, one bit for each channel with an interrupt, and so clears it.
    pub(super) fn take_attention(&self) -> Result<u32, IoatError> {
        let register = GeneralRegister::AttnStatus;
        match self.device.read32(Space::BAR0, register.offset())? {
            u32::MAX => Err(IoatError::Gone { register: register.name() }),
            attention => Ok(attention),
        }
    }

    /// Writes MASTER_INT_EN: with it the line is asserted for every channel that wants attention.
    pub(super) fn set_master(&self, on: bool) -> Result<(), IoatError> {
        let control = IntrCtrl::new().with_master_int_en(on).into_bits();
        Ok(self.device.write8(Space::BAR0, GeneralRegister::IntrCtrl.offset(), control)?)
    }
}

/// One channel's window. A read of all ones is [`IoatError::Gone`], for no register here has that value.
#[derive(Clone)]
pub(super) struct ChannelRegisters {
    device: Device,
    channel: u8,
}

impl ChannelRegisters {
    pub(super) fn new(device: Device, channel: u8) -> Self {
        Self { device, channel }
    }

    pub(super) fn chansts(&self) -> Result<ChanSts, IoatError> {
        match self.device.read64(Space::BAR0, self.at(ChannelRegister::ChanSts))? {
            u64::MAX => Err(gone(ChannelRegister::ChanSts)),
            value => Ok(ChanSts::from_bits(value)),
        }
    }

    pub(super) fn chanerr(&self) -> Result<ChanErr, IoatError> {
        match self.device.read32(Space::BAR0, self.at(ChannelRegister::ChanErr))? {
            u32::MAX => Err(gone(ChannelRegister::ChanErr)),
            value => Ok(ChanErr::from_bits(value)),
        }
    }

    /// Names the chain: the engine starts counting at 0. One 64-bit write, so that the engine never sees half of it.
    pub(super) fn set_chainaddr(&self, first: u64) -> Result<(), IoatError> {
        Ok(self.device.write64(Space::BAR0, self.at(ChannelRegister::ChainAddr), first)?)
    }

    /// Names the completion word. One 64-bit write.
    pub(super) fn set_chancmp(&self, word: u64) -> Result<(), IoatError> {
        Ok(self.device.write64(Space::BAR0, self.at(ChannelRegister::ChanCmp), word)?)
    }

    /// Stage 1, doorbell: `count` slots are valid since CHAINADDR.
    pub(super) fn set_dmacount(&self, count: u16) -> Result<(), IoatError> {
        Ok(self.device.write16(Space::BAR0, self.at(ChannelRegister::DmaCount), count)?)
    }

    /// DCACTRL: where completion words are aimed (ND-A2).
    pub(super) fn dcactrl(&self) -> Result<DcaCtrl, IoatError> {
        match self.device.read32(Space::BAR0, self.at(ChannelRegister::DcaCtrl))? {
            u32::MAX => Err(gone(ChannelRegister::DcaCtrl)),
            value => Ok(DcaCtrl::from_bits(value)),
        }
    }

    pub(super) fn set_dcactrl(&self, target: DcaCtrl) -> Result<(), IoatError> {
        Ok(self.device.write32(Space::BAR0, self.at(ChannelRegister::DcaCtrl), target.into_bits())?)
    }

    /// Re-arms the interrupt, and wants errors reported in the completion word and by interrupt; with `dca`, that the
    /// completion word is aimed too. The engine has it when this returns: a look at the completion word that passed the
    /// write would miss what completed in between (MT-4).
    pub(super) fn rearm(&self, dca: bool) -> Result<(), IoatError> {
        let control = ChanCtrl::new()
            .with_int_dis(true)
            .with_cmpl_dca_en(dca)
            .with_err_cmp_en(true)
            .with_any_err_abort_en(true)
            .with_err_int_en(true);
        let at = self.at(ChannelRegister::ChanCtrl);
        self.device.write16(Space::BAR0, at, control.into_bits())?;
        Ok(self.device.registers.flush(Space::BAR0, at)?)
    }

    /// Stops the channel at a descriptor boundary and returns the status that then holds. A channel that does
    /// not run stops nothing.
    pub(super) fn suspend(&self) -> Result<ChanSts, IoatError> {
        let status = self.chansts()?;
        if !runs(status) {
            return Ok(status);
        }
        self.command(ChanCmd::new().with_suspend(true))?;
        let until = deadline(&*self.device.pause, STOP_PATIENCE);
        let mut backoff = Backoff::new();
        loop {
            let status = self.chansts()?;
            if !runs(status) {
                return Ok(status);
            }
            if self.device.pause.now_ns() >= until {
                let waited_ms = ms(STOP_PATIENCE);
                let chansts = status.into_bits();
                return Err(IoatError::StopStuck { channel: self.channel, waited_ms, chansts });
            }
            backoff.wait(&self.device);
        }
    }

    /// Clears the errors and brings the channel to its reset state: HALTED, no chain, no completion word.
    pub(super) fn reset(&self) -> Result<(), IoatError> {
        self.clear_errors()?;
        self.command(ChanCmd::new().with_reset(true))?;
        let until = deadline(&*self.device.pause, RESET_PATIENCE);
        let mut backoff = Backoff::new();
        loop {
            let command = self.device.read8(Space::BAR0, self.at(ChannelRegister::ChanCmd))?;
            if command == u8::MAX {
                return Err(gone(ChannelRegister::ChanCmd));
            }
            if !ChanCmd::from_bits(command).reset() {
                return Ok(());
            }
            if self.device.pause.now_ns() >= until {
                return Err(IoatError::ResetStuck { channel: self.channel, waited_ms: ms(RESET_PATIENCE) });
            }
            backoff.wait(&self.device);
        }
    }

    /// CHANERR and CHANERR_INT are write-one-to-clear, and sticky across a channel reset: a bit left in either
    /// keeps real engines from starting again.
    fn clear_errors(&self) -> Result<(), IoatError> {
        let errors = self.chanerr()?;
        if !errors.is_empty() {
            self.device.write32(Space::BAR0, self.at(ChannelRegister::ChanErr), errors.into_bits())?;
        }
        let offset = pci::CHANERR_INT as u64;
        let mirrored = self.device.read32(Space::Config, offset)?;
        if mirrored == u32::MAX {
            return Err(IoatError::Gone { register: "CHANERR_INT" });
        }
        if mirrored != 0 {
            self.device.write32(Space::Config, offset, mirrored)?;
        }
        Ok(())
    }

    fn command(&self, command: ChanCmd) -> Result<(), IoatError> {
        Ok(self.device.write8(Space::BAR0, self.at(ChannelRegister::ChanCmd), command.into_bits())?)
    }

    fn at(&self, register: ChannelRegister) -> u64 {
        channel_base(usize::from(self.channel)) + register.offset()
    }
}

/// First looks at once, then waits ever longer: a register read over a socket costs more than the reset itself.
struct Backoff(Duration);

impl Backoff {
    const fn new() -> Self {
        Self(Duration::from_micros(20))
    }

    fn wait(&mut self, device: &Device) {
        device.pause.sleep(self.0);
        self.0 = (self.0 * 2).min(Duration::from_millis(2));
    }
}

fn runs(status: ChanSts) -> bool {
    matches!(status.state(), Some(ChannelState::Active | ChannelState::Idle))
}

fn gone(register: ChannelRegister) -> IoatError {
    IoatError::Gone { register: register.name() }
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
