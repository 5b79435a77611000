//! `netdma selftest`: every operation, every size, every channel and processor, verified byte by byte.

mod oracle;

mod rig;

mod cases;

use std::io::{self, Write};

use anyhow::{Context, bail};
use netdma::client::{Driver, Options};

use self::rig::{Ran, Rig};
use super::config::Selftest;
use super::data::Data;
use super::exit::Gone;
use super::on::{self, Opened};
use super::report::{FaultFired, Processor, Report, Step, Vector, kind, placement, routing};

/// Runs it.
pub(crate) fn run(config: &Selftest) -> anyhow::Result<()> {
    let opened = on::open(&config.on, config.drive.trace.as_ref())?;
    let options = Options {
        processors: config.drive.processors,
        trace: opened.trace.clone(),
        timeout: config.drive.timeout,
        faults: Some(opened.faults.clone()),
        ..Options::default()
    };
    let on = config.on.written();
    let driver = Driver::open(opened.device.clone(), options);
    let driver = driver.with_context(|| format!("--on {on}: opening the engine"))?;
    let mut progress = Progress { json: config.json };
    progress.say(&format!(
        "selftest on {}: {} channels, {} processors, seed {}\n",
        driver.name(),
        driver.identity().channels,
        config.drive.processors,
        config.seed
    ))?;
    let mut rig = Rig::new(driver.clone(), Data::new(config.seed), config)?;
    let mut steps = Vec::new();
    for case in cases::ALL.iter().chain([&cases::CLEAN]) {
        progress.say(&format!("{:<24}", case.name))?;
        let ran = rig.run(case);
        progress.say(&format!("{:>10.1} ms  {}\n", ran.step.ms, ran.step.result()))?;
        let gone = ran.gone;
        steps.push(ran);
        if gone {
            break;
        }
    }
    let gone = steps.last().is_some_and(|ran| ran.gone);
    let report = report(config, &driver, &opened, judge(steps, config.expect_fault));
    drop((rig, driver));
    opened.finish_trace();
    print(&report, config.json)?;
    verdict(&report, gone)
}

/// With `--expect-fault` a step that ended in an error did what it should, and it is the clean batch and the
/// noticing that are judged.
fn judge(mut ran: Vec<Ran>, expect_fault: bool) -> Vec<Step> {
    if !expect_fault {
        return ran.into_iter().map(|ran| ran.step).collect();
    }
    let noticed = ran.iter().filter(|ran| ran.noticed).count();
    let clean = ran.pop().map(|ran| ran.step);
    let mut steps: Vec<Step> = ran
        .into_iter()
        .map(|ran| match ran.noticed {
            true => Step { passed: true, ..ran.step },
            false => ran.step,
        })
        .collect();
    let detail = match noticed {
        0 => "no fault was detected and none recovered from: did the rule fire?".into(),
        1 => "in 1 step".into(),
        _ => format!("in {noticed} steps"),
    };
    let empty = Step {
        name: "a fault was noticed",
        passed: noticed > 0,
        skipped: false,
        channels: 0,
        bytes: 0,
        descriptors: 0,
        interrupts: 0,
        recovered: 0,
        ms: 0.0,
        detail,
    };
    steps.push(empty);
    steps.extend(clean);
    steps
}

fn report(config: &Selftest, driver: &Driver, opened: &Opened, steps: Vec<Step>) -> Report {
    let counts = driver.processors().into_iter().zip(driver.placements()).enumerate();
    let processors = counts.map(|(number, (counts, place))| Processor {
        number,
        placement: placement(place),
        dpcs: counts.dpcs_run,
        queued: counts.queued,
        refused: counts.refused,
    });
    let faults_fired = opened.fired().into_iter().map(|fired| FaultFired {
        rule: fired.rule.to_string(),
        channel: fired.op.channel,
        nth: fired.nth,
        channel_nth: fired.channel_nth,
    });
    Report {
        device: driver.name().into(),
        on: config.on.written(),
        seed: config.seed,
        processors: processors.collect(),
        interrupt_kind: kind(driver.interrupt_type()),
        vectors: vectors(driver),
        faults_fired: faults_fired.collect(),
        passed: steps.iter().filter(|step| step.passed).count(),
        failed: steps.iter().filter(|step| !step.passed && !step.skipped).count(),
        skipped: steps.iter().filter(|step| step.skipped).count(),
        steps,
    }
}

/// What came on each vector. A line has no message table (IR-3): it is vector 0.
fn vectors(driver: &Driver) -> Vec<Vector> {
    let counts = driver.messages();
    let Some(table) = driver.message_info() else {
        let line = |counts: netdma::ndis::MessageCounts| Vector {
            vector: 0,
            processor: None,
            interrupts: counts.interrupts,
            routed: "the line of all channels".into(),
        };
        return counts.into_iter().map(line).collect();
    };
    let messages = table.messages.into_iter().zip(counts);
    let vector = messages.map(|(message, counts)| Vector {
        vector: message.message.get(),
        processor: Some(message.processor()),
        interrupts: counts.interrupts,
        routed: routing(&message.routed),
    });
    vector.collect()
}

fn print(report: &Report, json: bool) -> anyhow::Result<()> {
    let text = if json { serde_json::to_string(report)? + "\n" } else { report.text() };
    Ok(io::stdout().write_all(text.as_bytes())?)
}

fn verdict(report: &Report, gone: bool) -> anyhow::Result<()> {
    let Some(first) = report.steps.iter().find(|step| !step.passed && !step.skipped) else { return Ok(()) };
    let all = report.passed + report.failed;
    let failed =
        format!("{} of {all} steps failed, the first is '{}': {}", report.failed, first.name, first.detail);
    if gone {
        let what = format!("selftest: the device is gone: {failed}: start it again, or look at its log");
        return Err(Gone(what).into());
    }
    bail!("selftest: {failed}: --seed {} repeats it", report.seed)
}

/// What is said while it runs: on standard output, but with `--json` that is the report's alone.
struct Progress {
    json: bool,
}

impl Progress {
    fn say(&mut self, text: &str) -> anyhow::Result<()> {
        let mut out: Box<dyn Write> = if self.json { Box::new(io::stderr()) } else { Box::new(io::stdout()) };
        out.write_all(text.as_bytes())?;
        Ok(out.flush()?)
    }
}
