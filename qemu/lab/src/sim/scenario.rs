//! A scenario: what is simulated, in one TOML file. This is the one place that documents every key.
//!
//! ```toml
//! name = "default"            # shown in reports; default: the file's name
//!
//! [device]
//! profile = "skx"             # the device's profile
//! channels = 2                # 1 to 8, default 2
//! vectors = 1                 # MSI-X vectors, 0 to channels; 0 is the line; default one for each channel
//! lint = false                # true: the device watches the driver, and a violation is a finding
//! start_latency_us = 0        # microseconds between a channel's start and its first effect, default 0
//!
//! [driver]
//! processors = 4              # DPC workers, 1 to 32, default 4
//! ring_slots = 64             # descriptors of each ring, a power of two from 2 to 4096, default 64
//! watchdog_ms = 20            # milliseconds that a waiter trusts the interrupt, default 20
//! timeout_ms = 1000           # milliseconds for calls without a limit of their own, default 1000
//! polled = false              # true: clients ask for no interrupts and look at the completion word
//! spread = false              # true: each DPC asks for one more on every other processor
//!
//! [[client]]                  # a kind of client; several may be given
//! api = "client"              # "client": Driver and Channel; "contract": the NetDMA calls themselves
//! tasks = 2                   # tasks of this kind, 1 to 16, default 1
//! channels = [0, 1]           # task i uses channels[i % len]; default all
//! batches = 12                # submissions of each task, 0 to 100000, default 12
//! batch = [1, 8]              # descriptors of a submission, at least and at most, 1 to 512
//! bytes = [1, 512]            # bytes of a descriptor, at least and at most, 1 to 65536
//! in_flight = 3               # submissions that a task leaves open, 1 to 16, default 3
//! copy = 8                    # weights of the three operations, 0 to 100, default 8, 3, 1
//! fill = 3
//! null = 1
//! fence = 10                  # percent of the descriptors with a fence behind them, default 10
//! poll = 10                   # percent of the waits that poll instead, default 10
//! renew = 10                  # percent of the batches before which a buffer is freed and another taken, default 10
//! forget = 0                  # percent of the submissions that nobody waits for, default 0
//! suspend = 0                 # percent of the batches after which the channel is suspended and resumed
//! abort = 0                   # percent of the batches after which the channel is aborted
//! reset = 0                   # percent of the batches after which the channel is reset
//! gap_us = 0                  # at most so many microseconds between two batches, default 0
//! timeout_ms = 500            # milliseconds for each wait, default 500
//!
//! [[storm]]                   # not a client: calls of NdisMQueueDpc from nowhere; see the module `storm`
//! interrupts = 200            # messages raised, 1 to 1000000
//! dpcs = 4                    # processors asked for by each, 1 to 32
//!
//! fault = []                  # rules, at the top: for example ["msix: nth(3) drop", "errata:tbg0-spurious-parity"]; or
//!                             # [[fault]] tables with the same words as keys, see `ioat_stage::fault::Written`
//!
//! [limits]
//! events = 200000             # trace events, default 200000
//! switches = 2000000          # points at which tasks may change, default 2000000
//! virtual_ms = 600000         # milliseconds of virtual time, default 600000
//!
//! [expect]                    # what must come of the faults; without a fault that fired the run must be clean
//! errors = []                 # operations may end so: "timeout", "halted", "bad-completion", "gone", "aborted"
//! finds = []                  # the oracle must find this: "corruption", ... (the kinds of findings)
//! when = "every-seed"         # where a fault fired; or "some-seed": in one seed of the range at least
//! lost_interrupts = false     # true: every dropped message is recovered by looking
//! open_fails = false          # true: the driver may refuse the device
//! ```

use std::collections::BTreeSet;
use std::fmt;
use std::ops::RangeInclusive;
use std::path::Path;

use ioat_stage::Rule;
use ioat_stage::fault::{RuleContext, RulePlace, Written, check_all};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use toml::Spanned;

use super::world::{Limits, Wrong};

/// A scenario as it is read.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Scenario {
    /// For reports.
    pub name: String,
    /// What goes wrong in the device: rules and errata, each with its place in the file.
    pub fault: Vec<Spanned<Written>>,
    /// The device.
    pub device: Device,
    /// The driver.
    pub driver: Driver,
    /// What its clients do.
    pub client: Vec<Client>,
    /// Interrupts and DPCs without a device.
    pub storm: Vec<Storm>,
    /// When to give it up.
    pub limits: LimitsTable,
    /// What must come of it.
    pub expect: Expect,
}

/// The device.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Device {
    /// Its profile's name.
    pub profile: String,
    /// Channels.
    pub channels: Within<1, 8>,
    /// MSI-X vectors; none for the profile's own number.
    pub vectors: Option<Within<0, 8>>,
    /// A violation of the device's lint is a finding.
    pub lint: bool,
    /// Microseconds.
    pub start_latency_us: Within<0, 1_000_000>,
}

/// The driver.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Driver {
    /// DPC workers.
    pub processors: Within<1, 32>,
    /// Slots of each ring.
    pub ring_slots: Within<2, 4096>,
    /// Milliseconds.
    pub watchdog_ms: Within<1, 100_000>,
    /// Milliseconds.
    pub timeout_ms: Within<1, 100_000>,
    /// Clients look instead of being told.
    pub polled: bool,
    /// DPCs on all processors.
    pub spread: bool,
}

/// Through which calls a client works.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Api {
    /// `netdma::client`.
    Client,
    /// `netdma::contract`.
    Contract,
}

/// One kind of client.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "every key is documented once, above")]
pub struct Client {
    pub api: Api,
    pub tasks: Within<1, 16>,
    pub channels: Vec<Within<0, 7>>,
    pub batches: Within<0, 100_000>,
    pub batch: Span<1, 512>,
    pub bytes: Span<1, 65_536>,
    pub in_flight: Within<1, 16>,
    pub copy: Within<0, 100>,
    pub fill: Within<0, 100>,
    pub null: Within<0, 100>,
    pub fence: Within<0, 100>,
    pub poll: Within<0, 100>,
    pub renew: Within<0, 100>,
    pub forget: Within<0, 100>,
    pub suspend: Within<0, 100>,
    pub abort: Within<0, 100>,
    pub reset: Within<0, 100>,
    pub gap_us: Within<0, 1_000_000>,
    pub timeout_ms: Within<1, 100_000>,
}

/// N interrupts against M DPCs.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "every key is documented once, above")]
pub struct Storm {
    pub interrupts: Within<1, 1_000_000>,
    pub dpcs: Within<1, 32>,
}

/// When to give it up.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "every key is documented once, above")]
pub struct LimitsTable {
    pub events: u64,
    pub switches: u64,
    pub virtual_ms: u64,
}

/// In which seeds a finding must be there.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum When {
    /// In every one where a fault fired.
    #[default]
    EverySeed,
    /// In one of those at least: whether it is seen depends on the interleaving.
    SomeSeed,
}

/// How an operation may end.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// Not in time.
    Timeout,
    /// The engine halted.
    Halted,
    /// The engine reported what is not under way.
    BadCompletion,
    /// The device does not answer.
    Gone,
    /// Failed with another operation.
    Aborted,
}

/// What must come of the faults.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "every key is documented once, above")]
pub struct Expect {
    pub errors: BTreeSet<Ending>,
    pub finds: BTreeSet<Wrong>,
    pub when: When,
    pub lost_interrupts: bool,
    pub open_fails: bool,
}

/// A number from `MIN` to `MAX`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Within<const MIN: u64, const MAX: u64>(u64);

impl<const MIN: u64, const MAX: u64> Within<MIN, MAX> {
    /// This number, which must be in the range.
    pub(crate) const fn new(number: u64) -> Self {
        assert!(MIN <= number && number <= MAX);
        Self(number)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The number, to count with.
    #[must_use]
    pub fn count(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl<'de, const MIN: u64, const MAX: u64> Deserialize<'de> for Within<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let number = i64::deserialize(from)?;
        match u64::try_from(number) {
            Ok(value) if (MIN..=MAX).contains(&value) => Ok(Self(value)),
            _ => Err(D::Error::custom(format!("found {number}, expected {MIN} to {MAX}"))),
        }
    }
}

/// Two numbers from `MIN` to `MAX`, the smaller first.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Span<const MIN: u64, const MAX: u64>(pub RangeInclusive<u64>);

impl<const MIN: u64, const MAX: u64> Span<MIN, MAX> {
    /// The larger one.
    #[must_use]
    pub fn most(&self) -> usize {
        usize::try_from(*self.0.end()).unwrap_or(usize::MAX)
    }
}

impl<'de, const MIN: u64, const MAX: u64> Deserialize<'de> for Span<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let [low, high] = <[Within<MIN, MAX>; 2]>::deserialize(from)?;
        if low.0 > high.0 {
            let text = format!("found [{}, {}], expected the smaller number first", low.0, high.0);
            return Err(D::Error::custom(text));
        }
        Ok(Self(low.0..=high.0))
    }
}

impl Default for Device {
    fn default() -> Self {
        Self {
            profile: "skx".into(),
            channels: Within(2),
            vectors: None,
            lint: false,
            start_latency_us: Within(0),
        }
    }
}

impl Default for Driver {
    fn default() -> Self {
        Self {
            processors: Within(4),
            ring_slots: Within(64),
            watchdog_ms: Within(20),
            timeout_ms: Within(1000),
            polled: false,
            spread: false,
        }
    }
}

impl Default for Client {
    fn default() -> Self {
        Self {
            api: Api::Client,
            tasks: Within(1),
            channels: Vec::new(),
            batches: Within(12),
            batch: Span(1..=8),
            bytes: Span(1..=512),
            in_flight: Within(3),
            copy: Within(8),
            fill: Within(3),
            null: Within(1),
            fence: Within(10),
            poll: Within(10),
            renew: Within(10),
            forget: Within(0),
            suspend: Within(0),
            abort: Within(0),
            reset: Within(0),
            gap_us: Within(0),
            timeout_ms: Within(500),
        }
    }
}

impl Default for LimitsTable {
    fn default() -> Self {
        Self { events: 200_000, switches: 2_000_000, virtual_ms: 600_000 }
    }
}

/// Why a scenario is not one.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// The file cannot be read.
    #[error("{place}: {source}")]
    Read {
        /// Its path.
        place: String,
        /// Why.
        source: std::io::Error,
    },
    /// Neither a file nor a shipped scenario.
    #[error("'{name}' is neither a file nor a shipped scenario; those are {known}")]
    Unknown {
        /// What was given.
        name: String,
        /// What there is.
        known: String,
    },
    /// It is not TOML, or a key or a value is wrong.
    #[error("{place}:{line}: {what}")]
    Parse {
        /// Its path.
        place: String,
        /// The line, from 1.
        line: usize,
        /// The key, and what was expected.
        what: String,
    },
    /// Two keys contradict each other.
    #[error("{place}: {key}: {what}")]
    Contradiction {
        /// Its path.
        place: String,
        /// The key.
        key: String,
        /// What was found and what was expected.
        what: String,
    },
}

/// The scenarios that the program brings along, by name.
pub const SHIPPED: &[(&str, &str)] = &[
    ("default", include_str!("../../../../scripts/scenarios/default.toml")),
    ("stops", include_str!("../../../../scripts/scenarios/stops.toml")),
    ("contract", include_str!("../../../../scripts/scenarios/contract.toml")),
    ("line", include_str!("../../../../scripts/scenarios/line.toml")),
    ("shared-vector", include_str!("../../../../scripts/scenarios/shared-vector.toml")),
    ("polled", include_str!("../../../../scripts/scenarios/polled.toml")),
    ("late-gone", include_str!("../../../../scripts/scenarios/late-gone.toml")),
    ("storm", include_str!("../../../../scripts/scenarios/storm.toml")),
    ("lost-interrupt", include_str!("../../../../scripts/scenarios/lost-interrupt.toml")),
    ("lost-completion", include_str!("../../../../scripts/scenarios/lost-completion.toml")),
    ("early-completion", include_str!("../../../../scripts/scenarios/early-completion.toml")),
    ("misaddressed-completion", include_str!("../../../../scripts/scenarios/misaddressed-completion.toml")),
    ("halt", include_str!("../../../../scripts/scenarios/halt.toml")),
    ("corrupt-copy", include_str!("../../../../scripts/scenarios/corrupt-copy.toml")),
    ("gone", include_str!("../../../../scripts/scenarios/gone.toml")),
];

impl Scenario {
    /// Reads the file of this path, or the shipped scenario of this name.
    ///
    /// # Errors
    /// [`ScenarioError`].
    pub fn load(name: &str) -> Result<Self, ScenarioError> {
        let shipped = SHIPPED.iter().find(|(known, _)| *known == name);
        if let (Some((known, text)), false) = (shipped, Path::new(name).is_file()) {
            return Self::parse(text, &format!("scripts/scenarios/{known}.toml"));
        }
        if !Path::new(name).exists() {
            let known = SHIPPED.iter().map(|(known, _)| *known).collect::<Vec<_>>().join(", ");
            return Err(ScenarioError::Unknown { name: name.to_owned(), known });
        }
        let text = std::fs::read_to_string(name);
        let text = text.map_err(|source| ScenarioError::Read { place: name.to_owned(), source })?;
        Self::parse(&text, name)
    }

    /// Reads a scenario's text; `place` is its path.
    ///
    /// # Errors
    /// [`ScenarioError::Parse`], [`ScenarioError::Contradiction`].
    pub fn parse(text: &str, place: &str) -> Result<Self, ScenarioError> {
        let scenario = toml::from_str::<Spanned<Self>>(text).map_err(|error| {
            let start = error.span().map_or(0, |span| span.start);
            wrong_line(text, place, start, error.message())
        })?;
        let mut scenario = scenario.into_inner();
        if scenario.name.is_empty() {
            let stem = Path::new(place).file_stem().and_then(|stem| stem.to_str());
            scenario.name = stem.unwrap_or(place).to_owned();
        }
        scenario.check().map_err(|(key, what)| ScenarioError::Contradiction {
            place: place.to_owned(),
            key,
            what,
        })?;
        scenario.check_faults().map_err(|(start, what)| wrong_line(text, place, start, &what))?;
        Ok(scenario)
    }

    /// The rules, errata unfolded.
    #[must_use]
    pub fn rules(&self) -> Vec<Rule> {
        self.fault.iter().flat_map(|written| written.get_ref().0.iter().cloned()).collect()
    }

    /// The same with these rules in place of its own.
    #[must_use]
    pub fn with_rules(self, rules: Vec<Rule>) -> Self {
        // They were written nowhere.
        Self {
            fault: rules.into_iter().map(|rule| Spanned::new(0..0, Written(vec![rule]))).collect(),
            ..self
        }
    }

    /// What its rules are held against.
    #[must_use]
    pub fn rule_context(&self, place: RulePlace) -> RuleContext {
        let channels = self.device.channels.get();
        let vectors = self.device.vectors.map_or(channels, Within::get);
        let number = |count: u64| u8::try_from(count).unwrap_or(u8::MAX);
        RuleContext::new(number(channels), number(vectors).into(), place)
    }

    /// The limits, in the units of the world.
    #[must_use]
    pub fn limits(&self) -> Limits {
        let LimitsTable { events, switches, virtual_ms } = self.limits;
        Limits { events, switches, time_ns: virtual_ms.saturating_mul(1_000_000) }
    }

    /// Rules that can never fire. The error is where the rule begins, and why it is one.
    fn check_faults(&self) -> Result<(), (usize, String)> {
        let starts =
            self.fault.iter().flat_map(|written| written.get_ref().0.iter().map(|_| written.span().start));
        check_all(&self.rules(), &self.rule_context(RulePlace::Sim)).map_err(|error| {
            let start = starts.clone().nth(error.index).unwrap_or(0);
            (start, format!("fault: {error}"))
        })
    }

    /// Whether its keys fit together; the error is a key, and what is wrong with it.
    pub(crate) fn check(&self) -> Result<(), (String, String)> {
        let wrong = |key: String, what: fmt::Arguments<'_>| Err((key, what.to_string()));
        let channels = self.device.channels.get();
        let slots = self.driver.ring_slots.get();
        if !slots.is_power_of_two() {
            let what = format_args!("found {slots}, expected a power of two");
            return wrong("driver.ring_slots".into(), what);
        }
        if self.client.is_empty() && self.storm.is_empty() {
            let what = format_args!("found none, expected a [[client]] or a [[storm]]");
            return wrong("client".into(), what);
        }
        let tasks =
            |api| self.client.iter().filter(move |client| client.api == api).map(|client| client.tasks.get());
        if tasks(Api::Contract).count() > 0 && tasks(Api::Client).count() > 0 {
            return wrong(
                "client.api".into(),
                format_args!("found both, expected one in the whole scenario"),
            );
        }
        let contract = tasks(Api::Contract).sum::<u64>();
        if contract > channels {
            let what = format_args!(
                "found {contract} of api \"contract\", expected one per channel: at most {channels}"
            );
            return wrong("client.tasks".into(), what);
        }
        for (number, client) in self.client.iter().enumerate() {
            let key = |key: &str| format!("client[{number}].{key}");
            if let Some(channel) = client.channels.iter().find(|channel| channel.get() >= channels) {
                let what =
                    format_args!("found {}, expected less than device.channels = {channels}", channel.get());
                return wrong(key("channels"), what);
            }
            if *client.batch.0.end() >= slots {
                let what = format_args!(
                    "found {}, expected less than driver.ring_slots = {slots}",
                    client.batch.0.end()
                );
                return wrong(key("batch"), what);
            }
            if client.copy.get() + client.fill.get() + client.null.get() == 0 {
                return wrong(key("copy"), format_args!("found no weight at all, expected one above 0"));
            }
        }
        Ok(())
    }
}

/// What is wrong at byte `start` of the file.
fn wrong_line(text: &str, place: &str, start: usize, said: &str) -> ScenarioError {
    let before = text.get(..start).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let written = text.lines().nth(line - 1).unwrap_or("").trim();
    let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
    ScenarioError::Parse { place: place.to_owned(), line, what: format!("{said} (in `{written}`)") }
}

impl Client {
    /// The channel of its task number `task`.
    #[must_use]
    pub fn channel(&self, task: usize, channels: usize) -> usize {
        match self.channels.len() {
            0 => task % channels,
            count => self.channels[task % count].count(),
        }
    }
}
