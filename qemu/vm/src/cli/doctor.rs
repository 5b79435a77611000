//! `netdma-vm doctor`.

use clap::Args;

/// Soon.
#[derive(Debug, Args)]
pub(crate) struct DoctorArguments {}

pub(crate) fn run(_arguments: &DoctorArguments) -> anyhow::Result<i32> {
    Ok(0)
}
