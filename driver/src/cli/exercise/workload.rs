//! What is done: sizes, numbers, weights and limits, all from one seed.

use std::ops::RangeInclusive;

/// A workload. The lab's scenarios say the same of a `[[client]]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Workload {
    pub(crate) seed: u64,
    /// How many channels are taken; none for all.
    pub(crate) channels: Option<u8>,
    /// Threads, each with memory of its own; none for one per channel. Task i works on channel i modulo the channels.
    pub(crate) tasks: Option<u32>,
    /// Submissions of each task.
    pub(crate) batches: u32,
    /// Operations of a submission.
    pub(crate) batch: RangeInclusive<u64>,
    /// Bytes of an operation.
    pub(crate) bytes: RangeInclusive<u64>,
    /// Submissions that a task leaves open.
    pub(crate) in_flight: u32,
    pub(crate) weights: Weights,
    pub(crate) percents: Percents,
    /// For each wait; longer, and the driver gives the channel up.
    pub(crate) timeout_ms: u64,
    /// A workload that takes longer is slow.
    pub(crate) degraded_ms: Option<u64>,
    /// A round that takes longer hangs: the program says where, and ends.
    pub(crate) hang_ms: u64,
    /// Clean batches on every channel afterwards.
    pub(crate) clean_after: u32,
    /// Whether the function is reset before.
    pub(crate) reset: bool,
}

/// How often each operation is chosen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Weights {
    pub(crate) copy: u64,
    pub(crate) fill: u64,
    pub(crate) null: u64,
}

/// How often something else happens, of a hundred.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Percents {
    /// A fence behind an operation; a copy behind it reads what was just written.
    pub(crate) fence: u64,
    /// A wait polls.
    pub(crate) poll: u64,
    /// Before a batch the source is given back and another one taken.
    pub(crate) renew: u64,
    /// After a batch the channel is suspended and resumed.
    pub(crate) suspend: u64,
    /// After a batch the channel is aborted, with what is under way.
    pub(crate) abort: u64,
    /// After a batch the channel is reset, with what is under way.
    pub(crate) restart: u64,
}

/// One line for `--serve`. What it does not say is as on the command line.
#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Request {
    #[serde(rename = "do")]
    pub(crate) act: Act,
    pub(crate) seed: Option<u64>,
    pub(crate) channels: Option<u8>,
    pub(crate) tasks: Option<u32>,
    pub(crate) batches: Option<u32>,
    pub(crate) batch: Option<[u64; 2]>,
    pub(crate) bytes: Option<[u64; 2]>,
    pub(crate) in_flight: Option<u32>,
    pub(crate) timeout_ms: Option<u64>,
    pub(crate) degraded_ms: Option<u64>,
    pub(crate) hang_ms: Option<u64>,
    pub(crate) clean_after: Option<u32>,
    pub(crate) reset: Option<bool>,
    /// Rules of the driver's own points, and of the device in this process, for this round alone.
    pub(crate) faults: Vec<String>,
    /// Count the operations of those points.
    pub(crate) census: bool,
}

/// What a line asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Act {
    /// Reset, open, work: the driver stays open.
    Run,
    /// The clean batches, what came late, leaks, and the end of the driver. Whoever armed faults disarms them before.
    End,
    /// One after the other.
    #[default]
    Both,
}

impl Workload {
    /// With what a request says otherwise.
    pub(crate) fn with(&self, asked: &Request) -> Result<Self, String> {
        let span = |asked: Option<[u64; 2]>, usual: &RangeInclusive<u64>| {
            asked.map_or_else(|| usual.clone(), |[low, high]| low..=high)
        };
        let workload = Self {
            seed: asked.seed.unwrap_or(self.seed),
            channels: asked.channels.or(self.channels),
            tasks: asked.tasks.or(self.tasks),
            batches: asked.batches.unwrap_or(self.batches),
            batch: span(asked.batch, &self.batch),
            bytes: span(asked.bytes, &self.bytes),
            in_flight: asked.in_flight.unwrap_or(self.in_flight),
            timeout_ms: asked.timeout_ms.unwrap_or(self.timeout_ms),
            degraded_ms: asked.degraded_ms.or(self.degraded_ms),
            hang_ms: asked.hang_ms.unwrap_or(self.hang_ms),
            clean_after: asked.clean_after.unwrap_or(self.clean_after),
            reset: asked.reset.unwrap_or(self.reset),
            ..self.clone()
        };
        workload.check(|name| name.to_owned()).map(|()| workload)
    }

    /// The error names what is wrong, as `name` writes it, and what was expected.
    pub(crate) fn check(&self, name: impl Fn(&str) -> String) -> Result<(), String> {
        let within = |what: &str, found: u64, least: u64, most: u64| match (least..=most).contains(&found) {
            true => Ok(()),
            false => Err(format!("{} {found}: expected {least} to {most}", name(what))),
        };
        within("channels", self.channels.map_or(1, u64::from), 1, 8)?;
        within("tasks", self.tasks.map_or(1, u64::from), 1, 64)?;
        within("batches", self.batches.into(), 0, 1_000_000)?;
        within("in_flight", self.in_flight.into(), 1, 64)?;
        within("timeout_ms", self.timeout_ms, 1, 3_600_000)?;
        within("hang_ms", self.hang_ms, 1, 86_400_000)?;
        within("clean_after", self.clean_after.into(), 0, 1000)?;
        for (what, span, most) in [("batch", &self.batch, 512), ("bytes", &self.bytes, 1 << 20)] {
            within(what, *span.start(), 1, most)?;
            within(what, *span.end(), 1, most)?;
            if span.is_empty() {
                let (low, high) = (span.start(), span.end());
                return Err(format!("{} {low} to {high}: expected the smaller number first", name(what)));
            }
        }
        let Weights { copy, fill, null } = self.weights;
        if copy + fill + null == 0 {
            return Err(format!("{} 0: no operation has a weight: expected one above 0", name("copy")));
        }
        Ok(())
    }
}

/// `N`, `A..B` (B excluded) or `A..=B`.
pub(crate) fn span(text: &str) -> Result<RangeInclusive<u64>, String> {
    let wrong = || format!("'{text}' is no range: write 8, 1..9 or 1..=8");
    let number = |text: &str| super::super::sizes::parse(text.trim()).map_err(|_| wrong());
    match text.split_once("..") {
        None => number(text).map(|one| one..=one),
        Some((low, high)) => match high.strip_prefix('=') {
            Some(high) => Ok(number(low)?..=number(high)?),
            None => Ok(number(low)?..=number(high)?.checked_sub(1).ok_or_else(wrong)?),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_written_as_in_rust() {
        assert_eq!(span("8"), Ok(8..=8));
        assert_eq!(span("1..9"), Ok(1..=8));
        assert_eq!(span("1..=4K"), Ok(1..=4096));
        for wrong in ["", "..", "1..", "a..b", "0..0", "1-8"] {
            assert!(span(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_request_says_only_what_differs_and_nothing_unknown() {
        let asked: Request = serde_json::from_str(r#"{"do":"run","seed":7,"batch":[1,2]}"#).unwrap();
        assert_eq!((asked.act, asked.seed, asked.batch), (Act::Run, Some(7), Some([1, 2])));
        assert!(serde_json::from_str::<Request>(r#"{"sead":7}"#).is_err());
    }
}
