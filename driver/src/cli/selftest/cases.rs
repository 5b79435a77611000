//! The steps.

use anyhow::ensure;
use netdma::client::ChannelOptions;
use netdma::contract::{CpuNumber, CpuSet32};

use super::oracle::{GUARD, Range};
use super::rig::{LARGEST, Rig, SLACK};

/// One step.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) run: fn(&mut Rig) -> anyhow::Result<Done>,
}

/// How a step ended.
pub(crate) enum Done {
    Ok,
    /// With the reason.
    Skipped(String),
}

/// The last step: what shows that the engine works after everything before.
pub(crate) const CLEAN: Case = Case { name: "a clean batch", run: clean };

/// All steps before that, in order.
pub(crate) const ALL: &[Case] = &[
    Case { name: "copy, every size", run: copy_sizes },
    Case { name: "copy, misaligned", run: copy_misaligned },
    Case { name: "fill, every size", run: fill_sizes },
    Case { name: "null", run: null },
    Case { name: "every processor", run: every_processor },
    Case { name: "batch, one interrupt", run: one_interrupt },
    Case { name: "all channels at once", run: together },
    Case { name: "DPCs that ask for DPCs", run: spread },
    Case { name: "ring and count wrap", run: wrap },
];

/// Powers of two and their neighbours, and sizes that hardware and drivers were seen to get wrong.
fn all_sizes(quick: bool) -> Vec<usize> {
    let powers = (0..=20).flat_map(|shift| [(1 << shift) - 1, 1 << shift, (1 << shift) + 1]);
    let mut sizes: Vec<usize> = powers.chain([50, 89, 1500, 2000, 9000, 65_521]).collect();
    sizes.retain(|size| (1..=LARGEST).contains(size) && (!quick || *size <= 1 << 16 || *size == LARGEST));
    sizes.sort_unstable();
    sizes.dedup();
    sizes
}

fn copy_sizes(rig: &mut Rig) -> anyhow::Result<Done> {
    let channels = rig.take(ChannelOptions::default())?;
    for size in all_sizes(rig.quick) {
        for channel in &channels {
            let (from, to) = (rig.data.below(SLACK), GUARD + rig.data.below(SLACK));
            rig.verified(
                channel,
                || format!("copy of {size} bytes"),
                |memory, batch| Ok(vec![memory.copy(batch, from, to, size)?]),
            )?;
        }
    }
    Ok(Done::Ok)
}

/// Every pair of misalignments below 8, for sizes around the units in which memory is moved.
fn copy_misaligned(rig: &mut Rig) -> anyhow::Result<Done> {
    let channels = rig.take(ChannelOptions::default())?;
    for size in [1, 2, 3, 7, 8, 9, 50, 63, 64, 65, 89, 2000, 4096] {
        let stride = (size + 80_usize).next_multiple_of(64);
        for channel in &channels {
            rig.verified(
                channel,
                || format!("64 misaligned copies of {size} bytes"),
                |memory, batch| {
                    let place = |pair: usize| pair * stride;
                    (0..64)
                        .map(|pair| {
                            let (from, to) = (place(pair) + pair / 8, GUARD + place(pair) + pair % 8);
                            memory.copy(batch, from, to, size)
                        })
                        .collect()
                },
            )?;
        }
    }
    Ok(Done::Ok)
}

fn fill_sizes(rig: &mut Rig) -> anyhow::Result<Done> {
    if !rig.driver.identity().capability.fill() {
        return Ok(Done::Skipped("this engine offers no FILL".into()));
    }
    let channels = rig.take(ChannelOptions::default())?;
    for size in all_sizes(rig.quick) {
        for channel in &channels {
            let (to, pattern) = (GUARD + rig.data.below(SLACK), rig.data.next());
            rig.verified(
                channel,
                || format!("fill of {size} bytes with {pattern:#018x}"),
                |memory, batch| Ok(vec![memory.fill(batch, to, size, pattern)?]),
            )?;
        }
    }
    Ok(Done::Ok)
}

fn null(rig: &mut Rig) -> anyhow::Result<Done> {
    const COUNT: u64 = 8;
    for channel in rig.take(ChannelOptions::default())? {
        rig.verified(
            &channel,
            || format!("{COUNT} NULLs"),
            |_, batch| {
                for _ in 0..COUNT {
                    batch.null();
                }
                Ok(Vec::new())
            },
        )?;
        let done = channel.stats().descriptors;
        ensure!(done == COUNT, "channel {}: {done} NULLs completed of {COUNT}", channel.index());
    }
    Ok(Done::Ok)
}

/// Each channel's DPC is aimed at each processor in turn, and must run there.
fn every_processor(rig: &mut Rig) -> anyhow::Result<Done> {
    for processor in 0..rig.processors {
        let affinity = CpuSet32::of(CpuNumber(processor));
        for channel in rig.take(ChannelOptions { affinity, ..ChannelOptions::default() })? {
            let before = dpcs_run(rig, processor);
            rig.copies(&channel, 4)?;
            let ran = rig.soon(|rig| dpcs_run(rig, processor) > before);
            ensure!(ran, "channel {}: its DPC did not run on processor {processor}", channel.index());
        }
    }
    Ok(Done::Ok)
}

fn one_interrupt(rig: &mut Rig) -> anyhow::Result<Done> {
    for channel in rig.take(ChannelOptions::default())? {
        let index = usize::try_from(channel.index())?;
        let interrupts = |rig: &Rig| {
            let messages = rig.driver.messages();
            // A shared message, or the line, is other channels' too: the service routine knows whose it was.
            let own = messages.len() >= usize::from(rig.driver.identity().channels);
            let message = messages.get(index).filter(|_| own);
            message.map_or_else(|| channel.stats().provider.interrupts, |message| message.interrupts)
        };
        let (before, rechecks) = (interrupts(rig), channel.stats().provider.rechecks);
        rig.copies(&channel, 64)?;
        let raised = interrupts(rig) - before;
        // None, if it was lost, or held back because the one before was not re-armed yet (MT-4).
        let stats = channel.stats();
        let silent = stats.lost_interrupts_recovered + stats.provider.rechecks - rechecks > 0;
        let one = raised == 1 || raised == 0 && silent;
        ensure!(one, "channel {index}: a batch of 64 copies raised {raised} interrupts, expected 1");
    }
    Ok(Done::Ok)
}

fn together(rig: &mut Rig) -> anyhow::Result<Done> {
    let size = if rig.quick { 8 << 10 } else { 64 << 10 };
    let channels = rig.take(ChannelOptions::default())?;
    for _ in 0..8 {
        rig.verified_together(&channels, |memory, batch| {
            let place = |index: usize| index * (size + GUARD);
            (0..8).map(|index| memory.copy(batch, place(index), GUARD + place(index), size)).collect()
        })?;
    }
    Ok(Done::Ok)
}

/// One DPC asks for more DPCs on other processors (DP-4); each of them must run.
fn spread(rig: &mut Rig) -> anyhow::Result<Done> {
    if rig.processors < 2 {
        return Ok(Done::Skipped("one processor has no other: give --processors 2 or more".into()));
    }
    let spread = CpuSet32::first(rig.processors);
    for channel in rig.take(ChannelOptions { spread, ..ChannelOptions::default() })? {
        let own = channel.processor().0;
        let before: Vec<u64> = (0..rig.processors).map(|processor| dpcs_run(rig, processor)).collect();
        let asked = channel.stats().provider.spread_dpcs;
        for _ in 0..4 {
            rig.copies(&channel, 4)?;
        }
        for processor in (0..rig.processors).filter(|processor| *processor != own) {
            let ran = rig.soon(|rig| dpcs_run(rig, processor) > before[processor as usize]);
            ensure!(ran, "channel {}: no DPC of its DPC ran on processor {processor}", channel.index());
        }
        let others = u64::from(rig.processors) - 1;
        let ran = |_: &Rig| channel.stats().provider.spread_dpcs - asked >= others;
        ensure!(
            rig.soon(ran),
            "channel {}: fewer than {others} DPCs were asked for by its DPC",
            channel.index()
        );
    }
    Ok(Done::Ok)
}

/// More descriptors on one channel than DMACOUNT can count, through a ring that wraps many times.
fn wrap(rig: &mut Rig) -> anyhow::Result<Done> {
    const EACH: usize = 1000;
    const BATCHES: usize = 67;
    if rig.quick {
        return Ok(Done::Skipped("--quick".into()));
    }
    let channels = rig.take(ChannelOptions::default())?;
    let Some(channel) = channels.first() else { return Ok(Done::Skipped("no channel".into())) };
    for number in 0..BATCHES {
        let shift = rig.data.below(SLACK);
        rig.verified(
            channel,
            || format!("batch {number} of {EACH} copies"),
            |memory, batch| {
                for index in 0..EACH {
                    memory.copy(batch, index * 128 + shift, GUARD + index * 128, 64)?;
                }
                Ok(vec![Range { from: Some(0), to: GUARD, len: EACH * 128 }])
            },
        )?;
    }
    let done = channel.stats().descriptors;
    ensure!(done > 1 << 16, "{done} descriptors do not wrap DMACOUNT");
    Ok(Done::Ok)
}

fn clean(rig: &mut Rig) -> anyhow::Result<Done> {
    for channel in rig.take(ChannelOptions::default())? {
        rig.copies(&channel, 16)?;
    }
    Ok(Done::Ok)
}

fn dpcs_run(rig: &Rig, processor: u32) -> u64 {
    let counts = rig.driver.processors();
    counts.get(processor as usize).map_or(0, |counts| counts.dpcs_run)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_reach_from_one_byte_to_a_mebibyte_with_the_neighbours_of_each_power() {
        let sizes = all_sizes(false);
        assert_eq!((sizes.first(), sizes.last()), (Some(&1), Some(&LARGEST)));
        for size in [50, 89, 2000, 4095, 4096, 4097, 65_535, 65_537, LARGEST - 1] {
            assert!(sizes.contains(&size), "{size}");
        }
        assert!(all_sizes(true).contains(&LARGEST) && all_sizes(true).len() < sizes.len());
    }
}
