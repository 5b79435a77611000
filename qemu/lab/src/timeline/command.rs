//! `netdma-lab timeline`.

use std::path::PathBuf;

use anyhow::Result;
use ioat_stage::Side;

use super::page::page;
use crate::trace::command::{load, put};
use crate::trace::link;
use crate::trace::merge::{MAX_DRIFT_PPM, Merged, merge, one_clock};
use crate::trace::stats::human;

/// Write a trace as one page to look at: zoomable, self-contained, opens from a file
///
/// Traces of two machines whose times contradict each other are put on one clock first (as by `trace merge`).
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// Traces of one side or of both
    #[arg(required = true, value_name = "TRACE")]
    traces: Vec<PathBuf>,
    /// The page to write
    #[arg(short, long, value_name = "FILE.html")]
    output: PathBuf,
    /// What the page is called [default: the traces' names]
    #[arg(long)]
    title: Option<String>,
}

/// Runs the command.
///
/// # Errors
/// What is wrong with a trace, or that the page cannot be written.
pub fn run(arguments: &Arguments) -> Result<()> {
    let mut trace = load(&arguments.traces)?;
    if trace.has(Side::Device) && trace.has(Side::Driver) && !one_clock(&trace) {
        let different = "the two sides are on different clocks";
        match merge(&mut trace, MAX_DRIFT_PPM) {
            // The page says so by itself.
            Ok(Merged { error_ns, .. }) => eprintln!(
                "netdma-lab: {different}: fitted, the driver's times may be wrong by {}",
                human(error_ns)
            ),
            Err(error) => {
                let warning = format!("{different}, and cannot be fitted: {error}");
                eprintln!("netdma-lab: warning: {warning}");
                trace.warnings.push(warning);
            }
        }
    }
    let linked = link(&trace.records);
    let names =
        || arguments.traces.iter().filter_map(|path| path.file_name()).map(|name| name.to_string_lossy());
    let title = arguments.title.clone().unwrap_or_else(|| names().collect::<Vec<_>>().join(", "));
    let page = page(&trace, &linked, &title);
    put(&arguments.output, page.as_bytes(), &arguments.traces)?;
    println!(
        "{}: {} events, {} descriptors, {:.1} MB",
        arguments.output.display(),
        trace.records.len(),
        linked.lives.len(),
        megabytes(page.len()),
    );
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
fn megabytes(bytes: usize) -> f64 {
    bytes as f64 / 1e6
}
