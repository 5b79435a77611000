//! `netdma-vm clean`.

use clap::Args;

/// Soon.
#[derive(Debug, Args)]
pub(crate) struct CleanArguments {}

pub(crate) fn run(_arguments: &CleanArguments) -> anyhow::Result<i32> {
    Ok(0)
}
