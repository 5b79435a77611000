//! `netdma-lab experiment replay`.

use super::exit::{Exit, Trouble};

/// Runs one experiment again, and says whether the same came of it
#[derive(clap::Args, Debug)]
pub struct Arguments {}

/// Runs the verb.
///
/// # Errors
/// Always: it is on its way.
pub fn run(_: &Arguments) -> Result<Exit, Trouble> {
    Err(Trouble::Infra(anyhow::anyhow!("`experiment replay` is not part of this build")))
}
