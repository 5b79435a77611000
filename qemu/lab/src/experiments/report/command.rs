//! `netdma-lab experiment report`: journals in, one report out.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::{Digest, Format, render};
use crate::experiments::campaign::Campaign;
use crate::experiments::exit::{Exit, Trouble};
use crate::experiments::record::Record;

/// Makes a report of journals: of one, or of the shards of one campaign
///
/// Exit codes: 0 no finding, or none that the campaign does not know; 1 findings; 2 usage.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// Journals that `experiment run`, `merge` or `try` wrote
    #[arg(required = true, value_name = "JOURNAL")]
    journals: Vec<PathBuf>,
    /// Its form
    #[arg(short, long, value_enum, default_value_t)]
    format: Format,
    /// Where it goes to [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// The campaign's file, for the findings that it knows
    #[arg(short, long, value_name = "FILE")]
    campaign: Option<PathBuf>,
}

/// Runs the verb.
///
/// # Errors
/// When a file cannot be read, is no journal, or the journals are of different campaigns.
pub fn run(arguments: &Arguments) -> Result<Exit, Trouble> {
    let known = match &arguments.campaign {
        Some(file) => Campaign::load(file)?.known,
        None => Vec::new(),
    };
    let mut records = Vec::new();
    for journal in &arguments.journals {
        records.extend(read(journal)?);
    }
    one_campaign(&records)?;
    let digest = Digest::new(records, &known);
    let report = render(arguments.format, &digest);
    match &arguments.out {
        // Who closed the pipe does not want the rest.
        None => drop(std::io::stdout().write_all(report.as_bytes())),
        Some(file) => {
            fs::write(file, report).with_context(|| format!("cannot write {}", file.display()))?;
        }
    }
    Ok(if digest.new_findings().next().is_none() { Exit::Clean } else { Exit::Findings })
}

/// Results of different campaigns do not add up.
fn one_campaign(records: &[Record]) -> Result<(), Trouble> {
    let mut specs = records.iter().filter_map(|record| match record {
        Record::Header(header) => Some(header),
        _ => None,
    });
    let Some(first) = specs.next() else {
        return Err(Trouble::Usage("no journal: the first line is no header of a campaign".into()));
    };
    match specs.find(|header| header.spec != first.spec) {
        None => Ok(()),
        Some(other) => Err(Trouble::Usage(format!(
            "the journals are of different campaigns: {} ({}) and {} ({})",
            first.campaign, first.spec, other.campaign, other.spec
        ))),
    }
}

/// The records of a file. A last line that was cut short is left out: its experiment will be run again.
fn read(path: &Path) -> Result<Vec<Record>, Trouble> {
    let text =
        fs::read_to_string(path).map_err(|error| Trouble::Usage(format!("{}: {error}", path.display())))?;
    let mut records = Vec::new();
    for (number, line) in (1..).zip(text.split_inclusive('\n')) {
        match serde_json::from_str(line) {
            Ok(record) => records.push(record),
            Err(_) if !line.ends_with('\n') => {
                eprintln!("{}:{number}: the last line is cut short, and left out", path.display());
            }
            Err(error) => {
                let text = format!("{}:{number}: no record of an experiment: {error}", path.display());
                return Err(Trouble::Usage(text));
            }
        }
    }
    Ok(records)
}
