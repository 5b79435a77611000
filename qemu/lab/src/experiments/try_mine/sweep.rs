//! Which faults are tried: every row of the catalog that reaches a guest, at operations that the golden run had.

use ioat_stage::Point;
use ioat_stage::Rule;

use crate::experiments::campaign::{Campaign, file::rows};
use crate::experiments::experiment::Experiment;
use crate::experiments::identity;
use crate::experiments::place::Golden;

/// The `[sweep]` table of the campaign's file.
pub(super) fn table(occurrences: u64, points: &[Point], actions: &[String]) -> toml::Table {
    let mut table = toml::Table::new();
    table.insert("occurrences".into(), i64::try_from(occurrences).unwrap_or(i64::MAX).into());
    let words = |words: Vec<String>| words.into_iter().map(toml::Value::String).collect::<Vec<_>>();
    if !points.is_empty() {
        let points = points.iter().map(|point| point.name().to_owned()).collect();
        table.insert("points".into(), words(points).into());
    }
    if !actions.is_empty() {
        table.insert("actions".into(), words(actions.to_vec()).into());
    }
    table
}

/// The experiments of a campaign, in the catalog's order; `limit` takes so many, evenly from all.
pub(super) fn experiments(
    campaign: &Campaign,
    golden: &Golden,
    limit: Option<usize>,
    times: u64,
) -> Vec<Experiment> {
    let mut all: Vec<Vec<Rule>> =
        campaign.sets.iter().flat_map(|set| (0..times).map(|_| set.rules.clone())).collect();
    all.extend(single(campaign, golden).into_iter().map(|rule| vec![rule]));
    let step = |number: usize, limit: usize| number * all.len() / limit;
    let chosen: Vec<Vec<Rule>> = match limit {
        Some(limit) if limit < all.len() => {
            (0..limit).map(|number| all[step(number, limit)].clone()).collect()
        }
        _ => all.clone(),
    };
    let experiment = |rules: Vec<Rule>| Experiment {
        id: identity::id(&campaign.place.to_string(), &campaign.workload_hash, &rules, 0),
        rules,
        seed: 0,
    };
    chosen.into_iter().map(experiment).collect()
}

fn single(campaign: &Campaign, golden: &Golden) -> Vec<Rule> {
    let Some(sweep) = &campaign.sweep else { return Vec::new() };
    let mut rules = Vec::new();
    for row in rows(&campaign.place, &sweep.filter) {
        for ((point, channel), count) in &golden.operations {
            // What has a channel is counted by channel, or each operation would be there twice.
            if *point != row.point || *count == 0 || (channel.is_none() && has_channels(golden, *point)) {
                continue;
            }
            let place = channel.map(|channel| format!("[ch={channel}]")).unwrap_or_default();
            for nth in spread(*count, sweep.occurrences) {
                let texts = row.samples.iter().map(|sample| format!("{point}{place}: nth({nth}) {sample}"));
                rules.extend(texts.filter_map(|text| text.parse::<Rule>().ok()));
            }
        }
    }
    rules
}

fn has_channels(golden: &Golden, point: Point) -> bool {
    golden
        .operations
        .iter()
        .any(|((other, channel), count)| *other == point && channel.is_some() && *count > 0)
}

/// At most `most` numbers from 1 to `count`: the first, the last, and evenly between them.
fn spread(count: u64, most: u64) -> Vec<u64> {
    if count <= most {
        return (1..=count).collect();
    }
    let last = most.saturating_sub(1).max(1);
    let mut numbers: Vec<u64> = (0..most).map(|number| 1 + number * (count - 1) / last).collect();
    numbers.dedup();
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn occurrences_are_the_first_the_last_and_some_between() {
        assert_eq!(spread(3, 4), [1, 2, 3]);
        assert_eq!(spread(100, 1), [1]);
        assert_eq!(spread(100, 2), [1, 100]);
        assert_eq!(spread(101, 3), [1, 51, 101]);
    }
}
