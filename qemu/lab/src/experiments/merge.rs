//! `netdma-lab experiment merge`.

use super::exit::{Exit, Trouble};

/// Makes one journal of several
#[derive(clap::Args, Debug)]
pub struct Arguments {}

/// Runs the verb.
///
/// # Errors
/// Always: it is on its way.
pub fn run(_: &Arguments) -> Result<Exit, Trouble> {
    Err(Trouble::Infra(anyhow::anyhow!("`experiment merge` is not part of this build")))
}
