//! `netdma-vm setup`.

use clap::Args;

/// Soon.
#[derive(Debug, Args)]
pub(crate) struct SetupArguments {}

pub(crate) fn run(_arguments: &SetupArguments) -> anyhow::Result<i32> {
    Ok(0)
}
