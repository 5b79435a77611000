//! A campaign's file, in TOML. This is the one place that documents its keys.
//!
//! It is a scenario (`sim/scenario.rs` documents `name`, `[device]`, `[driver]`, `[[client]]`, `[[storm]]` and the rest of
//! `[limits]`) with the tables below. A scenario's `fault` and `[expect]` have no place in it: experiments bring their own rules,
//! and what comes of them is classified, not expected.
//!
//! ```toml
//! [campaign]
//! name = "own-sim"            # in reports; default: the scenario's name
//! place = "sim"               # "sim", "socket", "vm", "vm:ioatdma", "vm:COMMAND", "attach:SOCKET"; default "sim"
//! seeds = "0..4"              # "A..B" (B excluded), a number, or an array of numbers; default 0. At most 1,000,000
//! kernel = "6.12"             # places in guests: the kernel, a version prefix from the cache
//! workload = "selftest"       # places outside the simulator: what the place runs, in the place's own words
//! command = "dmatest"         # "vm": a command line of the user's, judged by its exit status
//!
//! [sweep]                     # each catalog row that reaches the place, each of its samples, at the golden run's occurrences
//! points = ["msix"]           # only these points; default all
//! actions = ["drop"]          # only these actions' words; default all
//! occurrences = 4             # of each point and channel: all if there are no more, else the first, the last, and evenly
//!                             # between them; 1 to 100000, default 4
//!
//! [random]                    # for each seed, rules that the seed chooses
//! rules = [1, 3]              # at least and at most so many, 1 to 16, default [1, 3]
//! active = 25                 # percent of the catalog's rows that a seed chooses among, 1 to 100, default 25
//! points = []                 # as in [sweep]
//! actions = []                # as in [sweep]
//!
//! [[set]]                     # rules that are armed together, with every seed
//! name = "irq and word"       # in the plan and in reports; default the rules
//! rules = ["msix: nth(3) drop", "complete: nth(4) drop"]     # in one line, as tables, or errata by name
//! expect = ["masked"]         # if given: classes that are no finding here, and every other one is
//!
//! [[known]]                   # findings that are known: the gate is "nothing new"
//! class = "hang"              # the class; required
//! point = "reset"             # of one of the rules; any if left out
//! action = "stick"            # its action's word; any if left out
//! signature = ""              # a part of the finding's signature; any if left out
//! reason = "issue 17"         # why it is known; required
//!
//! [limits]                    # beside the scenario's own
//! hang_factor = 10            # more than so many times the golden run's time is a hang; 1 to 100000, default 100 in the simulator
//!                             # (where only time-outs take time), 10 elsewhere
//! degraded_factor = 2         # more than so many times is "degraded"; 1 to 100000, default 3
//! ```

use std::path::Path;
use std::sync::Arc;

use ioat_stage::fault::catalog::{self, CATALOG};
use ioat_stage::fault::{RuleContext, RulePlace, Written, check_all};
use ioat_stage::{Point, Rule};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use toml::Spanned;

use super::super::class::Class;
use super::super::expected::Known;
use super::super::identity;
use super::{Campaign, CampaignError, Factors, Filter, PlaceName, RandomRules, Set, Sweep};
use crate::sim::scenario::{Client, Device, Driver, LimitsTable, Scenario, Span, Storm, Within};

/// The most seeds of a campaign: more is a typing error.
const SEEDS_MOST: usize = 1_000_000;

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct File {
    name: String,
    fault: Option<Spanned<toml::Value>>,
    expect: Option<Spanned<toml::Value>>,
    device: Device,
    driver: Driver,
    client: Vec<Client>,
    storm: Vec<Storm>,
    limits: LimitsOfFile,
    campaign: Head,
    sweep: Option<SweepTable>,
    random: Option<RandomTable>,
    set: Vec<SetTable>,
    known: Vec<Known>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Head {
    name: Option<String>,
    place: PlaceName,
    seeds: Seeds,
    kernel: Option<String>,
    workload: Option<String>,
    command: Option<String>,
}

impl Default for Head {
    fn default() -> Self {
        Self {
            name: None,
            place: PlaceName::Sim,
            seeds: Seeds(vec![0]),
            kernel: None,
            workload: None,
            command: None,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct LimitsOfFile {
    events: u64,
    switches: u64,
    virtual_ms: u64,
    hang_factor: Option<Factor>,
    degraded_factor: Option<Factor>,
}

impl Default for LimitsOfFile {
    fn default() -> Self {
        let LimitsTable { events, switches, virtual_ms } = LimitsTable::default();
        Self { events, switches, virtual_ms, hang_factor: None, degraded_factor: None }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct SweepTable {
    points: Option<Vec<PointWord>>,
    actions: Option<Vec<ActionWord>>,
    occurrences: Within<1, 100_000>,
}

impl Default for SweepTable {
    fn default() -> Self {
        Self { points: None, actions: None, occurrences: Within::new(4) }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RandomTable {
    rules: Span<1, 16>,
    active: Within<1, 100>,
    points: Option<Vec<PointWord>>,
    actions: Option<Vec<ActionWord>>,
}

impl Default for RandomTable {
    fn default() -> Self {
        Self { rules: Span(1..=3), active: Within::new(25), points: None, actions: None }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SetTable {
    name: Option<String>,
    rules: Spanned<Vec<Spanned<Written>>>,
    expect: Option<Vec<Class>>,
}

/// `"A..B"`, a number, or numbers.
struct Seeds(Vec<u64>);

impl<'de> Deserialize<'de> for Seeds {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let value = toml::Value::deserialize(from)?;
        let seeds = match &value {
            toml::Value::Integer(one) => u64::try_from(*one).ok().map(|one| vec![one]),
            toml::Value::Array(all) => {
                let numbers = all.iter().map(|one| one.as_integer().and_then(|one| u64::try_from(one).ok()));
                numbers.collect()
            }
            toml::Value::String(range) => seeds_of_range(range),
            _ => None,
        };
        let seeds = seeds.filter(|seeds| !seeds.is_empty()).ok_or_else(|| {
            let expected = format!(
                "\"A..B\" with A less than B and at most {SEEDS_MOST} seeds, a number, or an array of numbers"
            );
            D::Error::custom(format!("seeds: found {value}, expected {expected}"))
        })?;
        Ok(Self(seeds))
    }
}

/// The seeds of `A..B`.
#[must_use]
pub fn seeds_of_range(text: &str) -> Option<Vec<u64>> {
    let (first, end) = text.split_once("..")?;
    let (first, end): (u64, u64) = (first.trim().parse().ok()?, end.trim().parse().ok()?);
    let few = end.checked_sub(first).is_some_and(|count| count <= SEEDS_MOST as u64);
    few.then(|| (first..end).collect())
}

/// A factor of the golden run's time.
struct Factor(f64);

impl<'de> Deserialize<'de> for Factor {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let value = toml::Value::deserialize(from)?;
        #[expect(clippy::cast_precision_loss, reason = "it is at most 100000")]
        let number = value.as_float().or_else(|| value.as_integer().map(|number| number as f64));
        match number {
            Some(number) if (1.0..=100_000.0).contains(&number) => Ok(Self(number)),
            _ => Err(D::Error::custom(format!("found {value}, expected a number from 1 to 100000"))),
        }
    }
}

struct PointWord(Point);

impl<'de> Deserialize<'de> for PointWord {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let word = String::deserialize(from)?;
        Point::named(&word).map(Self).ok_or_else(|| {
            let points = Point::ALL.map(Point::name).join(", ");
            D::Error::custom(format!("'{word}' is no point, expected one of {points}"))
        })
    }
}

struct ActionWord(String);

impl<'de> Deserialize<'de> for ActionWord {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let word = String::deserialize(from)?;
        if CATALOG.iter().any(|entry| entry.action == word) {
            return Ok(Self(word));
        }
        let mut words: Vec<_> = CATALOG.iter().map(|entry| entry.action).collect();
        words.sort_unstable();
        words.dedup();
        Err(D::Error::custom(format!("'{word}' is no action's word, expected one of {}", words.join(", "))))
    }
}

fn filter(points: Option<Vec<PointWord>>, actions: Option<Vec<ActionWord>>) -> Filter {
    Filter {
        points: points.map(|points| points.into_iter().map(|word| word.0).collect()),
        actions: actions.map(|actions| actions.into_iter().map(|word| word.0).collect()),
    }
}

/// Where in the file something is wrong.
struct At<'a> {
    text: &'a str,
    place: &'a str,
}

impl At<'_> {
    fn error(&self, start: usize, what: &str) -> CampaignError {
        let before = self.text.get(..start).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let written = self.text.lines().nth(line - 1).unwrap_or("").trim();
        let said = what.split_whitespace().collect::<Vec<_>>().join(" ");
        CampaignError::Parse { place: self.place.to_owned(), line, what: format!("{said} (in `{written}`)") }
    }
}

impl Campaign {
    /// Reads a campaign's file.
    ///
    /// # Errors
    /// [`CampaignError`].
    pub fn load(path: &Path) -> Result<Self, CampaignError> {
        let place = path.display().to_string();
        let text = std::fs::read_to_string(path);
        let text = text.map_err(|source| CampaignError::Read { place: place.clone(), source })?;
        Self::parse(&text, &place)
    }

    /// Reads a campaign's text; `place` is its path.
    ///
    /// # Errors
    /// [`CampaignError::Parse`], [`CampaignError::Contradiction`].
    pub fn parse(text: &str, place: &str) -> Result<Self, CampaignError> {
        let at = At { text, place };
        let file = toml::from_str::<File>(text)
            .map_err(|error| at.error(error.span().map_or(0, |span| span.start), error.message()))?;
        let contradiction = |(key, what): (String, String)| CampaignError::Contradiction {
            place: place.to_owned(),
            key,
            what,
        };
        if let Some(fault) = &file.fault {
            return Err(
                at.error(fault.span().start, "fault: expected none: an experiment's rules go into a [[set]]")
            );
        }
        if let Some(expect) = &file.expect {
            let what = "expect: expected none: what comes of an experiment is classified; [[set]] and [[known]] say what is no news";
            return Err(at.error(expect.span().start, what));
        }
        let LimitsOfFile { events, switches, virtual_ms, hang_factor, degraded_factor } = file.limits;
        let stem = || Path::new(place).file_stem().and_then(|stem| stem.to_str()).unwrap_or(place).to_owned();
        let name = if file.name.is_empty() { stem() } else { file.name };
        let scenario = Scenario {
            name: name.clone(),
            device: file.device,
            driver: file.driver,
            client: file.client,
            storm: file.storm,
            limits: LimitsTable { events, switches, virtual_ms },
            ..Scenario::default()
        };
        let head = file.campaign;
        if head.place == PlaceName::Sim || !scenario.client.is_empty() || !scenario.storm.is_empty() {
            scenario.check().map_err(contradiction)?;
        }
        let sets = file.set.into_iter().map(|set| checked(set, &head.place, &scenario, &at));
        let sets = sets.collect::<Result<Vec<_>, _>>()?;
        if sets.is_empty() && file.sweep.is_none() && file.random.is_none() {
            let what = "found no experiments, expected [sweep], [random] or a [[set]]";
            return Err(contradiction(("sweep".into(), what.into())));
        }
        let sweep = file
            .sweep
            .map(|it| Sweep { filter: filter(it.points, it.actions), occurrences: it.occurrences.get() });
        let random = file.random.map(|it| RandomRules {
            filter: filter(it.points, it.actions),
            rules: it.rules.0,
            active: it.active.get(),
        });
        let filters = [
            ("sweep", sweep.as_ref().map(|it| &it.filter)),
            ("random", random.as_ref().map(|it| &it.filter)),
        ];
        for (key, filter) in filters {
            if filter.is_some_and(|filter| rows(&head.place, filter).next().is_none()) {
                let what = format!(
                    "found no row of the catalog with these points and actions that reaches {}, expected one at least",
                    head.place
                );
                return Err(contradiction((key.into(), what)));
            }
        }
        let hang = if head.place == PlaceName::Sim { 100.0 } else { 10.0 };
        let factors = Factors {
            hang: hang_factor.map_or(hang, |factor| factor.0),
            degraded: degraded_factor.map_or(3.0, |factor| factor.0),
        };
        let hashes = identity::of_file(text, &head.place.to_string()).map_err(|error| at.error(0, &error))?;
        Ok(Self {
            name: head.name.unwrap_or(name),
            file: place.to_owned(),
            place: head.place,
            scenario: Arc::new(scenario),
            kernel: head.kernel,
            workload: head.workload,
            command: head.command,
            seeds: head.seeds.0,
            sets,
            sweep,
            random,
            known: file.known,
            factors,
            workload_hash: hashes.workload,
            spec: hashes.spec,
            text: text.to_owned(),
        })
    }
}

/// The catalog's rows that a place's driver meets, in the catalog's order.
pub fn rows<'a>(
    place: &'a PlaceName,
    filter: &'a Filter,
) -> impl Iterator<Item = &'static catalog::Entry> + use<'a> {
    CATALOG.iter().filter(|row| {
        let asked = !row.point.is_drivers() || place.has_our_driver();
        asked && place.reached_by(row.reach) && filter.lets(row.point, row.action)
    })
}

/// The set, if each of its rules can fire.
fn checked(set: SetTable, place: &PlaceName, scenario: &Scenario, at: &At<'_>) -> Result<Set, CampaignError> {
    let SetTable { name, rules, expect } = set;
    if rules.get_ref().is_empty() {
        return Err(at.error(rules.span().start, "set.rules: found no rule, expected one at least"));
    }
    // An erratum stands for several rules, all of them in its line.
    let starts = rules.get_ref().iter().flat_map(|it| it.get_ref().0.iter().map(|_| it.span().start));
    let starts: Vec<_> = starts.collect();
    let rules: Vec<Rule> = rules.into_inner().into_iter().flat_map(|it| it.into_inner().0).collect();
    check_all(&rules, &context(place, scenario))
        .map_err(|error| at.error(starts.get(error.index).copied().unwrap_or(0), &error.to_string()))?;
    let words = || rules.iter().map(Rule::to_string).collect::<Vec<_>>().join("; ");
    Ok(Set { name: name.unwrap_or_else(words), rules, expect })
}

/// Against what a place's rules are held.
#[must_use]
pub fn context(place: &PlaceName, scenario: &Scenario) -> RuleContext {
    let channels = scenario.device.channels.get();
    let vectors = scenario.device.vectors.map_or(channels, Within::get);
    let place = match place {
        PlaceName::Sim => RulePlace::Sim,
        PlaceName::Socket => RulePlace::Socket,
        PlaceName::Vm => RulePlace::Vm,
        PlaceName::VmIoatdma | PlaceName::VmCommand(_) | PlaceName::Attach(_) => RulePlace::Foreign,
    };
    RuleContext::new(u8::try_from(channels).unwrap_or(8), u16::try_from(vectors).unwrap_or(8), place)
}
