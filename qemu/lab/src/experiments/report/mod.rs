//! `netdma-lab experiment report`.

use super::exit::{Exit, Trouble};

/// Makes a report of journals
#[derive(clap::Args, Debug)]
pub struct Arguments {}

/// Runs the verb.
///
/// # Errors
/// Always: it is on its way.
pub fn run(_: &Arguments) -> Result<Exit, Trouble> {
    Err(Trouble::Infra(anyhow::anyhow!("`experiment report` is not part of this build")))
}
