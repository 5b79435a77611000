//! Our driver under experiment, wherever it runs: `netdma exercise --serve`, asked line by line, and its device beside it.
//!
//! One experiment is: the function is reset and the rules armed; the workload; the rules out; the clean batches and whatever
//! else must hold afterwards. So whether the driver works on is judged without the fault.

use std::time::Duration;

use ioat_stage::{Action, Point, Rule};
use serde_json::{Value, json};

use super::device_view::{Accesses, DeviceView, without_directions};
use super::{Golden, Infra, Limits};
use crate::experiments::experiment::Experiment;
use crate::experiments::observation::Observation;

/// The program looks after its own rounds; one that does not even say that it hangs gets so much longer.
const GRACE: Duration = Duration::from_secs(3);

/// A run without a fault has this long.
const GOLDEN: Limits = Limits { hang: Duration::from_secs(60), degraded: Duration::from_secs(60) };

/// A process of `netdma exercise --serve`.
pub(super) trait Exerciser {
    /// Writes a line, and waits for the answer at most this long.
    fn ask(&mut self, line: &str, limit: Duration) -> anyhow::Result<Reply>;
}

/// What came of a line.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Reply {
    Facts(Box<Observation>),
    /// The request made no sense to it, or the line is no answer.
    Odd(String),
    Silence,
    /// It ended. A status of 128 + n is signal n.
    Ended {
        status: i32,
        stderr: String,
    },
}

impl Reply {
    pub(super) fn of_line(line: &str) -> Self {
        serde_json::from_str(line).map_or_else(|_| Self::Odd(line.to_owned()), Self::Facts)
    }
}

/// An experiment that was carried out.
#[derive(Debug, Default)]
pub(super) struct Passed {
    pub(super) facts: Observation,
    /// The driver's process is of no use any more.
    pub(super) spent: bool,
    /// The device does not answer any more.
    pub(super) lost: Option<Infra>,
}

/// Carries an experiment out.
///
/// # Errors
/// When it did not begin, or the driver's place is lost.
pub(super) fn experiment(
    driver: &mut impl Exerciser,
    device: &mut DeviceView,
    experiment: &Experiment,
    limits: &Limits,
) -> anyhow::Result<Passed> {
    device.reset()?;
    let (own, of_device): (Vec<Rule>, Vec<Rule>) =
        experiment.rules.iter().cloned().partition(|rule| rule.point.is_drivers());
    device.begin(&of_device)?;
    let mut passed = Passed::default();
    let own: Vec<_> = own.iter().map(Rule::to_string).collect();
    passed.work(driver, experiment.seed, limits, &json!(own), false)?;
    if let Err(lost) = after(device, &of_device, &mut passed.facts) {
        passed.lost = Some(lost);
        return Ok(passed);
    }
    passed.end(driver, limits)?;
    Ok(passed)
}

/// The runs without a fault: one for its time, and one that counts.
pub(super) fn golden(
    driver: &mut impl Exerciser,
    device: &mut DeviceView,
    seed: u64,
) -> anyhow::Result<Golden> {
    device.reset()?;
    let mut timed = Passed::default();
    timed.work(driver, seed, &GOLDEN, &json!([]), false)?;
    timed.end(driver, &GOLDEN)?;
    device.reset()?;
    device.begin_census()?;
    let mut counted = Passed::default();
    counted.work(driver, seed, &GOLDEN, &json!([]), true)?;
    let mut accesses = device.end_accesses()?;
    accesses.extend(census(counted.facts.device.remove("census")));
    let operations = without_directions(&accesses);
    counted.end(driver, &GOLDEN)?;
    let mut observation = counted.facts;
    device.end(&mut observation)?;
    let took_ns = timed.facts.took_ns.max(observation.took_ns);
    for (into, from) in [
        (&mut observation.crashes, timed.facts.crashes),
        (&mut observation.hangs, timed.facts.hangs),
        (&mut observation.corruptions, timed.facts.corruptions),
        (&mut observation.failures, timed.facts.failures),
        (&mut observation.infra, timed.facts.infra),
    ] {
        into.extend(from);
    }
    observation.took_ns = took_ns;
    Ok(Golden { took_ns, operations, accesses, observation })
}

/// The driver's own census: `[{point, channel, count}]`. Its points have no direction.
fn census(rows: Option<Value>) -> Accesses {
    let row = |row: &Value| {
        let point = Point::named(row["point"].as_str()?)?;
        let channel = row["channel"].as_u64().and_then(|channel| u8::try_from(channel).ok());
        point.is_drivers().then_some(((point, channel, None), row["count"].as_u64()?))
    };
    rows.iter().filter_map(Value::as_array).flatten().filter_map(row).collect()
}

/// What the device saw, beside what the driver's own rules did; then it is whole again.
fn after(device: &mut DeviceView, rules: &[Rule], facts: &mut Observation) -> Result<(), Infra> {
    let own = std::mem::take(&mut facts.fired);
    let seen = device.end(facts);
    facts.fired.extend(own);
    seen?;
    device.disarm()?;
    // Nobody can drive a device that left for good; who plugs it in again gives it its power-on state.
    let left = |rule: &Rule| {
        let stuck = rule.point == Point::Reset && rule.action == Action::Stick;
        stuck || matches!(rule.action, Action::Remove(_) | Action::Kill)
    };
    if rules.iter().any(left) && !facts.fired.is_empty() {
        device.reset()?;
    }
    Ok(())
}

impl Passed {
    /// The workload, with these rules of the driver's own points.
    fn work(
        &mut self,
        driver: &mut impl Exerciser,
        seed: u64,
        limits: &Limits,
        faults: &Value,
        census: bool,
    ) -> anyhow::Result<()> {
        let request = json!({
            "do": "run",
            "seed": seed,
            "faults": faults,
            "census": census,
            "reset": false,
            "hang_ms": ms(limits.hang),
            "degraded_ms": ms(limits.degraded),
        });
        self.ask(driver, "the workload", &request, limits)
    }

    fn end(&mut self, driver: &mut impl Exerciser, limits: &Limits) -> anyhow::Result<()> {
        if self.spent {
            return Ok(());
        }
        self.ask(driver, "what follows the workload", &json!({ "do": "end" }), limits)
    }

    fn ask(
        &mut self,
        driver: &mut impl Exerciser,
        what: &str,
        request: &Value,
        limits: &Limits,
    ) -> anyhow::Result<()> {
        let facts = &mut self.facts;
        match driver.ask(&request.to_string(), limits.hang + GRACE)? {
            Reply::Facts(said) => {
                // A program that says that it hangs ends.
                self.spent |= !said.hangs.is_empty();
                add(facts, *said);
                return Ok(());
            }
            Reply::Odd(line) => facts.infra.push(format!("netdma exercise answered '{line}'")),
            Reply::Silence => {
                facts.hangs.push(format!("no answer to {what} within {} ms", ms(limits.hang + GRACE)));
            }
            Reply::Ended { status, stderr } => facts.crashes.push(death(status, &stderr)),
        }
        self.spent = true;
        Ok(())
    }
}

/// A driver's process never ends by itself while it is asked: it crashed, or (with a status of its own) said why not.
fn death(status: i32, stderr: &str) -> String {
    let panic = stderr.lines().position(|line| line.contains("panicked at"));
    let said = |from: usize| stderr.lines().skip(from).take(2).map(str::trim).collect::<Vec<_>>().join(" ");
    match panic {
        Some(line) => said(line),
        None if status > 128 => format!("netdma died of signal {}", status - 128),
        None => format!("netdma ended with {status}: {}", stderr.lines().last().unwrap_or("without a word")),
    }
}

fn add(facts: &mut Observation, said: Observation) {
    facts.hangs.extend(said.hangs);
    facts.corruptions.extend(said.corruptions);
    facts.failures.extend(said.failures);
    facts.recoveries.extend(said.recoveries);
    facts.slow |= said.slow;
    facts.fired.extend(said.fired);
    facts.device.extend(said.device);
    facts.took_ns = facts.took_ns.max(said.took_ns);
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_facts_and_anything_else_is_odd() {
        let reply = Reply::of_line(r#"{"failures":["channel 0: no"],"took_ns":5}"#);
        assert!(matches!(reply, Reply::Facts(facts) if facts.failures.len() == 1 && facts.took_ns == 5));
        assert!(matches!(Reply::of_line(r#"{"error":"no request"}"#), Reply::Odd(_)));
    }

    #[test]
    fn a_panic_is_told_with_its_words_and_a_signal_with_its_number() {
        let panic = "thread 'x' panicked at driver/src/lib.rs:1:2:\nno such thing\nnote: more\n";
        assert_eq!(death(134, panic), "thread 'x' panicked at driver/src/lib.rs:1:2: no such thing");
        assert_eq!(death(139, ""), "netdma died of signal 11");
    }
}
