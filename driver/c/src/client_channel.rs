//! One channel in the client's hands: its memory, its chains, and the comparison.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ioat_stage::pause::deadline;
use ioat_stage::{Bell, Pause, Wake};
use netdma::contract::{
    AnchorSlot, Chain, ChannelError, ChannelRequest, Completed, CompletionLocation, ControlFlags, CpuSet32,
    DescriptorAddr, DmaLocation, NetDmaChannel, NetDmaClient, ProviderCharacteristics, ProviderId,
};
use netdma::hw::DmaBuffer;
use netdma::irql::{AtDispatch, AtPassive};

use crate::client::Plan;
use crate::host::Host;
use crate::host_types::NETDMA_HOST_RESULT;

/// Descriptors of a ring; behind them lie the anchor and the completion value.
const SLOTS: usize = 64;
const SLOT: usize = 64;
const ANCHOR: usize = SLOTS * SLOT;
const COMPLETION: usize = ANCHOR + SLOT;

/// What lies behind the destination, and must stay so.
const GUARD: [u8; 64] = [0xee; 64];

/// How long a chain may take. An interrupt that was lost is found after this.
const PATIENCE: Duration = Duration::from_secs(2);

/// What the provider's DPCs say.
struct Reports {
    pause: Arc<dyn Pause>,
    bell: Bell,
    sequence: AtomicU64,
    attentions: AtomicU64,
}

impl NetDmaClient for Reports {
    fn completed(&self, completed: Completed, _: &AtDispatch) {
        self.sequence.fetch_max(completed.sequence, Ordering::Release);
        self.pause.ring(&self.bell);
    }

    fn attention(&self, _: &AtDispatch) {
        self.attentions.fetch_add(1, Ordering::Release);
        self.pause.ring(&self.bell);
    }
}

/// A channel in use.
pub(crate) struct User {
    number: u32,
    net: NetDmaChannel,
    reports: Arc<Reports>,
    ring: Arc<DmaBuffer>,
    source: DmaBuffer,
    destination: DmaBuffer,
    plan: Plan,
    /// Chains carry their count, and never end (2.0).
    counted: bool,
    /// The next free slot of the ring.
    slot: usize,
    /// The next call is Start.
    fresh: bool,
    /// The chain under way: its last descriptor's number, and the pattern.
    last: u64,
    pattern: u64,
}

impl User {
    pub(crate) fn allocate(
        host: &Host,
        id: ProviderId,
        characteristics: &ProviderCharacteristics,
        plan: Plan,
        number: u32,
        level: &AtPassive,
    ) -> Result<Self, String> {
        let text = |error: &dyn std::fmt::Display| error.to_string();
        let allocate = |len: usize| host.device.memory.allocate(len).map_err(|error| text(&error));
        let bytes = plan.descriptors as usize * plan.bytes as usize;
        let ring = Arc::new(allocate(COMPLETION + 8)?);
        let (source, destination) = (allocate(bytes)?, allocate(bytes + GUARD.len())?);
        let completion = CompletionLocation::new(ring.clone(), COMPLETION).map_err(|error| text(&error))?;
        let anchor = AnchorSlot::new(ring.clone(), ANCHOR).map_err(|error| text(&error))?;
        let pause = host.device.pause.clone();
        let reports = Arc::new(Reports {
            pause,
            bell: Bell::new(),
            sequence: AtomicU64::new(0),
            attentions: AtomicU64::new(0),
        });
        let request = ChannelRequest {
            completion,
            processors: CpuSet32::first(host.processors.count()),
            group: None,
            priority: 0,
            max_outstanding: SLOTS,
            anchor: Some(anchor),
        };
        let net = host
            .interface
            .allocate_channel(id, request, reports.clone(), level)
            .map_err(|error| text(&error))?;
        Ok(Self {
            number,
            net,
            reports,
            ring,
            source,
            destination,
            plan,
            counted: characteristics.version.counts_chains(),
            slot: 0,
            fresh: true,
            last: 0,
            pattern: u64::from(number) << 32 | 1,
        })
    }

    /// Submits the next chain, by Start or by Append.
    pub(crate) fn copy(&mut self, level: &AtPassive) -> Result<(), String> {
        self.pattern = self.pattern.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        self.fill()?;
        let addresses = self.write_chain()?;
        let offset = self.slot * SLOT;
        let first =
            DmaLocation::new(self.ring.clone(), offset, SLOT, SLOT).map_err(|error| self.failed(error))?;
        let chain = Chain { first, descriptors: &addresses };
        let submitted =
            if self.fresh { self.net.start(&chain, level) } else { self.net.append(&chain, level) };
        self.last = submitted.map_err(|error| self.failed(error))?.last_sequence;
        self.fresh = false;
        self.slot = (self.slot + addresses.len()) % SLOTS;
        Ok(())
    }

    /// Waits for the chain under way and compares. One that nobody reports is copied again, once.
    pub(crate) fn finish(
        &mut self,
        result: &mut NETDMA_HOST_RESULT,
        level: &AtPassive,
    ) -> Result<(), String> {
        if !self.wait() {
            result.LostInterrupts += 1;
            self.net.reset(level).map_err(|error| self.failed(error))?;
            self.fresh = true;
            self.copy(level)?;
            if !self.wait() {
                return Err(self.failed("two chains were not reported"));
            }
        }
        self.compare()?;
        result.Descriptors += u64::from(self.plan.descriptors);
        result.BytesVerified += u64::from(self.plan.descriptors) * u64::from(self.plan.bytes);
        Ok(())
    }

    pub(crate) fn suspend_and_resume(
        &mut self,
        result: &mut NETDMA_HOST_RESULT,
        level: &AtPassive,
    ) -> Result<(), String> {
        self.copy(level)?;
        match self.net.suspend(level) {
            Err(ChannelError::NotSupported(_)) => {}
            Err(error) => return Err(self.failed(error)),
            Ok(_) => {
                result.Suspends += 1;
                self.net.resume(level).map_err(|error| self.failed(error))?;
            }
        }
        self.finish(result, level)
    }

    pub(crate) fn abort_and_start(
        &mut self,
        result: &mut NETDMA_HOST_RESULT,
        level: &AtPassive,
    ) -> Result<(), String> {
        self.copy(level)?;
        match self.net.abort(level) {
            Err(ChannelError::NotSupported(_)) => {}
            Err(error) => return Err(self.failed(error)),
            Ok(()) => {
                result.Aborts += 1;
                self.fresh = true;
                self.copy(level)?;
            }
        }
        self.finish(result, level)
    }

    pub(crate) fn reset_and_start(
        &mut self,
        result: &mut NETDMA_HOST_RESULT,
        level: &AtPassive,
    ) -> Result<(), String> {
        self.copy(level)?;
        match self.net.reset(level) {
            Err(ChannelError::NotSupported(_)) => {}
            Err(error) => return Err(self.failed(error)),
            Ok(()) => {
                result.Resets += 1;
                self.fresh = true;
                self.copy(level)?;
            }
        }
        self.finish(result, level)
    }

    /// Gives the channel back, by force if it has work. Memory of one that does not stop is kept for the engine.
    pub(crate) fn free(self, result: &mut NETDMA_HOST_RESULT, level: &AtPassive) -> Result<(), String> {
        let counts = self.net.counts();
        result.IsrReports += counts.isr_reports;
        result.DpcReports += counts.dpc_reports;
        let attentions = self.reports.attentions.load(Ordering::Acquire);
        let freed = self.net.free(level).or_else(|_| {
            let _ = self.net.reset(level).or_else(|_| self.net.abort(level));
            self.net.free(level)
        });
        if let Err(error) = freed {
            let text = self.failed(error);
            std::mem::forget(self);
            return Err(text);
        }
        result.Channels += 1;
        if attentions > 0 {
            return Err(self.failed(format_args!("the provider reported {attentions} errors (ND-I8)")));
        }
        Ok(())
    }

    fn fill(&self) -> Result<(), String> {
        let mut data = vec![0; self.source.len()];
        let words = (0_u64..).map(|word| self.pattern.wrapping_mul(word | 1).rotate_left(17));
        for (chunk, word) in data.chunks_mut(8).zip(words) {
            chunk.copy_from_slice(&word.to_le_bytes()[..chunk.len()]);
        }
        self.source.write(0, &data).map_err(|error| self.failed(error))?;
        let blank = vec![GUARD[0]; self.destination.len()];
        self.destination.write(0, &blank).map_err(|error| self.failed(error))
    }

    /// Writes the chain's descriptors; gives their addresses.
    fn write_chain(&self) -> Result<Vec<DescriptorAddr>, String> {
        let count = self.plan.descriptors as usize;
        let address = |slot: usize| self.ring.iova() + (slot % SLOTS * SLOT) as u64;
        let mut addresses = Vec::with_capacity(count);
        for index in 0..count {
            let slot = self.slot + index;
            let last = index + 1 == count;
            let mut flags = ControlFlags(0);
            if last {
                flags = ControlFlags::INTERRUPT_ON_COMPLETION.with(ControlFlags::STATUS_UPDATE_ON_COMPLETION);
            }
            // (ND-P8) From 2.0 on the last one says where the next chain will begin.
            let next = if last && !self.counted { 0 } else { address(slot + 1) };
            let at = index as u64 * u64::from(self.plan.bytes);
            let words = [
                u64::from(flags.0) << 32 | u64::from(self.plan.bytes),
                self.source.iova() + at,
                self.destination.iova() + at,
                next,
                0,
                0,
                self.pattern,
                slot as u64,
            ];
            let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
            self.ring.write(slot % SLOTS * SLOT, &bytes).map_err(|error| self.failed(error))?;
            let named = DescriptorAddr::new(address(slot));
            addresses.push(named.ok_or_else(|| self.failed("a ring that is not on a 64-byte boundary"))?);
        }
        Ok(addresses)
    }

    /// True if the chain under way is reported.
    fn wait(&self) -> bool {
        let until = deadline(&*self.reports.pause, PATIENCE);
        loop {
            let seen = self.reports.bell.seen();
            if self.reports.sequence.load(Ordering::Acquire) >= self.last {
                return true;
            }
            if self.reports.pause.wait(&self.reports.bell, seen, Some(until)) == Wake::TimedOut {
                return false;
            }
        }
    }

    fn compare(&self) -> Result<(), String> {
        let len = self.plan.descriptors as usize * self.plan.bytes as usize;
        let (mut expected, mut found) = (vec![0; len], vec![0; len]);
        let mut guard = [0; GUARD.len()];
        let read = self.source.read(0, &mut expected).and_then(|()| self.destination.read(0, &mut found));
        read.and_then(|()| self.destination.read(len, &mut guard)).map_err(|error| self.failed(error))?;
        if let Some(offset) = (0..len).find(|&offset| expected[offset] != found[offset]) {
            let (wanted, got) = (expected[offset], found[offset]);
            return Err(
                self.failed(format_args!("offset {offset}: expected {wanted:#04x}, found {got:#04x}"))
            );
        }
        if guard != GUARD {
            return Err(self.failed("bytes behind the destination were written"));
        }
        Ok(())
    }

    fn failed(&self, what: impl std::fmt::Display) -> String {
        format!("channel {}: {what}", self.number)
    }
}
