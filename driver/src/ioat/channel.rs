//! One channel: who has it, what it works on, and the commands that move it. What a v3 engine does not do by
//! itself is added here: the letters are those of the bridge (see the module above).
//!
//! Commands never overlap on one channel (the interface sees to it); the ISR and the DPC run at any time. The
//! state lock is never held while a register is accessed or something is waited for.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use ioat_spec::{ChanSts, ChannelState, DcaCtrl};
use ioat_stage::{Pause, Trace};

use super::batch::DueOn;
use super::chain::{Chain, Limits, Walked, walk};
use super::doorbell::{Doorbell, Ringer};
use super::registers::ChannelRegisters;
use super::{ChainError, Fault, IoatError};
use crate::contract::{
    CompletionLocation, CompletionValue, CpuNumber, CpuSet32, DescriptorAddr, FirstDescriptor,
    NetDmaChannelHandle, NetDmaStatus, TransferStatus,
};
use crate::irql::{self, Irql};
use crate::ndis::lock::{LevelGuard, LevelLock, SpinLock};

/// One channel of the engine.
pub(super) struct Channel {
    pub(super) index: u8,
    pub(super) registers: ChannelRegisters,
    ringer: Ringer,
    limits: Limits,
    pub(super) state: SpinLock<State>,
    /// Held by the DPC from reading the completion word to the end of its report, and by a command while it
    /// gives the channel another chain: no report of the old chain arrives after that.
    pub(super) reporting: LevelLock,
    pub(super) due: DueOn,
    /// Processors on which the first DPC of a batch asks for more (DP-4).
    pub(super) spread: AtomicU32,
    pub(super) counts: Counts,
}

/// What changes when a command or a report comes.
pub(super) struct State {
    pub(super) phase: Phase,
    pub(super) owner: Option<Owner>,
    pub(super) chain: Option<Chain>,
    /// DMACOUNT as it was written last.
    doorbell: u16,
    /// Descriptors that were completed in the chains before this one.
    completed: u64,
    /// The completion word that a DPC saw last.
    pub(super) seen: u64,
    /// Which chain this is; what was read before it changed is stale.
    pub(super) generation: u32,
}

/// Where the channel stands, seen from the provider.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Phase {
    /// Nobody has it.
    Free,
    /// Allocated or reset: the engine is halted without a chain.
    Fresh,
    /// The engine works, or waits for DMACOUNT.
    Running,
    /// Stopped by Suspend.
    Suspended,
    /// Stopped by Abort.
    Stopped,
    /// Between power down and power up: the registers mean nothing.
    PoweredDown,
    /// Stopped by what went wrong; only Start, Abort and Reset lead out.
    Faulted(Fault),
}

/// Who has the channel.
#[derive(Clone)]
pub(super) struct Owner {
    pub(super) handle: NetDmaChannelHandle,
    pub(super) completion: CompletionLocation,
    pub(super) cpu: CpuNumber,
    /// Where completion words are aimed from allocation on (ND-A2); none for a provider without DCA.
    pub(super) context: Option<DcaCtrl>,
}

/// What happened on a channel since the provider began.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) interrupts: AtomicU64,
    pub(super) dpcs: AtomicU64,
    pub(super) spread_dpcs: AtomicU64,
    pub(super) refused_dpcs: AtomicU64,
    pub(super) rearms: AtomicU64,
    pub(super) rechecks: AtomicU64,
    pub(super) faults: AtomicU64,
}

/// Why a command on a channel failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum CommandError {
    #[error(transparent)]
    Ioat(#[from] IoatError),
    #[error(transparent)]
    Chain(#[from] ChainError),
    #[error("the channel is {0:?}")]
    Phase(Phase),
    #[error("the engine halted while it was told to stop, CHANSTS is {0:?}")]
    Halted(ChanSts),
}

impl From<&CommandError> for NetDmaStatus {
    fn from(error: &CommandError) -> Self {
        match error {
            CommandError::Chain(error) => (*error).into(),
            _ => Self::UNSUCCESSFUL,
        }
    }
}

impl Channel {
    pub(super) fn new(
        index: u8,
        registers: ChannelRegisters,
        limits: Limits,
        pause: Arc<dyn Pause>,
        trace: Arc<dyn Trace>,
    ) -> Self {
        Self {
            index,
            ringer: Ringer::new(index, registers.clone(), trace),
            registers,
            limits,
            state: SpinLock::new(State {
                phase: Phase::Free,
                owner: None,
                chain: None,
                doorbell: 0,
                completed: 0,
                seen: 0,
                generation: 0,
            }),
            reporting: LevelLock::new(pause),
            due: DueOn::default(),
            spread: AtomicU32::new(0),
            counts: Counts::default(),
        }
    }

    /// Takes a free channel; false if somebody else has it.
    pub(super) fn claim(&self, owner: Owner) -> bool {
        let mut state = self.state.lock();
        if state.phase != Phase::Free {
            return false;
        }
        state.phase = Phase::Fresh;
        state.owner = Some(owner);
        true
    }

    /// Prepares a channel that was just claimed: usable at once (ND-P4).
    pub(super) fn prepare(&self) -> Result<(), CommandError> {
        self.registers.reset()?;
        let context = self.owner().and_then(|owner| owner.context);
        Ok(self.arm(context)?)
    }

    /// Gives the channel back. The engine forgets chain and completion word; both may be unmapped afterwards.
    pub(super) fn release(&self) -> Result<(), CommandError> {
        let _quiet = self.quiet();
        // Without power there is nothing to stop, and nothing that answers.
        let stopped = if self.phase() == Phase::PoweredDown { Ok(()) } else { self.halt().map(drop) };
        let mut state = self.state.lock();
        state.generation = state.generation.wrapping_add(1);
        state.phase = Phase::Free;
        state.owner = None;
        state.end_chain();
        drop(state);
        self.spread.store(CpuSet32::EMPTY.0, Ordering::Relaxed);
        stopped
    }

    /// ProviderStartDma (ND-P5); (b): a running channel is suspended first.
    pub(super) fn start(&self, first: &FirstDescriptor) -> Result<(), CommandError> {
        let walked = walk(first, &self.limits)?;
        let count = u16::try_from(walked.addresses.len())
            .map_err(|_| ChainError::TooMany { outstanding: 0, more: first.count() })?;
        let phase = self.state.lock().phase;
        match phase {
            Phase::Free | Phase::PoweredDown => return Err(CommandError::Phase(phase)),
            Phase::Fresh | Phase::Suspended | Phase::Stopped => {}
            Phase::Faulted(_) => self.restore()?,
            Phase::Running => {
                if self.registers.suspend()?.state() == Some(ChannelState::Halted) {
                    self.restore()?;
                }
            }
        }
        // Until the engine has the new chain, its CHANSTS tells of the old one: a DPC that is late must not take that
        // for the new chain's, as one that reads CHANSTS would (f).
        let quiet = self.quiet();
        let doorbell = self.load(first, walked, count);
        self.ring_from(first.physical().get(), doorbell)?;
        drop(quiet);
        // A device that is gone takes writes in silence; this look is the first chance to notice.
        self.registers.chansts()?;
        Ok(())
    }

    /// ProviderAppendDma (ND-P7, ND-P8).
    pub(super) fn append(&self, first: &FirstDescriptor) -> Result<(), CommandError> {
        let walked = walk(first, &self.limits)?;
        let count = u16::try_from(walked.addresses.len())
            .map_err(|_| ChainError::TooMany { outstanding: 0, more: first.count() })?;
        let mut state = self.state.lock();
        let State { phase: Phase::Running, chain: Some(chain), .. } = &mut *state else {
            return Err(CommandError::Phase(state.phase));
        };
        if chain.push(&walked)? {
            state.doorbell = state.doorbell.wrapping_add(count);
            let doorbell = state.ring();
            drop(state);
            return Ok(self.ringer.ring(doorbell)?);
        }
        drop(state);
        // (d) 1.x: the old last descriptor was linked to this chain only now. The engine may have read the old
        // link already, so it is told where to go on.
        self.stop_running()?;
        self.go_on()
    }

    /// ProviderSuspendDma (ND-P10); (a): the status in the completion word is ours.
    pub(super) fn suspend(&self) -> Result<Option<DescriptorAddr>, CommandError> {
        self.running()?;
        self.stop_running()?;
        let mut state = self.state.lock();
        state.phase = Phase::Suspended;
        let last = state.chain.as_ref().and_then(Chain::last);
        state.write_status(TransferStatus::Suspend);
        Ok(last)
    }

    /// ProviderResumeDma (ND-P11); (d).
    pub(super) fn resume(&self) -> Result<(), CommandError> {
        let phase = self.state.lock().phase;
        if phase != Phase::Suspended {
            return Err(CommandError::Phase(phase));
        }
        self.go_on()
    }

    /// ProviderAbortDma (ND-P12); (c). The DCA target outlives it (ND-A4), though not the engine's reset.
    pub(super) fn abort(&self) -> Result<(), CommandError> {
        let context = self.discard(Phase::Stopped)?;
        Ok(self.arm(context)?)
    }

    /// ProviderResetChannel (ND-P13); (c). All is as it was when it was allocated.
    pub(super) fn reset(&self) -> Result<(), CommandError> {
        self.discard(Phase::Fresh)?;
        let context = self.owner().and_then(|owner| owner.context);
        Ok(self.arm(context)?)
    }

    /// The function is about to lose its state (ND-W1). What the clients left under way ends here.
    pub(super) fn power_down(&self) -> Result<(), CommandError> {
        if matches!(self.phase(), Phase::Free | Phase::PoweredDown) {
            return Ok(());
        }
        let _quiet = self.quiet();
        let halted = self.halt().map(drop);
        self.forget(Phase::PoweredDown);
        halted
    }

    /// The function was brought up again: whoever had the channel has it again, and starts anew (ND-W2).
    pub(super) fn power_up(&self) -> Result<(), CommandError> {
        let Some(owner) = self.owner() else { return Ok(()) };
        let _quiet = self.quiet();
        // A state that was lost without a word is lost all the same.
        self.forget(Phase::PoweredDown);
        self.arm(owner.context)?;
        let mut state = self.state.lock();
        state.phase = Phase::Stopped;
        // The engine counts from 0 again, too.
        state.completed = 0;
        Ok(())
    }

    /// Where it stands.
    pub(super) fn phase(&self) -> Phase {
        self.state.lock().phase
    }

    /// Who has it.
    pub(super) fn owner(&self) -> Option<Owner> {
        self.state.lock().owner.clone()
    }

    /// Records what went wrong with the chain of `generation`; true if it is news.
    pub(super) fn fail(&self, generation: u32, fault: Fault) -> bool {
        let mut state = self.state.lock();
        if state.generation != generation || state.phase != Phase::Running {
            return false;
        }
        state.phase = Phase::Faulted(fault);
        drop(state);
        self.counts.faults.fetch_add(1, Ordering::Relaxed);
        true
    }

    /// The registers do not answer: a running chain has failed.
    pub(super) fn lost(&self) {
        let generation = self.state.lock().generation;
        self.fail(generation, Fault::Gone);
    }

    fn running(&self) -> Result<(), CommandError> {
        match self.phase() {
            Phase::Running => Ok(()),
            phase => Err(CommandError::Phase(phase)),
        }
    }

    /// Stops the engine behind the current descriptor and books what it has done.
    fn stop_running(&self) -> Result<(), CommandError> {
        let status = self.registers.suspend()?;
        if status.state() == Some(ChannelState::Halted) {
            return Err(CommandError::Halted(status));
        }
        let _quiet = self.quiet();
        let mut state = self.state.lock();
        let misreported =
            state.chain.as_mut().is_some_and(|chain| chain.advance(status.completed(), false).is_err());
        let generation = state.generation;
        drop(state);
        if misreported {
            self.fail(generation, Fault::BadCompletion { word: status.into_bits() });
            return Err(CommandError::Halted(status));
        }
        Ok(())
    }

    /// Lets a stopped engine go on behind the descriptor that it processed last.
    fn go_on(&self) -> Result<(), CommandError> {
        let mut state = self.state.lock();
        let phase = state.phase;
        let chain = state.chain.as_mut().ok_or(CommandError::Phase(phase))?;
        let rebase = chain.rebase(&self.limits)?;
        state.phase = Phase::Running;
        state.doorbell = rebase.count;
        let doorbell = state.ring();
        drop(state);
        if rebase.next == 0 {
            // A 1.x chain that has ended; the next Append links it and names its address.
            return Ok(());
        }
        self.ring_from(rebase.next, doorbell)
    }

    /// Stops the engine and forgets the chain. Gives the DCA target that the reset took away.
    fn discard(&self, after: Phase) -> Result<Option<DcaCtrl>, CommandError> {
        let phase = self.phase();
        if matches!(phase, Phase::Free | Phase::PoweredDown) {
            return Err(CommandError::Phase(phase));
        }
        // Before the engine is halted: a late DPC that reads CHANSTS (f) must not take the halt for an error.
        let _quiet = self.quiet();
        match self.halt() {
            Ok(context) => {
                self.forget(after);
                Ok(context)
            }
            Err(error) => {
                // What the engine still does is not known: nothing is reported any more, and another Start, Abort or
                // Reset tries again.
                if matches!(error, CommandError::Ioat(IoatError::ResetStuck { .. })) {
                    self.state.lock().phase = Phase::Faulted(Fault::Stuck);
                    self.counts.faults.fetch_add(1, Ordering::Relaxed);
                }
                Err(error)
            }
        }
    }

    /// No report of the chain will be made any more, and (a) the status is Halted. No DPC reports meanwhile.
    fn forget(&self, after: Phase) {
        let mut state = self.state.lock();
        state.generation = state.generation.wrapping_add(1);
        state.phase = after;
        state.write_status(TransferStatus::Halted);
        state.end_chain();
    }

    /// Ends all work of the engine: SUSPEND, so that it stops cleanly, then RESET, which stops it anyway. Gives the DCA
    /// target, which the reset clears.
    fn halt(&self) -> Result<Option<DcaCtrl>, CommandError> {
        match self.registers.suspend() {
            Ok(_) => {}
            Err(error @ IoatError::StopStuck { .. }) => log::warn!("{error}; resetting it"),
            Err(error) => return Err(error.into()),
        }
        let context = if self.limits.dca() { Some(self.registers.dcactrl()?) } else { None };
        self.registers.reset()?;
        Ok(context)
    }

    /// Halts and arms again, for a channel that went wrong.
    fn restore(&self) -> Result<(), CommandError> {
        let context = self.halt()?;
        Ok(self.arm(context)?)
    }

    /// (c) What a channel reset takes away: the completion word's address, the control bits, and the DCA target.
    fn arm(&self, context: Option<DcaCtrl>) -> Result<(), IoatError> {
        let owner = self.owner();
        if let Some(owner) = owner {
            self.registers.set_chancmp(owner.completion.physical().0)?;
        }
        if let Some(context) = context {
            self.registers.set_dcactrl(context)?;
        }
        self.rearm_registers()
    }

    /// Re-enables the channel's interrupt in the engine.
    pub(super) fn rearm_registers(&self) -> Result<(), IoatError> {
        self.registers.rearm(self.limits.dca())
    }

    /// The engine is stopped: its next chain is this one. The completion word says Armed until it reports. No DPC
    /// reports meanwhile.
    fn load(&self, first: &FirstDescriptor, walked: Walked, count: u16) -> Doorbell {
        let mut state = self.state.lock();
        state.generation = state.generation.wrapping_add(1);
        state.phase = Phase::Running;
        state.doorbell = count;
        state.end_chain();
        state.chain = Some(Chain::new(first.location(), walked, state.completed));
        state.seen = ChannelState::Armed.code();
        if let Some(owner) = &state.owner {
            owner.completion.store(CompletionValue(ChannelState::Armed.code()));
        }
        state.ring()
    }

    fn ring_from(&self, first: u64, doorbell: Doorbell) -> Result<(), CommandError> {
        self.registers.set_chainaddr(first)?;
        Ok(self.ringer.ring(doorbell)?)
    }

    /// Waits until no DPC is in the middle of a report. A command that comes from within a report (a client may
    /// start the next chain from there) must not wait for itself; its report has been made by then.
    fn quiet(&self) -> Option<LevelGuard<'_>> {
        (irql::current() == Irql::Passive).then(|| self.reporting.lock())
    }
}

impl State {
    /// What the doorbell is to say now.
    fn ring(&self) -> Doorbell {
        let given = self.chain.as_ref().map_or(self.completed, Chain::given);
        Doorbell { count: self.doorbell, generation: self.generation, given }
    }

    /// The chain is gone; what it has completed stays counted, and what was under way is not.
    fn end_chain(&mut self) {
        self.completed = self.chain.take().map_or(self.completed, |chain| chain.completed());
    }

    /// (a) The engine writes no status when it is told to stop. Only where some descriptor asked for one (ND-C5).
    fn write_status(&mut self, status: TransferStatus) {
        let (Some(owner), Some(chain)) = (&self.owner, &self.chain) else { return };
        if chain.updates_status() {
            let last = chain.last().map_or(0, DescriptorAddr::get);
            owner.completion.store(CompletionValue(last | status as u64));
        }
    }
}
