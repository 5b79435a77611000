//! `netdma-vm clean`.

use clap::Args;
use netdma_vm::cache::Cache;
use netdma_vm::setup::mebibytes;

/// Says how big the cache folder is, and removes it.
#[derive(Debug, Args)]
pub(crate) struct CleanArguments {
    /// Remove nothing
    #[arg(long)]
    dry_run: bool,
}

pub(crate) fn run(arguments: &CleanArguments) -> anyhow::Result<i32> {
    let cache = Cache::from_environment()?;
    let place = cache.root().display();
    if !cache.root().exists() {
        println!("{place}: there is no cache");
        return Ok(0);
    }
    println!("{place}: {}", mebibytes(cache.size_bytes()));
    if !arguments.dry_run {
        // A setup that is under way keeps its folder.
        let _lock = cache.lock(|| eprintln!("netdma-vm: waiting for a setup to end"))?;
        cache.remove()?;
        println!("removed");
    }
    Ok(0)
}
