//! Where commands are carried out: the device, its fault rules, its trace, and the news.

use std::sync::Arc;
use std::time::Duration;

use ioat_stage::fault::{RuleContext, RulePlace};
use ioat_stage::{FaultBook, pause};
use serde_json::{Value, json};

use super::controls::{ChannelView, Controls};
use super::news::News;
use super::protocol::{Class, Complaint, Request};
use super::tracing::Tracing;
use super::{catalog, given::Given};

/// Everything that commands work on.
pub struct Desk {
    pub(crate) controls: Arc<dyn Controls>,
    pub(crate) book: Arc<FaultBook>,
    pub(crate) tracing: Tracing,
    pub(crate) news: Arc<News>,
}

/// What a command leaves.
pub(crate) enum Answer {
    Now(Value),
    /// The reply waits until the channel has come to rest.
    Rest(Waiting),
}

/// A reply that waits for a channel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiting {
    channel: usize,
    /// Descriptors that the channel had done before.
    before: u64,
    /// Time of the pause seam's clock.
    pub(crate) until_ns: u64,
}

impl Desk {
    /// Puts everything together.
    #[must_use]
    pub fn new(controls: Arc<dyn Controls>, book: Arc<FaultBook>, tracing: Tracing, news: Arc<News>) -> Self {
        let profile = controls.profile();
        book.set_context(RuleContext::new(profile.channels, profile.vectors(), RulePlace::Device));
        Self { controls, book, tracing, news }
    }

    /// The first line for every client.
    pub(crate) fn greeting(&self) -> Value {
        json!({ "netdma": {
            "version": env!("CARGO_PKG_VERSION"),
            "device": self.controls.profile().name,
            "capabilities": ["events", "faults", "pause", "trace"],
        }})
    }

    pub(crate) fn carry_out(&self, request: Request) -> Result<Answer, Complaint> {
        let Some(command) = catalog::command(&request.execute) else {
            let desc = format!("no command '{}': query-commands lists them", shown(&request.execute));
            return Err(Complaint::new(Class::CommandNotFound, desc));
        };
        let given = Given::check(request.arguments, command.takes)?;
        (command.run)(self, &given)
    }

    /// A reply that waits for `channel`, until it is at rest or this much later.
    pub(crate) fn wait_for(&self, view: &ChannelView, limit: Duration) -> Answer {
        let until_ns = pause::deadline(self.news.clock(), limit);
        Answer::Rest(Waiting { channel: view.channel.into(), before: view.counters.descriptors, until_ns })
    }

    /// The reply, if it is due.
    pub(crate) fn due(&self, waiting: &Waiting) -> Option<Result<Value, Complaint>> {
        let view = match self.view(waiting.channel as u64) {
            Ok(view) => view,
            Err(complaint) => return Some(Err(complaint)),
        };
        let late = self.news.clock().now_ns() >= waiting.until_ns;
        (view.settled || late).then(|| {
            let executed = view.counters.descriptors - waiting.before;
            Ok(json!({
                "channel": view.channel,
                "settled": view.settled,
                "executed": executed,
                "left": view.allowed,
            }))
        })
    }

    pub(crate) fn view(&self, channel: u64) -> Result<ChannelView, Complaint> {
        let view = usize::try_from(channel).ok().and_then(|channel| self.controls.channel(channel));
        view.ok_or_else(|| {
            let last = self.controls.profile().channels - 1;
            Complaint::new(Class::NotFound, format!("no channel {channel}: the channels are 0 to {last}"))
        })
    }
}

fn shown(name: &str) -> String {
    name.chars().take(40).collect()
}
