//! `netdma conformance`: every statement of the contract on one engine, as KTAP or JSON; and the table of what ran.

mod ktap;

mod place;

mod report;

mod table;

use std::io::{self, Write};
use std::sync::Arc;

use anyhow::bail;
use ioat_stage::ThreadPause;
use ioat_stage::pause::SharedPause;
use netdma::conformance::{Outcome, Statement, run as run_one};

use self::place::At;
use self::report::Report;
use super::config::{Conformance, Output, Work};
use super::exit::{Gone, NothingRan};

/// Runs it.
pub(crate) fn run(config: &Conformance) -> anyhow::Result<()> {
    match &config.work {
        Work::List => print(&listed(&config.only)),
        Work::Table(files) => print(&table::of(files)?),
        Work::Run(on, output) => {
            let pause: SharedPause = Arc::new(ThreadPause::new());
            let at = place::open(on, pause.clone())?;
            let report = run_all(&at, &config.only, *output, &pause)?;
            verdict(&report, &at)
        }
    }
}

fn run_all(
    at: &At,
    statements: &[&'static Statement],
    output: Output,
    pause: &SharedPause,
) -> anyhow::Result<Report> {
    let ktap = output == Output::Ktap;
    if ktap {
        print(&ktap::head(statements.len(), at))?;
    }
    let mut results = Vec::new();
    for (number, statement) in (1..).zip(statements) {
        let ran = run_one(statement, at.place(), &**pause);
        if ktap {
            print(&ktap::line(number, &ran))?;
        }
        results.push(ran);
    }
    let report = Report::new(at, results);
    match output {
        Output::Ktap => print(&ktap::tail(&report))?,
        Output::Json => print(&(serde_json::to_string(&report)? + "\n"))?,
    }
    Ok(report)
}

/// Exit code 1 if a statement failed, 3 if the device is gone, 4 if nothing could run.
fn verdict(report: &Report, at: &At) -> anyhow::Result<()> {
    if let Some(first) = report.results.iter().find(|ran| ran.result == Outcome::Failed) {
        let reason = first.reason.clone().unwrap_or_default();
        let all = report.passed + report.failed;
        let failed =
            format!("{} of {all} statements failed, the first is {}: {reason}", report.failed, first.id);
        return match at.is_gone() {
            Some(error) => Err(Gone(format!("conformance: the device is gone: {error}: {failed}")).into()),
            None => bail!("conformance: {failed}: --only {} repeats it", first.id),
        };
    }
    if report.passed == 0 {
        let why = report.results.first().and_then(|ran| ran.reason.clone()).unwrap_or_default();
        let what = format!("conformance: none of {} statements could run here: {why}", report.skipped);
        return Err(NothingRan(what).into());
    }
    Ok(())
}

fn listed(statements: &[&'static Statement]) -> String {
    use super::table::{Align, Table};
    let columns = ["id", "status", "needs", "test"].map(|name| (name, Align::Left));
    let mut table = Table::new(&columns);
    for statement in statements {
        table.row([
            statement.id.into(),
            report::word(&statement.status),
            report::word(&statement.needs),
            statement.test.into(),
        ]);
    }
    table.to_string()
}

/// At once, so that who waits sees how far it is.
fn print(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}
