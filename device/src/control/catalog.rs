//! Every command and every event, as data: the same table carries requests out and answers `query-commands`.

use serde_json::{Value, json};

use super::commands::{self, Run};
use super::protocol::Class;

/// A command.
pub struct Command {
    /// What `execute` says.
    pub name: &'static str,
    /// What it does.
    pub says: &'static str,
    /// What it takes.
    pub takes: &'static [Argument],
    /// What it returns.
    pub returns: &'static str,
    /// How it fails, beside [`Class::InvalidArgument`].
    pub fails: &'static [Class],
    pub(crate) run: Run,
}

/// An argument of a command.
#[derive(Clone, Copy, Debug)]
pub struct Argument {
    /// Its member in `arguments`.
    pub name: &'static str,
    /// What it may be.
    pub kind: Kind,
    /// It must be there.
    pub required: bool,
    /// What it means.
    pub says: &'static str,
}

/// The type of an argument.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// An integer in this range.
    Uint {
        /// The least.
        min: u64,
        /// The greatest.
        max: u64,
    },
    /// Any string.
    Text,
    /// One of these strings.
    OneOf(&'static [&'static str]),
}

impl Kind {
    /// For messages.
    #[must_use]
    pub fn says(self) -> String {
        match self {
            Self::Uint { min, max: u64::MAX } => format!("an integer of at least {min}"),
            Self::Uint { min, max } => format!("an integer from {min} to {max}"),
            Self::Text => "a string".to_owned(),
            Self::OneOf(words) => format!("one of {}", words.join(", ")),
        }
    }
}

/// An event.
pub struct EventKind {
    /// What `event` says.
    pub name: &'static str,
    /// When it comes, and what its data is.
    pub says: &'static str,
    /// The members of `data`.
    pub data: &'static [&'static str],
}

/// Most descriptors of one `channel-step`.
pub const STEP_MAX: u64 = 65_535;
/// Most milliseconds that a reply waits.
pub const WAIT_MAX_MS: u64 = 10_000;

const CHANNEL: Argument = Argument {
    name: "channel",
    kind: Kind::Uint { min: 0, max: 30 },
    required: true,
    says: "the channel's number",
};
const CHANNEL_IF_ANY: Argument = Argument { required: false, ..CHANNEL };
const WAIT_MS: Argument = Argument {
    name: "wait-ms",
    kind: Kind::Uint { min: 0, max: WAIT_MAX_MS },
    required: false,
    says: "how long the reply may wait for it (default 1000); later requests of this client wait with it",
};

macro_rules! commands {
    ($($name:literal $run:path: $says:literal, takes [$($takes:expr),*], returns $returns:literal, fails [$($fails:ident),*];)*) => {
        /// All commands.
        pub const COMMANDS: &[Command] = &[$(Command {
            name: $name, says: $says, takes: &[$($takes),*], returns: $returns,
            fails: &[$(Class::$fails),*], run: $run,
        },)*];
    };
}

commands! {
    "query-commands" commands::device::query_commands: "Lists every command with its arguments and errors, and every event",
        takes [], returns "{commands: [{name, says, arguments: [{name, type, required, says}], returns, errors}], events: [{name, says, data}], classes, max-line-bytes}", fails [];
    "query-points" commands::faults::query_points: "Lists the fault points, actions, filters, triggers and errata that exist, and the catalog: what each point can do, what breaks then, and how far it reaches",
        takes [], returns "{points: [{name, actions, filters}], actions: [{name, form, points}], filters: [{name, form, says, example}], triggers: [...], errata: [{name, says, opt-in, rules}], catalog: [{point, action, class, only, samples, reach, why, says}], chanerr-bits: [{bit, name}], shape}", fails [];
    "query-device" commands::device::query_device: "Tells what the device is and whom it serves",
        takes [], returns "{profile, vendor, device, revision, subsystem-vendor, subsystem, channels, vectors, version, pid, client, interrupts, trace}", fails [];
    "query-channels" commands::channels::query_channels: "Tells the state of one channel, or of all",
        takes [CHANNEL_IF_ANY], returns "[{channel, state, completed, chanerr, chanerr-bits, dmacount, done, chainaddr, chancmp, cdar, sequence, generation, vector, interrupt-held, running, paused, allowed}]", fails [NotFound];
    "query-counters" commands::channels::query_counters: "Tells what the device has done since the program began; no reset clears it",
        takes [CHANNEL_IF_ANY], returns "{channels: [{channel, descriptors, bytes, steps, doorbells, interrupts-raised, interrupts-held, errors, resets}], total: {...}, maps: {count, bytes, files, truncations}, faults-fired, events-lost}", fails [NotFound];
    "query-registers" commands::device::query_registers: "Reads every register of BAR0 and configuration space by name, without what reading does (ATTNSTATUS stays, CHANCTRL is not claimed)",
        takes [
            CHANNEL_IF_ANY,
            Argument { name: "space", kind: Kind::OneOf(&["bar0", "config"]), required: false, says: "only this space" }
        ], returns "[{name, space, channel, offset, width, value, fields}]", fails [NotFound];
    "read-register" commands::device::read_register: "Reads one register by name, without what reading does",
        takes [
            Argument { name: "name", kind: Kind::Text, required: true, says: "as query-registers names it, in any case: CHANSTS, COMMAND" },
            Argument { required: false, says: "the channel's number, for a register of a channel", ..CHANNEL }
        ], returns "{name, space, channel, offset, width, value, fields}", fails [NotFound];
    "fault-arm" commands::faults::arm: "Arms a fault rule, or the rules of an erratum, all or none; or, by its name, one that rests (armed=command). It counts from each channel's next step or register access on",
        takes [
            Argument { name: "rule", kind: Kind::Text, required: false, says: "'[NAME =] POINT[FILTER, ...]: TRIGGER [TRIGGER ...] ACTION', as --fault takes it, or 'errata:NAME'; several, one in each line" },
            Argument { name: "name", kind: Kind::Text, required: false, says: "instead: the name of a rule with armed=command" }
        ], returns "{id, rule}, or [{id, rule}] for several", fails [NotFound];
    "fault-disarm" commands::faults::disarm: "Takes a rule out",
        takes [Argument { name: "id", kind: Kind::Uint { min: 1, max: u64::MAX }, required: true, says: "the rule's number" }],
        returns "{id}", fails [NotFound];
    "fault-list" commands::faults::list: "Lists the rules, in the order of arming",
        takes [], returns "[{id, rule, seen, fired}]", fails [];
    "fault-fired" commands::faults::fired: "Lists what fired, oldest first; 'again' is the rule that hits the same operation if it is armed at the same point",
        takes [Argument { name: "last", kind: Kind::Uint { min: 1, max: 4096 }, required: false, says: "only so many, the newest (default 256)" }],
        returns "[{rule, nth, channel, channel-nth, again, sequence, address, len}]", fails [];
    "fault-clear" commands::faults::clear: "Takes all rules out, forgets what fired and what the census counted; the windows of t=A..B begin anew",
        takes [], returns "{}", fails [];
    "fault-census" commands::faults::census: "Counts the operations of every point from now on, from 0; or no longer",
        takes [Argument { name: "switch", kind: Kind::OneOf(&["on", "off"]), required: true, says: "on or off" }],
        returns "{switch}", fails [];
    "query-operations" commands::faults::query_operations: "Tells what the census has counted: operations by point and channel (null: of none), and how many of them read or write",
        takes [], returns "[{point, channel, count, reads, writes}]", fails [];
    "channel-pause" commands::channels::pause: "Holds a channel: it begins no further descriptor. Registers, resets, unmaps and clients go on",
        takes [CHANNEL, WAIT_MS], returns "{channel, settled, executed, left}", fails [NotFound];
    "channel-step" commands::channels::step: "Lets a paused channel do n more descriptors. What there is no work for now stays allowed",
        takes [
            CHANNEL,
            Argument { name: "n", kind: Kind::Uint { min: 1, max: STEP_MAX }, required: false, says: "how many descriptors (default 1)" },
            WAIT_MS
        ], returns "{channel, settled, executed, left}", fails [NotFound, Refused];
    "channel-resume" commands::channels::resume: "Lets a channel go",
        takes [CHANNEL], returns "{channel}", fails [NotFound];
    "trace-on" commands::tracing::on: "Writes trace events to a file from now on",
        takes [
            Argument { name: "file", kind: Kind::Text, required: true, says: "a regular file's absolute path; it is made, or emptied" },
            Argument { name: "detail", kind: Kind::OneOf(&["descriptors", "stages"]), required: false, says: "a record per descriptor, or every stage (default)" }
        ], returns "{file, detail}", fails [Refused, IoError];
    "trace-off" commands::tracing::off: "Ends the trace and closes its file",
        takes [], returns "{file, written, lost}", fails [Refused, IoError];
    "reset" commands::device::reset: "Resets the function, as DEVICE_RESET does: every register; maps and eventfds stay. The driver is not told",
        takes [], returns "{}", fails [];
}

/// All events.
pub const EVENTS: &[EventKind] = &[
    EventKind { name: "CLIENT_CONNECTED", says: "The device's client was let in", data: &[] },
    EventKind { name: "CLIENT_DISCONNECTED", says: "It is gone, and is cleaned up after", data: &[] },
    EventKind {
        name: "FAULT_FIRED",
        says: "A fault rule fired; as fault-fired tells it",
        data: &["rule", "nth", "channel", "channel-nth", "again", "sequence", "address", "len"],
    },
    EventKind {
        name: "CHANNEL_HALTED",
        says: "A channel halted",
        data: &["channel", "chanerr", "chanerr-bits", "completed", "sequence"],
    },
    EventKind { name: "CHANNEL_PAUSED", says: "A bench holds a channel", data: &["channel"] },
    EventKind { name: "CHANNEL_RESUMED", says: "It lets it go", data: &["channel"] },
    EventKind {
        name: "CHANNEL_STEPPED",
        says: "A paused channel ended a step",
        data: &["channel", "descriptors", "left"],
    },
    EventKind {
        name: "RESET",
        says: "A channel was reset, or (channel null) the function, by whomever",
        data: &["channel"],
    },
    EventKind {
        name: "LINT_FINDING",
        says: "With --lint: the driver broke a rule, for the first, second, fourth, eighth time",
        data: &["rule", "severity", "channel", "text", "count"],
    },
    EventKind { name: "TRACE_ON", says: "A trace began", data: &["file", "detail"] },
    EventKind { name: "TRACE_OFF", says: "It ended", data: &["file"] },
    EventKind {
        name: "EVENTS_LOST",
        says: "So many events did not fit while this client did not read, or came too fast",
        data: &["count"],
    },
];

/// The command of this name.
#[must_use]
pub fn command(name: &str) -> Option<&'static Command> {
    COMMANDS.iter().find(|command| command.name == name)
}

/// What `query-commands` returns.
#[must_use]
pub fn introspection() -> Value {
    let argument = |argument: &Argument| {
        let (kind, more) = match argument.kind {
            Kind::Uint { min, max } => ("uint", json!({ "min": min, "max": max })),
            Kind::Text => ("string", json!({})),
            Kind::OneOf(words) => ("enum", json!({ "values": words })),
        };
        let (name, required, says) = (argument.name, argument.required, argument.says);
        let mut object = json!({ "name": name, "type": kind, "required": required, "says": says });
        if let (Value::Object(object), Value::Object(more)) = (&mut object, more) {
            object.extend(more);
        }
        object
    };
    let command = |command: &Command| {
        let errors = std::iter::once(&Class::InvalidArgument).chain(command.fails);
        json!({
            "name": command.name,
            "says": command.says,
            "arguments": command.takes.iter().map(argument).collect::<Vec<_>>(),
            "returns": command.returns,
            "errors": errors.map(|class| class.name()).collect::<Vec<_>>(),
        })
    };
    let event = |event: &EventKind| json!({ "name": event.name, "says": event.says, "data": event.data });
    json!({
        "commands": COMMANDS.iter().map(command).collect::<Vec<_>>(),
        "events": EVENTS.iter().map(event).collect::<Vec<_>>(),
        "classes": Class::ALL.map(Class::name),
        "max-line-bytes": super::MAX_LINE_BYTES,
    })
}
