//! A channel in the interface: what the provider reports on it, and the calls that submit nothing.

use std::sync::{Arc, OnceLock};

use ioat_stage::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use ioat_stage::{Bell, Pause};

use super::address::DescriptorAddr;
use super::anchor::AnchorSlot;
use super::book::Book;
use super::breach;
use super::client::{ChannelCounts, ChannelError, NetDmaClient};
use super::cpu::CpuNumber;
use super::power::{Access, Gate};
use super::provider::{NetDmaProvider, ProviderChannelContext};
use super::state::{Call, ChannelState, Refused, Step};
use super::version::NetDmaVersion;
use crate::irql::{AtDispatch, AtMostDispatch};
use crate::ndis::lock::{LevelLock, SpinLock};

/// What a channel is made of.
pub(super) struct Parts {
    pub(super) number: u64,
    pub(super) provider: Arc<dyn NetDmaProvider>,
    pub(super) client: Arc<dyn NetDmaClient>,
    pub(super) version: NetDmaVersion,
    pub(super) gate: Arc<Gate>,
    pub(super) capacity: usize,
    pub(super) anchor: Option<AnchorSlot>,
    pub(super) pause: Arc<dyn Pause>,
}

/// Both faces of a channel.
pub(super) struct Shared {
    pub(super) number: u64,
    pub(super) provider: Arc<dyn NetDmaProvider>,
    pub(super) client: Arc<dyn NetDmaClient>,
    /// Of the provider.
    pub(super) version: NetDmaVersion,
    /// The provider's, set when it has allocated.
    context: OnceLock<ProviderChannelContext>,
    cpu: AtomicU32,
    /// The processor's APIC id, where the provider supports DCA.
    pub(super) dca_target: OnceLock<u8>,
    pub(super) anchor: Option<AnchorSlot>,
    /// Closed when the provider stops, or is powered down.
    pub(super) gate: Arc<Gate>,
    /// Held across the provider's callbacks, so that calls on one channel never overlap (ND-P16).
    pub(super) calls: LevelLock,
    /// Never held across a callback: the DPC takes it too.
    pub(super) book: SpinLock<Book>,
    /// Rung when something is no longer outstanding.
    pub(super) settled: Bell,
    pub(super) pause: Arc<dyn Pause>,
    isr_reports: AtomicU64,
    dpc_reports: AtomicU64,
    repeated_reports: AtomicU64,
    attentions: AtomicU64,
    stale_reports: AtomicU64,
    pub(super) context_changes: AtomicU64,
    completed: AtomicU64,
}

impl Shared {
    pub(super) fn new(parts: Parts) -> Arc<Self> {
        let Parts { number, provider, client, version, gate, capacity, anchor, pause } = parts;
        Arc::new(Self {
            number,
            provider,
            client,
            version,
            context: OnceLock::new(),
            cpu: AtomicU32::new(0),
            dca_target: OnceLock::new(),
            anchor,
            gate,
            calls: LevelLock::new(pause.clone()),
            book: SpinLock::new(Book::new(capacity)),
            settled: Bell::new(),
            pause,
            isr_reports: AtomicU64::new(0),
            dpc_reports: AtomicU64::new(0),
            repeated_reports: AtomicU64::new(0),
            attentions: AtomicU64::new(0),
            stale_reports: AtomicU64::new(0),
            context_changes: AtomicU64::new(0),
            completed: AtomicU64::new(0),
        })
    }

    /// The provider has allocated the channel; it learns its DCA target at once (ND-A3).
    pub(super) fn allocated(
        &self,
        context: ProviderChannelContext,
        cpu: CpuNumber,
        dca_target: Option<u8>,
        level: &dyn AtMostDispatch,
    ) {
        self.cpu.store(cpu.0, Ordering::Relaxed);
        self.context.set(context).expect("a channel is allocated once");
        let Some(target) = dca_target else { return };
        self.dca_target.set(target).expect("a channel is allocated once");
        let _calls = self.calls.lock();
        self.book.lock().context_lost = true;
        self.renew_context(Call::Start, level);
    }

    /// NetDmaIsr.
    pub(super) fn isr(&self, _latest: DescriptorAddr) -> CpuNumber {
        // It must name a processor whatever happened (ND-I5).
        if breach::device("NetDmaIsr").is_ok() && !self.is_stale("NetDmaIsr") {
            self.isr_reports.fetch_add(1, Ordering::Relaxed);
        }
        self.cpu_number()
    }

    /// NetDmaInterruptDpc.
    pub(super) fn interrupt_dpc(&self, last: Option<DescriptorAddr>, level: &AtDispatch) {
        if breach::dispatch("NetDmaInterruptDpc").is_err() || self.is_stale("NetDmaInterruptDpc") {
            return;
        }
        let Some(last) = last else {
            self.attentions.fetch_add(1, Ordering::Relaxed);
            return self.client.attention(level);
        };
        let completed = self.book.lock().complete(last);
        let Some(completed) = completed else {
            self.repeated_reports.fetch_add(1, Ordering::Relaxed);
            return;
        };
        self.dpc_reports.fetch_add(1, Ordering::Relaxed);
        self.completed.fetch_add(completed.count, Ordering::Relaxed);
        self.client.completed(completed, level);
        self.pause.ring(&self.settled);
    }

    /// The handle of a channel that was given back: nobody is told (ND-P14).
    fn is_stale(&self, call: &str) -> bool {
        if !self.is_freed() {
            return false;
        }
        let before = self.stale_reports.fetch_add(1, Ordering::Relaxed);
        if before == 0 {
            log::warn!("contract violation: {call} names channel {}, which was freed (ND-P14)", self.number);
        }
        true
    }

    pub(super) fn is_freed(&self) -> bool {
        self.book.lock().state == ChannelState::Freed
    }

    pub(super) fn cpu_number(&self) -> CpuNumber {
        CpuNumber(self.cpu.load(Ordering::Relaxed))
    }

    pub(super) fn counts(&self) -> ChannelCounts {
        ChannelCounts {
            isr_reports: self.isr_reports.load(Ordering::Relaxed),
            dpc_reports: self.dpc_reports.load(Ordering::Relaxed),
            repeated_reports: self.repeated_reports.load(Ordering::Relaxed),
            attentions: self.attentions.load(Ordering::Relaxed),
            stale_reports: self.stale_reports.load(Ordering::Relaxed),
            context_changes: self.context_changes.load(Ordering::Relaxed),
            submitted: self.book.lock().submitted(),
            completed: self.completed.load(Ordering::Relaxed),
        }
    }

    pub(super) fn suspend(&self, level: &dyn AtMostDispatch) -> Result<Option<DescriptorAddr>, ChannelError> {
        breach::at_most_dispatch("Suspend")?;
        let _calls = self.calls.lock();
        let after = self.permitted(Call::Suspend)?;
        let capability = self.provider.suspend_resume().ok_or(ChannelError::NotSupported(Call::Suspend))?;
        let last = capability
            .suspend_dma(self.context(), level)
            .map_err(|status| ChannelError::Provider { call: Call::Suspend, status })?;
        self.settle(after, false);
        Ok(last)
    }

    pub(super) fn resume(&self, level: &dyn AtMostDispatch) -> Result<(), ChannelError> {
        breach::at_most_dispatch("Resume")?;
        let _calls = self.calls.lock();
        let after = self.permitted(Call::Resume)?;
        let capability = self.provider.suspend_resume().ok_or(ChannelError::NotSupported(Call::Resume))?;
        capability
            .resume_dma(self.context(), level)
            .map_err(|status| ChannelError::Provider { call: Call::Resume, status })?;
        let mut book = self.book.lock();
        book.state = after;
        book.context_lost = true;
        if let Some(tail) = &mut book.tail {
            tail.reread();
        }
        drop(book);
        self.renew_context(Call::Append, level);
        Ok(())
    }

    pub(super) fn abort(&self, level: &dyn AtMostDispatch) -> Result<(), ChannelError> {
        breach::at_most_dispatch("Abort")?;
        let _calls = self.calls.lock();
        let state = self.book.lock().state;
        let Step::Forward(after) = state.step(Call::Abort)? else { return Ok(()) };
        self.powered()?;
        let capability = self.provider.abort().ok_or(ChannelError::NotSupported(Call::Abort))?;
        capability
            .abort_dma(self.context(), level)
            .map_err(|status| ChannelError::Provider { call: Call::Abort, status })?;
        self.settle(after, true);
        Ok(())
    }

    pub(super) fn reset(&self, level: &dyn AtMostDispatch) -> Result<(), ChannelError> {
        breach::at_most_dispatch("Reset")?;
        let _calls = self.calls.lock();
        let after = self.permitted(Call::Reset)?;
        let capability = self.provider.reset().ok_or(ChannelError::NotSupported(Call::Reset))?;
        capability
            .reset_channel(self.context(), level)
            .map_err(|status| ChannelError::Provider { call: Call::Reset, status })?;
        self.settle(after, true);
        Ok(())
    }

    pub(super) fn free(&self, level: &dyn AtMostDispatch) -> Result<(), ChannelError> {
        breach::at_most_dispatch("Free")?;
        let _calls = self.calls.lock();
        let after = self.permitted(Call::Free)?;
        let outstanding = self.book.lock().outstanding();
        if outstanding > 0 {
            return Err(ChannelError::Busy(outstanding));
        }
        self.provider.free_dma_channel(self.context(), level);
        self.settle(after, true);
        Ok(())
    }

    /// Aborts what is outstanding, or resets the channel where that does not help; true if nothing is outstanding.
    pub(super) fn end_by_force(&self, level: &dyn AtMostDispatch) -> bool {
        let idle = |channel: &Self| channel.book.lock().outstanding() == 0;
        (self.abort(level).is_ok() && idle(self)) || (self.reset(level).is_ok() && idle(self))
    }

    /// The state that `call` leads to, where it must reach the provider.
    fn permitted(&self, call: Call) -> Result<ChannelState, ChannelError> {
        let state = self.book.lock().state;
        match state.step(call)? {
            Step::Forward(after) if call == Call::Free => Ok(after),
            Step::Forward(after) => self.powered().map(|()| after),
            Step::Nothing => Err(Refused { call, state }.into()),
        }
    }

    /// A device out of its working state is asked for nothing.
    fn powered(&self) -> Result<(), ChannelError> {
        if self.gate.get() == Access::Down { Err(ChannelError::PoweredDown) } else { Ok(()) }
    }

    fn settle(&self, state: ChannelState, forget: bool) {
        let mut book = self.book.lock();
        book.state = state;
        if forget {
            book.forget();
            book.context_lost = true;
        }
        drop(book);
        self.pause.ring(&self.settled);
    }

    pub(super) fn context(&self) -> ProviderChannelContext {
        *self.context.get().expect("clients get a channel after the provider allocated it")
    }
}
