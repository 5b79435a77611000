//! N interrupts against M DPCs: the DPC engine alone, with most requests refused, and no work may be lost.
//!
//! A message's service routine puts one piece of work on each processor that it asks for, and then asks; the DPC takes
//! all that is there. Most requests are refused because the DPC is queued already (QD-3): each of those relies on
//! the queued run (QD-15). At the end nothing may be left.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ioat_stage::{Bell, Pause, Side};
use netdma::contract::CpuSet32;
use netdma::hw::{Fired, HwError, InterruptSource, Routed};
use netdma::irql::{AtDirql, AtDispatch, AtPassive};
use netdma::ndis::{
    DpcCall, DpcRequest, InterruptCharacteristics, IsrResult, LineHandlers, MessageHandlers, MessageId,
    NdisVersion, Processors, ndis_m_register_interrupt_ex,
};

use super::judge;
use super::pause::{SimPause, Sink};
use super::random::Random;
use super::scenario::Storm;
use super::tally::Tally;
use super::world::{self, Wrong};

/// Where the messages come from: as many as the storm has, at moments of the seed's choice.
struct Weather {
    left: AtomicU64,
    bell: Bell,
}

impl InterruptSource for Weather {
    fn vectors(&self) -> u32 {
        1
    }

    fn enable(&self, _: u32) -> Result<(), HwError> {
        Ok(())
    }

    fn disable(&self) -> Result<(), HwError> {
        Ok(())
    }

    fn wait(&self, _: u32, pause: &dyn Pause) -> Result<Fired, HwError> {
        pause.point();
        let left = self.left.load(Ordering::Relaxed);
        if left == 0 {
            pause.ring(&self.bell);
            return Ok(Fired::Stopped);
        }
        self.left.store(left - 1, Ordering::Relaxed);
        Ok(Fired::Times(1))
    }

    fn stop(&self) {}

    fn route(&self, _: u32, _: u32) -> Routed {
        Routed::NotApplicable
    }
}

/// The work on each processor: made by service routines, taken by DPCs.
struct Desk {
    targets: CpuSet32,
    made: Vec<AtomicU64>,
    taken: Vec<AtomicU64>,
}

impl MessageHandlers for Desk {
    fn message_interrupt(&self, _: MessageId, _: &AtDirql) -> IsrResult {
        for cpu in self.targets.iter() {
            // Published before the request (QD-15).
            self.made[cpu.0 as usize].fetch_add(1, Ordering::AcqRel);
        }
        IsrResult { claimed: true, dpc: DpcRequest::Cpus(self.targets), address: 0 }
    }

    fn message_interrupt_dpc(&self, call: &mut DpcCall, _: &AtDispatch) {
        let processor = call.processor as usize;
        let made = self.made[processor].load(Ordering::Acquire);
        // The work takes its time, and more comes meanwhile.
        SimPause.point();
        self.taken[processor].store(made, Ordering::Release);
        call.address = made;
        SimPause.point();
    }

    fn disable_message_interrupt(&self, _: MessageId, _: &AtDirql) {}

    fn enable_message_interrupt(&self, _: MessageId, _: &AtDirql) {}
}

impl LineHandlers for Desk {
    fn interrupt(&self, _: &AtDirql) -> IsrResult {
        IsrResult { claimed: false, dpc: DpcRequest::None, address: 0 }
    }

    fn interrupt_dpc(&self, _: &mut DpcCall, _: &AtDispatch) {}

    fn disable_interrupt(&self, _: &AtDirql) {}

    fn enable_interrupt(&self, _: &AtDirql) {}
}

/// One storm, from registration to deregistration.
pub(super) fn run(storm: &Storm, processors: u64, mut random: Random, tally: &Tally) {
    let count = u32::try_from(processors).unwrap_or(1);
    let Some(level) = AtPassive::claim() else { unreachable!("the first task is at PASSIVE_LEVEL") };
    let processors = match Processors::start(count, Arc::new(SimPause), Arc::new(Sink(Side::Driver))) {
        Ok(processors) => processors,
        Err(error) => return world::find(Wrong::Resource, error.to_string()),
    };
    let first = u32::try_from(random.below(u64::from(count))).unwrap_or(0);
    let targets = (0..u32::try_from(storm.dpcs.get()).unwrap_or(1))
        .fold(CpuSet32::EMPTY, |set, offset| set.with(CpuSet32(1 << ((first + offset) % count))));
    let zeros = || (0..count).map(|_| AtomicU64::new(0)).collect();
    let desk = Arc::new(Desk { targets, made: zeros(), taken: zeros() });
    let weather = Arc::new(Weather { left: AtomicU64::new(storm.interrupts.get()), bell: Bell::new() });
    let build = |_| InterruptCharacteristics {
        line: desk.clone(),
        message: Some(desk.clone()),
        version: NdisVersion::default(),
        msi_sync_with_all_messages: false,
        affinity: vec![0],
    };
    let seen = weather.bell.seen();
    let interrupt = match ndis_m_register_interrupt_ex(&processors, weather.clone(), build, &level) {
        Ok(interrupt) => interrupt,
        Err(error) => return world::find(Wrong::Resource, error.to_string()),
    };
    SimPause.wait(&weather.bell, seen, None);
    SimPause.sleep(super::run::SETTLE);
    for (wrong, text) in world::look(|events| judge::dpcs(events, &[])) {
        world::find(wrong, text);
    }
    let counts = processors.counts();
    for cpu in targets.iter() {
        let processor = cpu.0 as usize;
        let (made, taken) =
            (desk.made[processor].load(Ordering::Acquire), desk.taken[processor].load(Ordering::Acquire));
        if made != taken {
            world::find(
                Wrong::Dpc,
                format!("processor {processor}: {made} pieces of work, {taken} were taken"),
            );
        }
        let asked = counts[processor].queued + counts[processor].refused;
        if asked != storm.interrupts.get() {
            world::find(Wrong::Dpc, format!("processor {processor}: {asked} requests were answered"));
        }
    }
    tally.note(|all| all.requests += counts.iter().map(|one| one.queued + one.refused).sum::<u64>());
    interrupt.deregister(&level);
}
