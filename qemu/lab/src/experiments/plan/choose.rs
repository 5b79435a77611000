//! Which rules: the catalog's rows at occurrences of a golden run, and what of them a command line asks for.

use std::collections::BTreeMap;
use std::str::FromStr;

use ioat_stage::fault::RuleContext;
use ioat_stage::fault::catalog::{self, Entry};
use ioat_stage::{Action, Point, Rule};

use super::Planned;
use crate::experiments::campaign::file::{context, rows};
use crate::experiments::campaign::{Campaign, Filter};
use crate::experiments::place::Golden;
use crate::sim::random::Random;

/// The stream of a seed's numbers that chooses rules: schedule and clients draw from others.
const STREAM: u64 = 2 << 32;

/// What a sweep leaves out.
#[derive(Debug, Default)]
pub(super) struct LeftOut {
    /// By point and channel: occurrences of the golden runs, and those that are swept.
    bounded: BTreeMap<(Point, Option<u8>), (u64, u64)>,
    /// Rows that the workload never comes to, in any golden run.
    never: BTreeMap<(Point, &'static str), bool>,
    /// Samples that can never fire there.
    cannot: BTreeMap<String, String>,
}

impl LeftOut {
    /// One line each.
    pub(super) fn lines(&self, campaign: &Campaign) -> Vec<String> {
        let Some(sweep) = &campaign.sweep else { return Vec::new() };
        let mut lines = Vec::new();
        for ((point, channel), (count, taken)) in
            self.bounded.iter().filter(|(_, (count, taken))| taken < count)
        {
            let place =
                channel.map_or_else(|| format!("{point}"), |channel| format!("{point}[ch={channel}]"));
            lines.push(format!(
                "{place}: {taken} of {count} occurrences (occurrences = {}): the first, the last, and evenly between them",
                sweep.occurrences
            ));
        }
        let never: Vec<_> = self.never.iter().filter(|(_, reached)| !**reached).collect();
        for ((point, action), _) in never {
            lines.push(format!("{point} {action}: the workload never comes there"));
        }
        lines.extend(self.cannot.iter().map(|(sample, why)| format!("{sample}: {why}")));
        lines
    }
}

/// The rules of a sweep over one golden run, one set each.
pub(super) fn sweep(campaign: &Campaign, golden: &Golden, left_out: &mut LeftOut) -> Vec<Vec<Rule>> {
    let Some(sweep) = &campaign.sweep else { return Vec::new() };
    let context = context(&campaign.place, &campaign.scenario);
    let mut sets = Vec::new();
    for row in rows(&campaign.place, &sweep.filter) {
        let counted = counted(golden, row);
        *left_out.never.entry((row.point, row.action)).or_default() |= !counted.is_empty();
        for (channel, count) in counted {
            let places = spread(count, sweep.occurrences);
            let bounded = left_out.bounded.entry((row.point, channel)).or_default();
            *bounded = (bounded.0.max(count), bounded.1.max(places.len() as u64));
            for sample in row.samples {
                for &nth in &places {
                    match rule(row.point, channel, nth, sample, &context) {
                        Ok(rule) => sets.push(vec![rule]),
                        Err(why) => {
                            left_out.cannot.insert(format!("{} {sample}", row.point), why);
                        }
                    }
                }
            }
        }
    }
    sets
}

/// Rules that a seed chooses, in two phases: which rows are active for it, then which of their occurrences.
pub(super) fn random(campaign: &Campaign, golden: &Golden, seed: u64) -> Option<Vec<Rule>> {
    let random = campaign.random.as_ref()?;
    let context = context(&campaign.place, &campaign.scenario);
    let mut draw = Random::new(seed, STREAM);
    let reached = |filter| {
        let rows = rows(&campaign.place, filter).map(|row| (row, counted(golden, row)));
        rows.filter(|(_, counted)| !counted.is_empty()).collect::<Vec<_>>()
    };
    let all = reached(&random.filter);
    let mut active: Vec<_> = all.iter().filter(|_| draw.percent(random.active)).collect();
    if active.is_empty() {
        active.extend(all.get(draw.index(all.len())));
    }
    let mut rules = Vec::new();
    // A row that was drawn may not fit this device; then another one is drawn.
    let mut tries = 64;
    let wanted = draw.within(&random.rules);
    while (rules.len() as u64) < wanted && tries > 0 && !active.is_empty() {
        tries -= 1;
        let (row, counted) = active[draw.index(active.len())];
        let sample = row.samples[draw.index(row.samples.len())];
        let (channel, count) = counted[draw.index(counted.len())];
        if let Ok(rule) = rule(row.point, channel, 1 + draw.below(count), sample, &context) {
            if !rules.contains(&rule) {
                rules.push(rule);
            }
        }
    }
    (!rules.is_empty()).then_some(rules)
}

fn rule(
    point: Point,
    channel: Option<u8>,
    nth: u64,
    sample: &str,
    context: &RuleContext,
) -> Result<Rule, String> {
    let action = Action::parse(sample).ok_or_else(|| format!("'{sample}' is no action"))?;
    let rule = Rule::nth(point, channel, nth, action);
    rule.check(context).map_err(|error| error.to_string())?;
    Ok(rule)
}

/// The operations that a row's rule counts, by channel; none: those of no channel, which `ch=none` asks for.
fn counted(golden: &Golden, row: &Entry) -> Vec<(Option<u8>, u64)> {
    let mut counts = BTreeMap::<Option<u8>, u64>::new();
    if golden.accesses.is_empty() {
        let own = golden.operations.iter().filter(|((point, _), _)| *point == row.point);
        own.for_each(|((_, channel), count)| *counts.entry(*channel).or_default() += count);
    } else {
        let own = golden.accesses.iter().filter(|((point, _, access), _)| {
            *point == row.point && (row.only.is_none() || row.only == *access)
        });
        own.for_each(|((_, channel, _), count)| *counts.entry(*channel).or_default() += count);
    }
    counts.into_iter().filter(|(_, count)| *count > 0).collect()
}

/// All of `count`, if there are at most `most`, else the first, the last, and evenly between them.
pub(super) fn spread(count: u64, most: u64) -> Vec<u64> {
    if count <= most {
        return (1..=count).collect();
    }
    if most == 1 {
        return vec![1];
    }
    (0..most).map(|step| 1 + step * (count - 1) / (most - 1)).collect()
}

/// What of a plan a command line asks for.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Selection {
    /// `CLASS/POINT/ACTION`: of one of its rules.
    pub only: Option<Only>,
    /// A part of its id, its origin or one of its rules.
    pub filter: Option<String>,
}

impl Selection {
    /// Whether it asks for this one.
    #[must_use]
    pub fn has(&self, planned: &Planned) -> bool {
        let rules = &planned.experiment.rules;
        let only = self.only.as_ref().is_none_or(|only| rules.iter().any(|rule| only.has(rule)));
        only && self.filter.as_deref().is_none_or(|part| {
            planned.experiment.id.0.contains(part)
                || planned.origin.contains(part)
                || rules.iter().any(|rule| rule.to_string().contains(part))
        })
    }
}

/// `CLASS/POINT/ACTION`; `*`, and what is left out at the end, is any.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Only {
    class: Option<String>,
    filter: Filter,
}

impl Only {
    fn has(&self, rule: &Rule) -> bool {
        let row = catalog::entry(rule.point, rule.action.word());
        let class = self.class.as_ref().is_none_or(|class| row.is_some_and(|row| row.class.name() == class));
        class && self.filter.lets(rule.point, rule.action.word())
    }
}

impl FromStr for Only {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut words = text.split('/').map(|word| (word != "*" && !word.is_empty()).then_some(word));
        let (class, point, action) = (words.next().flatten(), words.next().flatten(), words.next().flatten());
        let known = |what: &str, word: &str, mut words: Vec<&str>| {
            words.sort_unstable();
            words.dedup();
            if words.contains(&word) {
                return Ok(());
            }
            Err(format!(
                "'{word}' is no {what}, expected CLASS/POINT/ACTION, each one word or *; it is one of {}",
                words.join(", ")
            ))
        };
        let table = catalog::CATALOG;
        if words.next().is_some() {
            return Err(format!("'{text}' has more than three words, expected CLASS/POINT/ACTION"));
        }
        if let Some(word) = class {
            known("class of faults", word, table.iter().map(|row| row.class.name()).collect())?;
        }
        if let Some(word) = point {
            known("point", word, Point::ALL.map(Point::name).to_vec())?;
        }
        if let Some(word) = action {
            known("action's word", word, table.iter().map(|row| row.action).collect())?;
        }
        Ok(Self {
            class: class.map(str::to_owned),
            filter: Filter {
                points: point.and_then(Point::named).map(|point| vec![point]),
                actions: action.map(|word| vec![word.to_owned()]),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn occurrences_are_all_or_the_first_the_last_and_evenly_between() {
        assert_eq!(spread(0, 4), Vec::<u64>::new());
        assert_eq!(spread(3, 4), [1, 2, 3]);
        assert_eq!(spread(4, 4), [1, 2, 3, 4]);
        assert_eq!(spread(100, 4), [1, 34, 67, 100]);
        assert_eq!(spread(100, 1), [1]);
        assert_eq!(spread(5, 2), [1, 5]);
    }

    #[test]
    fn operations_of_no_channel_are_counted_without_those_of_the_channels() {
        let row = catalog::entry(Point::Register, "drop").unwrap();
        let write = Some(ioat_stage::Access::Write);
        let accesses = [(None, write, 3), (Some(0), write, 5), (Some(1), write, 7), (Some(1), None, 2)];
        let accesses =
            accesses.into_iter().map(|(channel, access, count)| ((Point::Register, channel, access), count));
        let golden = Golden { accesses: accesses.collect(), ..Golden::default() };
        assert_eq!(counted(&golden, row), [(None, 3), (Some(0), 5), (Some(1), 7)]);
        // A place that cannot tell directions.
        let operations =
            [((Point::Register, None), 4), ((Point::Register, Some(0)), 6)].into_iter().collect();
        let golden = Golden { operations, ..Golden::default() };
        assert_eq!(counted(&golden, row), [(None, 4), (Some(0), 6)]);
    }

    #[test]
    fn only_names_a_class_a_point_and_an_action() {
        let rule: Rule = "msix[ch=0]: nth(3) drop".parse().unwrap();
        for text in ["interrupts/msix/drop", "interrupts", "*/msix", "*/*/drop", "interrupts//drop"] {
            assert!(text.parse::<Only>().unwrap().has(&rule), "{text}");
        }
        for text in ["data", "*/copy", "*/*/delay"] {
            assert!(!text.parse::<Only>().unwrap().has(&rule), "{text}");
        }
        for (text, part) in [
            ("irq", "'irq' is no class of faults"),
            ("*/irq", "'irq' is no point"),
            ("*/*/explode", "'explode' is no action's word"),
            ("a/b/c/d", "more than three words"),
        ] {
            assert!(text.parse::<Only>().unwrap_err().contains(part), "{text}");
        }
    }
}
