//! The driver: our provider on the session's device, its channels, and `NdisMQueueDpc`.
//!
//! A session has one driver at most, and one after the other is not possible: interrupts that were given up are given up
//! for good. While it is attached the registers of the channels are its own.

mod attached;

mod channel;

mod options;

mod slot;

use std::rc::Rc;

use rhai::{Dynamic, Engine, INT, ImmutableString, Map};

use super::super::buffer::Buffer;
use super::super::failure::{Failure, failed};
use super::super::{Entry, Session};
use crate::client;
use attached::Attached;
use channel::Channel;
pub(in super::super) use slot::Slot;

const GROUP: &str = "The driver: channels and DPCs";

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        name: "driver",
        call: "driver() -> Driver\ndriver(#{processors: 4, timeout_ms: 5000, watchdog_ms: 20}) -> Driver",
        says: "Attaches our driver: it resets the engine, takes its interrupts, and starts a DPC worker for each processor (1 to \
               32). From then on raw writes to the channels' registers warn. Once in a session.",
        group: GROUP,
    },
    Entry {
        name: "channel",
        call: "driver.channel() -> Channel\ndriver.channel(#{ring_slots: 1024, affinity: 0b11, spread: 0b1110, completion: \"polled\"}) -> Channel",
        says: "Allocates a channel. affinity: processors on which its DPC may run; spread: processors that get one more DPC of \
               each batch; completion: \"interrupt\" or \"polled\", which asks for no interrupts. Its index, message and \
               processor are properties.",
        group: GROUP,
    },
    Entry {
        name: "queue_dpc",
        call: "driver.queue_dpc(message, bitmap) -> bitmap",
        says: "NdisMQueueDpc: asks for the message's DPC on each processor of the bitmap, and gives the bitmap of those where it \
               was really queued. A bit is missing where it was queued already, or where there is no such processor. The \
               first of them reports what the message's channels have finished.",
        group: GROUP,
    },
    Entry {
        name: "dpcs",
        call: "driver.dpcs() -> array of #{processor, message, reported, t_us}",
        says: "The DPCs that ran since driver() or trace_clear(), in order: where, for which message, and the descriptor that \
               it reported to NetDmaInterruptDpc, 0 if none.",
        group: GROUP,
    },
    Entry {
        name: "stats",
        call: "driver.stats() -> #{engine, interrupts, messages, processors}\nchannel.stats() -> map",
        says: "What happened so far: interrupts and service routines of each message, and DPCs run, queued and refused on each \
               processor; or a channel's bytes, descriptors, errors, recoveries, lost interrupts, and the provider's counts.",
        group: GROUP,
    },
    Entry {
        name: "close",
        call: "driver.close()\nchannel.close()",
        says: "Gives the channel back, or detaches the driver with all its channels. What is pending is reset first.",
        group: GROUP,
    },
    Entry {
        name: "submit",
        call: "channel.submit() -> operations",
        says: "Gives the operations collected by copy, fill, null and fence to the engine, with one doorbell and one interrupt. \
               Refused while the channel is suspended; they stay collected then.",
        group: GROUP,
    },
    Entry {
        name: "copy",
        call: "channel.copy(source, destination, bytes)\nchannel.copy(source, offset, destination, offset, bytes)",
        says: "Collects a copy. Nothing happens before submit().",
        group: GROUP,
    },
    Entry {
        name: "fill",
        call: "channel.fill(destination, bytes, pattern)",
        says: "Collects a fill with the 8 bytes of the pattern.",
        group: GROUP,
    },
    Entry {
        name: "null",
        call: "channel.null()",
        says: "Collects an operation that moves nothing, and completes in its turn.",
        group: GROUP,
    },
    Entry {
        name: "fence",
        call: "channel.fence()",
        says: "What is collected next is read only after everything before it was written.",
        group: GROUP,
    },
    Entry {
        name: "wait",
        call: "channel.wait(timeout_ms) -> array of #{ok, error}",
        says: "Waits for everything submitted, and says what became of each operation. What is not finished in time fails, \
               and the channel is reset.",
        group: GROUP,
    },
    Entry {
        name: "outstanding",
        call: "channel.outstanding() -> submissions",
        says: "How many submissions no DPC has reported yet. It does not look for itself.",
        group: GROUP,
    },
    Entry {
        name: "suspend",
        call: "channel.suspend()",
        says: "Stops behind the current descriptor. What is pending stays so; submit is refused meanwhile.",
        group: GROUP,
    },
    Entry {
        name: "index",
        call: "channel.index -> integer",
        says: "Its number on the engine.",
        group: GROUP,
    },
    Entry {
        name: "message",
        call: "channel.message -> integer",
        says: "The message that it interrupts with, for queue_dpc.",
        group: GROUP,
    },
    Entry {
        name: "processor",
        call: "channel.processor -> integer",
        says: "The processor of its DPC.",
        group: GROUP,
    },
    Entry {
        name: "processors",
        call: "driver.processors -> integer",
        says: "How many processors it has.",
        group: GROUP,
    },
    Entry { name: "resume", call: "channel.resume()", says: "Goes on after suspend().", group: GROUP },
    Entry {
        name: "abort",
        call: "channel.abort()",
        says: "Stops at once; what is pending fails as aborted, and wait() says so.",
        group: GROUP,
    },
];

pub(super) fn register(engine: &mut Engine, session: &Rc<Session>) {
    engine.register_type_with_name::<Rc<Attached>>("Driver");
    let it = session.clone();
    engine.register_fn("driver", move || slot::attach(&it, &Map::new()));
    let it = session.clone();
    engine.register_fn("driver", move |options: Map| slot::attach(&it, &options));
    engine.register_fn("channel", |driver: &mut Rc<Attached>| Channel::new(driver, &Map::new()));
    engine.register_fn("channel", |driver: &mut Rc<Attached>, options: Map| Channel::new(driver, &options));
    engine.register_fn("queue_dpc", |driver: &mut Rc<Attached>, message: INT, targets: INT| {
        driver.queue_dpc(message, targets)
    });
    engine.register_fn("dpcs", |driver: &mut Rc<Attached>| driver.dpcs());
    engine.register_fn("stats", |driver: &mut Rc<Attached>| driver.stats());
    engine.register_fn("close", |driver: &mut Rc<Attached>| driver.close());
    engine.register_get("processors", |driver: &mut Rc<Attached>| driver.processors());
    engine.register_fn("to_string", |driver: &mut Rc<Attached>| driver.to_string());
    engine.register_fn("to_debug", |driver: &mut Rc<Attached>| driver.to_string());
    of_channel(engine);
}

fn of_channel(engine: &mut Engine) {
    type Done = Result<(), Failure>;
    engine.register_type_with_name::<Channel>("Channel");
    engine.register_fn("copy", |it: &mut Channel, from: Buffer, to: Buffer, bytes: INT| -> Done {
        it.copy(&from, 0, &to, 0, bytes)
    });
    engine.register_fn(
        "copy",
        |it: &mut Channel, from: Buffer, at: INT, to: Buffer, to_at: INT, bytes: INT| -> Done {
            it.copy(&from, at, &to, to_at, bytes)
        },
    );
    engine.register_fn("fill", |it: &mut Channel, to: Buffer, bytes: INT, pattern: INT| -> Done {
        it.fill(&to, bytes, pattern)
    });
    engine.register_fn("null", |it: &mut Channel| -> Done { it.null() });
    engine.register_fn("fence", |it: &mut Channel| -> Done { it.fence() });
    engine.register_fn("submit", |it: &mut Channel| it.submit());
    engine.register_fn("wait", |it: &mut Channel, timeout_ms: INT| it.wait(timeout_ms));
    engine.register_fn("outstanding", |it: &mut Channel| it.outstanding());
    engine.register_fn("suspend", |it: &mut Channel| it.command(client::Channel::suspend));
    engine.register_fn("resume", |it: &mut Channel| it.command(client::Channel::resume));
    engine.register_fn("abort", |it: &mut Channel| it.command(client::Channel::abort));
    engine.register_fn("stats", |it: &mut Channel| it.stats());
    engine.register_fn("close", |it: &mut Channel| it.close());
    engine.register_get("index", |it: &mut Channel| it.index());
    engine.register_get("message", |it: &mut Channel| it.message());
    engine.register_get("processor", |it: &mut Channel| it.processor());
    engine.register_fn("to_string", |it: &mut Channel| it.to_string());
    engine.register_fn("to_debug", |it: &mut Channel| it.to_string());
}

/// Counts as a script has them.
fn counts(counts: &impl serde::Serialize) -> Result<Dynamic, Failure> {
    let value = serde_json::to_value(counts).map_err(|error| failed(error.to_string()))?;
    Ok(plain(value))
}

fn plain(value: serde_json::Value) -> Dynamic {
    match value {
        serde_json::Value::Null => Dynamic::UNIT,
        serde_json::Value::Bool(on) => on.into(),
        serde_json::Value::Number(number) => match number.as_i64() {
            Some(number) => number.into(),
            None => number.to_string().into(),
        },
        serde_json::Value::String(text) => text.into(),
        serde_json::Value::Array(values) => values.into_iter().map(plain).collect::<rhai::Array>().into(),
        serde_json::Value::Object(entries) => {
            let entries = entries.into_iter().map(|(key, value)| (key.into(), plain(value)));
            entries.collect::<Map>().into()
        }
    }
}

/// A word of an option.
fn word(value: &Dynamic) -> Option<ImmutableString> {
    value.read_lock::<ImmutableString>().map(|text| text.clone())
}
