//! Where findings are written down: once per rule and channel, with a count.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

use ioat_stage::sync::Mutex;

use super::rule::{Rule, Severity};

/// One thing that the driver did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Finding {
    /// Which rule it broke.
    pub rule: Rule,
    /// The channel; none for what belongs to the function.
    pub channel: Option<u8>,
    /// Where.
    pub place: Place,
    /// What was there.
    pub found: Value,
    /// What should have been.
    pub expected: Value,
}

/// Where something was found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// In a register.
    Register(&'static str),
    /// At an offset of BAR0.
    Offset(u64),
    /// In a descriptor at this address.
    Descriptor(u64),
    /// In one of its fields.
    Field(u64, &'static str),
    /// In the completion word at this address.
    CompletionWord(u64),
}

/// What was found or expected.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Value {
    /// Bits or an address.
    Hex(u64),
    /// A number.
    Count(u64),
    /// What no number says.
    Word(&'static str),
}

/// All findings of one rule on one channel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Record {
    /// The first of them.
    pub first: Finding,
    /// How many there were.
    pub count: u64,
}

/// The list of findings. Shared by the device that fills it and whoever asks; it outlives resets and clients.
#[derive(Debug, Default)]
pub struct LintBook {
    records: Mutex<BTreeMap<(Rule, Option<u8>), Record>>,
    listener: Listener,
}

/// Is told of a finding and its count, maybe under a channel's lock: it must not block, nor call back.
pub type OnFinding = Box<dyn Fn(&Finding, u64) + Send + Sync>;

#[derive(Default)]
struct Listener(OnceLock<OnFinding>);

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Listener")
    }
}

impl LintBook {
    /// An empty list.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Everything found so far, by rule and channel, violations first.
    #[must_use]
    pub fn records(&self) -> Vec<Record> {
        self.records.lock().values().copied().collect()
    }

    /// How often a rule was broken, on all channels.
    #[must_use]
    pub fn count(&self, rule: Rule) -> u64 {
        self.records().iter().filter(|record| record.first.rule == rule).map(|record| record.count).sum()
    }

    /// Every finding of this severity.
    #[must_use]
    pub fn total(&self, severity: Severity) -> u64 {
        let records = self.records();
        records.iter().filter(|record| record.first.rule.severity() == severity).map(|r| r.count).sum()
    }

    /// Tells `listener` what the log is told from now on. False if there is one already.
    pub fn listen(&self, listener: OnFinding) -> bool {
        self.listener.0.set(listener).is_ok()
    }

    /// Writes a finding down. The log hears of the first, the second, the fourth, the eighth: what a guest can repeat
    /// must not fill it, and there is no clock here.
    pub(crate) fn note(&self, finding: Finding) {
        let mut records = self.records.lock();
        let record =
            records.entry((finding.rule, finding.channel)).or_insert(Record { first: finding, count: 0 });
        record.count = record.count.saturating_add(1);
        let count = record.count;
        drop(records);
        if count.is_power_of_two() {
            if let Some(listener) = self.listener.0.get() {
                listener(&finding, count);
            }
            match finding.rule.severity() {
                Severity::Violation => log::warn!("lint: {finding}; {count} so far"),
                Severity::Notice => log::info!("lint: {finding}; {count} so far"),
            }
        }
    }
}

/// The summary: a line of totals, then one per record.
impl fmt::Display for LintBook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (violations, notices) = (self.total(Severity::Violation), self.total(Severity::Notice));
        write!(f, "lint: {violations} violations, {notices} notices")?;
        for Record { first, count } in self.records() {
            write!(f, "\nlint: {count} x {first}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rule, channel, place, found, expected } = self;
        write!(f, "{} {rule}: ", rule.severity())?;
        if let Some(channel) = channel {
            write!(f, "channel {channel}, ")?;
        }
        write!(f, "{place}: found {found}, expected {expected} ({})", rule.source())
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Register(name) => f.write_str(name),
            Self::Offset(offset) => write!(f, "BAR0 + {offset:#x}"),
            Self::Descriptor(address) => write!(f, "descriptor {address:#x}"),
            Self::Field(address, field) => write!(f, "descriptor {address:#x}, {field}"),
            Self::CompletionWord(address) => write!(f, "completion word {address:#x}"),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hex(bits) => write!(f, "{bits:#x}"),
            Self::Count(count) => write!(f, "{count}"),
            Self::Word(text) => f.write_str(text),
        }
    }
}
