//! A channel in the interface: what is pending in chain order, and the calls of its client.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, OnceLock};

use ioat_stage::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use ioat_stage::{Bell, Pause};

use super::address::{DescriptorAddr, PhysAddr};
use super::client::{Chain, ChannelCounts, ChannelError, Completed, NetDmaClient, Submitted};
use super::cpu::CpuNumber;
use super::provider::{FirstDescriptor, NetDmaProvider, ProviderChannelContext};
use super::state::{Call, ChannelState, Refused, Step};
use crate::irql::{AtDispatch, AtMostDispatch};
use crate::ndis::lock::{LevelLock, SpinLock};

/// The channel, as the provider names it to the interface (`NetDmaChannelHandle`).
#[derive(Clone)]
pub struct NetDmaChannelHandle(pub(super) Arc<Shared>);

impl fmt::Debug for NetDmaChannelHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NetDmaChannelHandle({})", self.0.number)
    }
}

impl NetDmaChannelHandle {
    /// The channel's number in the interface: one for each allocation, never used again.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.0.number
    }
}

/// The channel, as its client uses it.
pub struct NetDmaChannel(pub(super) Arc<Shared>);

impl NetDmaChannel {
    /// The processor of the channel's DPC.
    pub fn cpu_number(&self) -> CpuNumber {
        self.0.cpu_number()
    }

    /// Where it stands.
    #[must_use]
    pub fn state(&self) -> ChannelState {
        self.0.book.lock().state
    }

    /// Descriptors submitted and not reported.
    #[must_use]
    pub fn outstanding(&self) -> usize {
        self.0.book.lock().pending.len()
    }

    /// What happened so far.
    #[must_use]
    pub fn counts(&self) -> ChannelCounts {
        self.0.counts()
    }

    /// Starts `chain`; on a running channel it replaces what remains of the old one, of which nothing is
    /// reported any more (ND-P5).
    ///
    /// # Errors
    /// [`ChannelError`]; nothing is outstanding then.
    pub fn start(&self, chain: &Chain<'_>, level: &dyn AtMostDispatch) -> Result<Submitted, ChannelError> {
        self.0.submit(Call::Start, chain, level)
    }

    /// Goes on with `chain` after what is there. For a 1.x provider, link it first (ND-P7).
    ///
    /// # Errors
    /// [`ChannelError`]; what was outstanding stays so.
    pub fn append(&self, chain: &Chain<'_>, level: &dyn AtMostDispatch) -> Result<Submitted, ChannelError> {
        self.0.submit(Call::Append, chain, level)
    }

    /// Stops after the current descriptor, and names the one processed last.
    ///
    /// # Errors
    /// [`ChannelError`].
    pub fn suspend(&self, level: &dyn AtMostDispatch) -> Result<Option<DescriptorAddr>, ChannelError> {
        self.0.suspend(level)
    }

    /// Goes on after a suspension.
    ///
    /// # Errors
    /// [`ChannelError`].
    pub fn resume(&self, level: &dyn AtMostDispatch) -> Result<(), ChannelError> {
        self.0.resume(level)
    }

    /// Stops at once; what was outstanding is not reported any more.
    ///
    /// # Errors
    /// [`ChannelError`].
    pub fn abort(&self, level: &dyn AtMostDispatch) -> Result<(), ChannelError> {
        self.0.abort(level)
    }

    /// As just allocated; what was outstanding is not reported any more.
    ///
    /// # Errors
    /// [`ChannelError`].
    pub fn reset(&self, level: &dyn AtMostDispatch) -> Result<(), ChannelError> {
        self.0.reset(level)
    }

    /// Gives the channel back; every later call is refused.
    ///
    /// # Errors
    /// [`ChannelError::Busy`] with work outstanding.
    pub fn free(&self, level: &dyn AtMostDispatch) -> Result<(), ChannelError> {
        self.0.free(level)
    }
}

impl fmt::Debug for NetDmaChannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NetDmaChannel({})", self.0.number)
    }
}

/// Both faces of a channel.
pub(super) struct Shared {
    number: u64,
    provider: Arc<dyn NetDmaProvider>,
    client: Arc<dyn NetDmaClient>,
    /// The provider's, set when it has allocated.
    context: OnceLock<ProviderChannelContext>,
    cpu: AtomicU32,
    /// Cleared when the provider stops.
    accepting: Arc<AtomicBool>,
    /// Held across the provider's callbacks, so that calls on one channel never overlap (ND-P16).
    calls: LevelLock,
    /// Never held across a callback: the DPC takes it too.
    book: SpinLock<Book>,
    /// Rung when something is no longer outstanding.
    pub(super) settled: Bell,
    pause: Arc<dyn Pause>,
    isr_reports: AtomicU64,
    dpc_reports: AtomicU64,
    repeated_reports: AtomicU64,
    attentions: AtomicU64,
    completed: AtomicU64,
}

/// What is pending, in chain order. Its memory is allocated once.
struct Book {
    state: ChannelState,
    pending: VecDeque<DescriptorAddr>,
    capacity: usize,
    /// The number of the last one submitted.
    submitted: u64,
}

impl Book {
    /// Finishes everything up to and including `last` (ND-C7), once (ND-I10).
    fn complete(&mut self, last: DescriptorAddr) -> Option<Completed> {
        let position = self.pending.iter().position(|&pending| pending == last)?;
        let sequence = self.submitted - self.pending.len() as u64 + position as u64 + 1;
        self.pending.drain(..=position);
        Some(Completed { last, sequence, count: position as u64 + 1 })
    }

    /// Takes the newest off again, after a refused submission: those numbered above `sequence`.
    fn withdraw(&mut self, sequence: u64) {
        let newer = usize::try_from(self.submitted - sequence).unwrap_or(usize::MAX);
        self.pending.truncate(self.pending.len().saturating_sub(newer));
        self.submitted = sequence;
    }
}

impl Shared {
    pub(super) fn new(
        number: u64,
        provider: Arc<dyn NetDmaProvider>,
        client: Arc<dyn NetDmaClient>,
        accepting: Arc<AtomicBool>,
        capacity: usize,
        pause: Arc<dyn Pause>,
    ) -> Arc<Self> {
        let book = Book {
            state: ChannelState::Fresh,
            pending: VecDeque::with_capacity(capacity),
            capacity,
            submitted: 0,
        };
        Arc::new(Self {
            number,
            provider,
            client,
            context: OnceLock::new(),
            cpu: AtomicU32::new(0),
            accepting,
            calls: LevelLock::new(pause.clone()),
            book: SpinLock::new(book),
            settled: Bell::new(),
            pause,
            isr_reports: AtomicU64::new(0),
            dpc_reports: AtomicU64::new(0),
            repeated_reports: AtomicU64::new(0),
            attentions: AtomicU64::new(0),
            completed: AtomicU64::new(0),
        })
    }

    /// The provider has allocated the channel.
    pub(super) fn allocated(&self, context: ProviderChannelContext, cpu: CpuNumber) {
        self.cpu.store(cpu.0, Ordering::Relaxed);
        self.context.set(context).expect("a channel is allocated once");
    }

    /// NetDmaIsr.
    pub(super) fn isr(&self, _latest: DescriptorAddr) -> CpuNumber {
        self.isr_reports.fetch_add(1, Ordering::Relaxed);
        self.cpu_number()
    }

    /// NetDmaInterruptDpc.
    pub(super) fn interrupt_dpc(&self, last: Option<DescriptorAddr>, level: &AtDispatch) {
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

    pub(super) fn is_freed(&self) -> bool {
        self.book.lock().state == ChannelState::Freed
    }

    fn cpu_number(&self) -> CpuNumber {
        CpuNumber(self.cpu.load(Ordering::Relaxed))
    }

    fn counts(&self) -> ChannelCounts {
        ChannelCounts {
            isr_reports: self.isr_reports.load(Ordering::Relaxed),
            dpc_reports: self.dpc_reports.load(Ordering::Relaxed),
            repeated_reports: self.repeated_reports.load(Ordering::Relaxed),
            attentions: self.attentions.load(Ordering::Relaxed),
            submitted: self.book.lock().submitted,
            completed: self.completed.load(Ordering::Relaxed),
        }
    }

    fn submit(
        &self,
        call: Call,
        chain: &Chain<'_>,
        level: &dyn AtMostDispatch,
    ) -> Result<Submitted, ChannelError> {
        let first = first_of(chain)?;
        let _calls = self.calls.lock();
        if !self.accepting.load(Ordering::Acquire) {
            return Err(ChannelError::Stopping);
        }
        // Before the doorbell: the report may come before the provider returns.
        let (before, submitted) = self.enter(call, chain.descriptors)?;
        let context = self.context();
        let result = match call {
            Call::Append => self.provider.append_dma(context, &first, level),
            _ => self.provider.start_dma(context, &first, level),
        };
        result.map_err(|status| {
            let mut book = self.book.lock();
            book.withdraw(submitted.last_sequence - chain.descriptors.len() as u64);
            // After a refused Start nobody knows what the engine does with the old chain.
            book.state = match (call, before) {
                (Call::Start, ChannelState::Running | ChannelState::Suspended) => ChannelState::NeedsStart,
                _ => before,
            };
            drop(book);
            self.pause.ring(&self.settled);
            ChannelError::Provider { call, status }
        })?;
        Ok(submitted)
    }

    /// Enters a chain into the book, and gives the state before.
    fn enter(&self, call: Call, chain: &[DescriptorAddr]) -> Result<(ChannelState, Submitted), ChannelError> {
        let mut book = self.book.lock();
        let before = book.state;
        let Step::Forward(after) = before.step(call)? else {
            return Err(Refused { call, state: before }.into());
        };
        let forgotten = if call == Call::Start { book.pending.len() } else { 0 };
        let (outstanding, capacity) = (book.pending.len() - forgotten, book.capacity);
        if chain.len() > capacity - outstanding {
            return Err(ChannelError::Full { wanted: chain.len(), outstanding, capacity });
        }
        if forgotten > 0 {
            book.pending.clear();
        }
        book.pending.extend(chain);
        book.submitted += chain.len() as u64;
        book.state = after;
        Ok((before, Submitted { last_sequence: book.submitted, forgotten: forgotten as u64 }))
    }

    fn suspend(&self, level: &dyn AtMostDispatch) -> Result<Option<DescriptorAddr>, ChannelError> {
        let _calls = self.calls.lock();
        let after = self.permitted(Call::Suspend)?;
        let capability = self.provider.suspend_resume().ok_or(ChannelError::NotSupported(Call::Suspend))?;
        let last = capability
            .suspend_dma(self.context(), level)
            .map_err(|status| ChannelError::Provider { call: Call::Suspend, status })?;
        self.settle(after, false);
        Ok(last)
    }

    fn resume(&self, level: &dyn AtMostDispatch) -> Result<(), ChannelError> {
        let _calls = self.calls.lock();
        let after = self.permitted(Call::Resume)?;
        let capability = self.provider.suspend_resume().ok_or(ChannelError::NotSupported(Call::Resume))?;
        capability
            .resume_dma(self.context(), level)
            .map_err(|status| ChannelError::Provider { call: Call::Resume, status })?;
        self.settle(after, false);
        Ok(())
    }

    fn abort(&self, level: &dyn AtMostDispatch) -> Result<(), ChannelError> {
        let _calls = self.calls.lock();
        let state = self.book.lock().state;
        let Step::Forward(after) = state.step(Call::Abort)? else { return Ok(()) };
        let capability = self.provider.abort().ok_or(ChannelError::NotSupported(Call::Abort))?;
        capability
            .abort_dma(self.context(), level)
            .map_err(|status| ChannelError::Provider { call: Call::Abort, status })?;
        self.settle(after, true);
        Ok(())
    }

    fn reset(&self, level: &dyn AtMostDispatch) -> Result<(), ChannelError> {
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
        let _calls = self.calls.lock();
        let after = self.permitted(Call::Free)?;
        let outstanding = self.book.lock().pending.len();
        if outstanding > 0 {
            return Err(ChannelError::Busy(outstanding));
        }
        self.provider.free_dma_channel(self.context(), level);
        self.settle(after, true);
        Ok(())
    }

    /// The state that `call` leads to, where it must reach the provider.
    fn permitted(&self, call: Call) -> Result<ChannelState, ChannelError> {
        let state = self.book.lock().state;
        match state.step(call)? {
            Step::Forward(after) => Ok(after),
            Step::Nothing => Err(Refused { call, state }.into()),
        }
    }

    fn settle(&self, state: ChannelState, forget: bool) {
        let mut book = self.book.lock();
        book.state = state;
        if forget {
            book.pending.clear();
        }
        drop(book);
        self.pause.ring(&self.settled);
    }

    fn context(&self) -> ProviderChannelContext {
        *self.context.get().expect("clients get a channel after the provider allocated it")
    }
}

fn first_of(chain: &Chain<'_>) -> Result<FirstDescriptor, ChannelError> {
    let location = chain.first.physical();
    let named = chain.descriptors.first().copied();
    let bad = ChannelError::BadChain {
        count: chain.descriptors.len(),
        first: named.map_or(PhysAddr(0), PhysAddr::from),
        location,
    };
    let count = u32::try_from(chain.descriptors.len()).map_err(|_| bad)?;
    match named {
        Some(address) if PhysAddr::from(address) == location => {
            Ok(FirstDescriptor::new(chain.first.clone(), address, count))
        }
        _ => Err(bad),
    }
}
