//! The judge at the end of a run: what the events and the counters must add up to.

use std::collections::BTreeMap;

use ioat_stage::fault::Fired;
use ioat_stage::{Action, Event, Point, Stage};
use netdma::client::{Channel, Driver};

use super::scenario::Scenario;
use super::tally::Counts;
use super::world::{Stamped, Wrong};

/// What is wrong, as it is found.
pub(super) type Found = Vec<(Wrong, String)>;

/// No lost DPC, from the events alone: every DPC that was queued on a processor ran there, once, or twice where a rule that
/// fired said so.
pub(super) fn dpcs(events: &[Stamped], fired: &[Fired]) -> Found {
    let mut found = Found::new();
    let mut queued = BTreeMap::<(u32, u64), i64>::new();
    for Stamped { t_ns, event, .. } in events {
        let Event { stage, address, len, vector, .. } = *event;
        // Several channels may share a message, and DPCs are the message's.
        let message = vector.unwrap_or(u32::MAX);
        match stage {
            Stage::Queue => {
                if len & !address != 0 {
                    let text = format!("at {t_ns} ns message {message}: {len:#x} scheduled of {address:#x}");
                    found.push((Wrong::Dpc, text));
                }
                for processor in (0..32).filter(|processor| len & (1 << processor) != 0) {
                    *queued.entry((message, processor)).or_default() += 1;
                }
            }
            Stage::Dpc => *queued.entry((message, len)).or_default() -= 1,
            _ => {}
        }
    }
    for (message, processor) in twice(fired) {
        *queued.entry((message, processor)).or_default() += 1;
    }
    for ((message, processor), balance) in queued {
        if balance != 0 {
            let text = format!(
                "message {message}, processor {processor}: {} DPCs were queued {} than ran",
                balance.unsigned_abs(),
                if balance > 0 { "more" } else { "fewer" },
            );
            found.push((Wrong::Dpc, text));
        }
    }
    found
}

/// The message and the processor of each DPC that a rule ran twice.
fn twice(fired: &[Fired]) -> impl Iterator<Item = (u32, u64)> {
    let twice =
        fired.iter().filter(|fired| (fired.rule.point, fired.rule.action) == (Point::Dpc, Action::Duplicate));
    twice.map(|fired| (fired.op.vector.map_or(u32::MAX, u32::from), fired.op.len))
}

/// The driver's counters say what the events say.
pub(super) fn counters(driver: &Driver, channels: &[Channel], events: &[Stamped], fired: &[Fired]) -> Found {
    let mut found = Found::new();
    let count = |stage| events.iter().filter(|stamped| stamped.event.stage == stage).count() as u64;
    let processors = driver.processors();
    for (number, processor) in processors.iter().enumerate() {
        let more = twice(fired).filter(|(_, ran_on)| *ran_on == number as u64).count() as u64;
        if processor.dpcs_run != processor.queued + more {
            let text =
                format!("processor {number}: {} DPCs queued, {} run", processor.queued, processor.dpcs_run);
            found.push((Wrong::Dpc, text));
        }
    }
    let stats: Vec<_> = channels.iter().map(|channel| channel.stats().provider).collect();
    let messages = driver.messages();
    let sums = [
        ("DPCs run", processors.iter().map(|one| one.dpcs_run).sum::<u64>(), count(Stage::Dpc)),
        ("service routines run", messages.iter().map(|one| one.isr_runs).sum(), count(Stage::Isr)),
    ];
    let mut differ = |what: &str, counted: u64, happened: u64| {
        found.push((Wrong::Dpc, format!("{what}: {counted} counted, {happened} happened")));
    };
    for (what, counted, happened) in sums {
        if counted != happened {
            differ(what, counted, happened);
        }
    }
    // A shared message or a line attends to several channels at once; then the provider counts more than there were, or
    // fewer where it cannot tell whose one was. How many share is what the driver takes the engine to have: a fault may have
    // told it another number than there are.
    let sole = usize::from(driver.identity().channels) == channels.len();
    if sole && driver.message_info().is_some_and(|table| table.messages.len() == channels.len()) {
        let (interrupts, routines) = (stats.iter().map(|one| one.interrupts).sum(), count(Stage::Isr));
        if interrupts != routines {
            differ("the provider's interrupts", interrupts, routines);
        }
        // One that finds its channel served already is a DPC, and none of the channel's.
        let (dpcs, runs) = (stats.iter().map(|one| one.dpcs + one.spread_dpcs).sum(), count(Stage::Dpc));
        if dpcs > runs {
            differ("the provider's DPCs", dpcs, runs);
        }
    }
    found
}

/// Exactly once: what the clients were told is what the contract and the client API counted. `tolerant`: the device may
/// have refused what it had begun.
pub(super) fn completions(
    number: usize,
    channel: &Channel,
    counts: &Counts,
    clean: bool,
    tolerant: bool,
) -> Found {
    let mut found = Found::new();
    let of = |table: &BTreeMap<usize, u64>| table.get(&number).copied().unwrap_or(0);
    let (submitted, completed) = (of(&counts.submitted), of(&counts.completed));
    let contract = channel.contract_counts();
    if contract.completed > contract.submitted || completed > contract.completed {
        let text = format!(
            "channel {number}: {} submitted, {} reported, {completed} told to clients",
            contract.submitted, contract.completed
        );
        found.push((Wrong::Completion, text));
    }
    if clean {
        let seen = [contract.submitted, contract.completed, channel.stats().descriptors, completed];
        // A call that was refused after the engine had begun, and was made again, counts twice in the contract.
        let twice = tolerant && contract.submitted == contract.completed && contract.submitted > submitted;
        let differs = |count: &u64| *count != submitted;
        if seen[2..].iter().any(differs) || (!twice && seen[..2].iter().any(differs)) {
            let text = format!(
                "channel {number}: {submitted} descriptors were submitted; the contract counts {} in and {} out, \
                 the client API {}, the clients {completed}",
                seen[0], seen[1], seen[2]
            );
            found.push((Wrong::Completion, text));
        }
    }
    found
}

/// A completion was found by looking only where a rule dropped its message.
pub(super) fn interrupts(scenario: &Scenario, counts: &Counts) -> Found {
    let Counts { fired, recovered, .. } = *counts;
    let allowed = if scenario.expect.lost_interrupts { fired } else { 0 };
    // Fewer: the message that was dropped came at a re-arming, whose second look (MT-4) found the completion. And what
    // fails for another reason is looked for too: then the look is no sign of a lost interrupt.
    if recovered <= allowed || !counts.failed.is_empty() {
        return Found::new();
    }
    let text = format!("{recovered} completions were found by looking, {allowed} messages were dropped");
    vec![(Wrong::LostInterrupt, text)]
}
