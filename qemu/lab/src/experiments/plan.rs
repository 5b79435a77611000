//! `netdma-lab experiment plan`.

use super::exit::{Exit, Trouble};

/// Prints the experiments of a campaign
#[derive(clap::Args, Debug)]
pub struct Arguments {}

/// Runs the verb.
///
/// # Errors
/// Always: it is on its way.
pub fn run(_: &Arguments) -> Result<Exit, Trouble> {
    Err(Trouble::Infra(anyhow::anyhow!("`experiment plan` is not part of this build")))
}
