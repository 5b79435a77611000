//! A part of a campaign: `I/N`, 1-based. Which experiments belong to it depends on their ids alone.

use std::fmt;
use std::str::FromStr;

use super::experiment::Id;

/// Shard `index` of `count`; the first is 1.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shard {
    index: u64,
    count: u64,
}

/// Why a shard is none.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{from} '{text}': expected {expected}")]
pub struct ShardError {
    /// The option, or the environment variables.
    from: String,
    /// What was given.
    text: String,
    /// What was expected.
    expected: String,
}

impl Shard {
    /// Everything.
    pub const WHOLE: Self = Self { index: 1, count: 1 };

    /// Whether an experiment belongs to it: by the number that its id is, so that experiments which are added or left
    /// out move no other one.
    #[must_use]
    pub fn has(&self, id: &Id) -> bool {
        let number = u64::from_str_radix(&id.0, 16).unwrap_or(0);
        number % self.count == self.index - 1
    }

    /// How many shards there are.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// Which one it is, from 1.
    #[must_use]
    pub const fn index(&self) -> u64 {
        self.index
    }

    /// The shard of a scheduler's environment, if one of these is there, in this order:
    ///
    /// - `NETDMA_LAB_PARTITION`: as nextest's `--partition`, `hash:I/N` (or `count:`, `slice:`, or none of them), 1-based;
    /// - Slurm arrays: `SLURM_ARRAY_TASK_ID`, less `SLURM_ARRAY_TASK_MIN` (0 if it is not there), is a 0-based index
    ///   among `SLURM_ARRAY_TASK_COUNT`;
    /// - Kubernetes Indexed Jobs: `JOB_COMPLETION_INDEX`, 0-based, among `JOB_COMPLETIONS` (Kubernetes does not set the
    ///   count: the template has to).
    ///
    /// So task 0 of an array that starts at 0, and task 1 of one that starts at 1, are both shard 1/N.
    ///
    /// # Errors
    /// [`ShardError`]: an index without its count, or not below it.
    pub fn from_environment(get: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, ShardError> {
        if let Some(text) = get("NETDMA_LAB_PARTITION") {
            return parse("NETDMA_LAB_PARTITION", &text).map(Some);
        }
        if let Some(id) = get("SLURM_ARRAY_TASK_ID") {
            let first = get("SLURM_ARRAY_TASK_MIN").unwrap_or_else(|| "0".to_owned());
            let first = number("SLURM_ARRAY_TASK_MIN", &first)?;
            let id_number = number("SLURM_ARRAY_TASK_ID", &id)?;
            let index = id_number.checked_sub(first).ok_or_else(|| {
                let expected = format!("a number from SLURM_ARRAY_TASK_MIN = {first}");
                ShardError { from: "SLURM_ARRAY_TASK_ID".into(), text: id.clone(), expected }
            })?;
            return zero_based("SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_COUNT", index, &get).map(Some);
        }
        if let Some(index) = get("JOB_COMPLETION_INDEX") {
            let index = number("JOB_COMPLETION_INDEX", &index)?;
            return zero_based("JOB_COMPLETION_INDEX", "JOB_COMPLETIONS", index, &get).map(Some);
        }
        Ok(None)
    }
}

/// A 0-based index among what another variable counts.
fn zero_based(
    name: &str,
    count_name: &str,
    index: u64,
    get: &impl Fn(&str) -> Option<String>,
) -> Result<Shard, ShardError> {
    let wrong = |text: String, expected: String| ShardError { from: name.to_owned(), text, expected };
    let Some(count) = get(count_name) else {
        return Err(wrong(index.to_string(), format!("{count_name} beside it, the number of tasks")));
    };
    let count = number(count_name, &count)?;
    if index >= count {
        return Err(wrong(index.to_string(), format!("an index below {count_name} = {count}")));
    }
    Ok(Shard { index: index + 1, count })
}

fn number(from: &str, text: &str) -> Result<u64, ShardError> {
    text.trim().parse().map_err(|_| ShardError {
        from: from.to_owned(),
        text: text.to_owned(),
        expected: "a number".into(),
    })
}

fn parse(from: &str, text: &str) -> Result<Shard, ShardError> {
    let parts = text.trim();
    let parts =
        ["hash:", "count:", "slice:"].iter().find_map(|kind| parts.strip_prefix(kind)).unwrap_or(parts);
    let shard = parts.split_once('/').and_then(|(index, count)| {
        let (index, count) = (index.trim().parse().ok()?, count.trim().parse().ok()?);
        (1..=count).contains(&index).then_some(Shard { index, count })
    });
    shard.ok_or_else(|| ShardError {
        from: from.to_owned(),
        text: text.to_owned(),
        expected: "I/N with I from 1 to N: the first of four is 1/4".into(),
    })
}

impl FromStr for Shard {
    type Err = ShardError;

    fn from_str(text: &str) -> Result<Self, ShardError> {
        parse("shard", text)
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> Result<Option<String>, String> {
        let map: BTreeMap<_, _> = pairs.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        let found = Shard::from_environment(|name| map.get(name).cloned());
        found.map(|shard| shard.map(|shard| shard.to_string())).map_err(|error| error.to_string())
    }

    #[test]
    fn every_id_is_in_exactly_one_shard() {
        for count in 1..9 {
            for number in 0..500_u64 {
                let id = Id(format!("{:012x}", number * 7919));
                let homes = (1..=count).filter(|index| Shard { index: *index, count }.has(&id)).count();
                assert_eq!(homes, 1, "{id} of {count}");
            }
        }
    }

    #[test]
    fn a_flag_counts_from_one() {
        assert_eq!("1/4".parse::<Shard>().unwrap().to_string(), "1/4");
        for wrong in ["0/4", "5/4", "4", "", "a/b", "1/0", "-1/2"] {
            let error = wrong.parse::<Shard>().unwrap_err().to_string();
            assert!(error.contains("I from 1 to N"), "{error}");
        }
    }

    #[test]
    fn schedulers_are_understood_with_their_own_first_number() {
        assert_eq!(environment(&[]), Ok(None));
        let some = |text: &str| Ok(Some(text.to_owned()));
        assert_eq!(environment(&[("NETDMA_LAB_PARTITION", "hash:2/3")]), some("2/3"));
        let slurm = |id, min| {
            environment(&[
                ("SLURM_ARRAY_TASK_ID", id),
                ("SLURM_ARRAY_TASK_MIN", min),
                ("SLURM_ARRAY_TASK_COUNT", "4"),
            ])
        };
        assert_eq!(slurm("0", "0"), some("1/4"));
        assert_eq!(slurm("1", "1"), some("1/4"));
        assert_eq!(slurm("4", "1"), some("4/4"));
        assert!(slurm("0", "1").unwrap_err().contains("from SLURM_ARRAY_TASK_MIN = 1"));
        assert!(slurm("4", "0").unwrap_err().contains("below SLURM_ARRAY_TASK_COUNT = 4"));
        assert_eq!(environment(&[("JOB_COMPLETION_INDEX", "0"), ("JOB_COMPLETIONS", "8")]), some("1/8"));
        let alone = environment(&[("JOB_COMPLETION_INDEX", "0")]);
        assert!(alone.unwrap_err().contains("JOB_COMPLETIONS beside it"));
    }
}
