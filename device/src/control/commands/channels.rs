//! Channels: how they stand, what they have done, and their pause.

use std::time::Duration;

use ioat_spec::ChanErr;
use serde_json::{Value, json};

use crate::control::controls::ChannelView;
use crate::control::desk::{Answer, Desk};
use crate::control::given::Given;
use crate::control::news::Item;
use crate::control::protocol::{Class, Complaint};
use crate::counters::Counters;

/// How long a reply waits unless told otherwise.
const WAIT: Duration = Duration::from_secs(1);

pub(crate) fn query_channels(desk: &Desk, given: &Given) -> Result<Answer, Complaint> {
    Ok(Answer::Now(views(desk, given)?.iter().map(view_json).collect()))
}

pub(crate) fn query_counters(desk: &Desk, given: &Given) -> Result<Answer, Complaint> {
    let views = views(desk, given)?;
    let total = views.iter().fold(Counters::default(), |sum, view| add(sum, view.counters));
    let channels: Value = views
        .iter()
        .map(|view| {
            let mut counters = counters_json(&view.counters);
            counters["channel"] = view.channel.into();
            counters
        })
        .collect();
    let maps = desk.controls.maps();
    Ok(Answer::Now(json!({
        "channels": channels,
        "total": counters_json(&total),
        "maps": {
            "count": maps.maps, "bytes": maps.bytes, "files": maps.files, "truncations": maps.truncations,
        },
        "faults-fired": desk.book.rules().iter().map(|armed| armed.fired).sum::<u64>(),
        "events-lost": desk.news.lost(),
    })))
}

pub(crate) fn pause(desk: &Desk, given: &Given) -> Result<Answer, Complaint> {
    let view = chosen(desk, given)?;
    let channel = view.channel.into();
    desk.controls.pause(channel);
    desk.news.tell(Item::Paused(channel));
    Ok(desk.wait_for(&view, limit(given)))
}

pub(crate) fn resume(desk: &Desk, given: &Given) -> Result<Answer, Complaint> {
    let channel = chosen(desk, given)?.channel.into();
    desk.controls.resume(channel);
    desk.news.tell(Item::Resumed(channel));
    Ok(Answer::Now(json!({ "channel": channel })))
}

pub(crate) fn step(desk: &Desk, given: &Given) -> Result<Answer, Complaint> {
    let view = chosen(desk, given)?;
    let n = u32::try_from(given.uint("n").unwrap_or(1)).unwrap_or(u32::MAX);
    if !desk.controls.allow(view.channel.into(), n) {
        let desc = format!("channel {} is not paused: channel-pause comes first", view.channel);
        return Err(Complaint::new(Class::Refused, desc));
    }
    Ok(desk.wait_for(&view, limit(given)))
}

/// The names of the bits of CHANERR.
pub(crate) fn error_bits(chanerr: ChanErr) -> Vec<&'static str> {
    let bits = chanerr.into_bits();
    ChanErr::NAMED.iter().filter(|(bit, _)| bits & 1 << bit != 0).map(|(_, name)| *name).collect()
}

fn limit(given: &Given) -> Duration {
    given.uint("wait-ms").map_or(WAIT, Duration::from_millis)
}

fn chosen(desk: &Desk, given: &Given) -> Result<ChannelView, Complaint> {
    desk.view(given.uint("channel").unwrap_or(u64::MAX))
}

/// The one that was asked for, or all.
fn views(desk: &Desk, given: &Given) -> Result<Vec<ChannelView>, Complaint> {
    if let Some(channel) = given.uint("channel") {
        return Ok(vec![desk.view(channel)?]);
    }
    (0..desk.controls.profile().channels).map(|channel| desk.view(channel.into())).collect()
}

fn view_json(view: &ChannelView) -> Value {
    json!({
        "channel": view.channel,
        "state": format!("{:?}", view.state).to_lowercase(),
        "completed": view.completed,
        "chanerr": view.chan_err.into_bits(),
        "chanerr-bits": error_bits(view.chan_err),
        "dmacount": view.dma_count,
        "done": view.done,
        "chainaddr": view.chain_addr,
        "chancmp": view.chan_cmp,
        "cdar": view.current,
        "sequence": view.sequence,
        "generation": view.generation,
        "vector": view.vector,
        "interrupt-held": view.interrupt_held,
        "running": view.running,
        "paused": view.paused,
        "allowed": view.allowed,
    })
}

fn counters_json(counters: &Counters) -> Value {
    json!({
        "descriptors": counters.descriptors,
        "bytes": counters.bytes,
        "steps": counters.steps,
        "doorbells": counters.doorbells,
        "interrupts-raised": counters.interrupts_raised,
        "interrupts-held": counters.interrupts_held,
        "errors": counters.errors,
        "resets": counters.resets,
    })
}

fn add(sum: Counters, more: Counters) -> Counters {
    Counters {
        descriptors: sum.descriptors + more.descriptors,
        bytes: sum.bytes + more.bytes,
        steps: sum.steps + more.steps,
        doorbells: sum.doorbells + more.doorbells,
        interrupts_raised: sum.interrupts_raised + more.interrupts_raised,
        interrupts_held: sum.interrupts_held + more.interrupts_held,
        errors: sum.errors + more.errors,
        resets: sum.resets + more.resets,
    }
}
