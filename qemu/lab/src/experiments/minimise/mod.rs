//! `netdma-lab experiment minimise`.

use super::exit::{Exit, Trouble};

/// Looks for the smallest experiment that still fails
#[derive(clap::Args, Debug)]
pub struct Arguments {}

/// Runs the verb.
///
/// # Errors
/// Always: it is on its way.
pub fn run(_: &Arguments) -> Result<Exit, Trouble> {
    Err(Trouble::Infra(anyhow::anyhow!("`experiment minimise` is not part of this build")))
}
