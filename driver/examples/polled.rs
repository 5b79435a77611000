//! No interrupts: who waits looks at the completion word, and the copy's way is shorter.

use std::sync::Arc;
use std::time::Instant;

use ioat_stage::ThreadPause;
use netdma::client::{ChannelOptions, CompletionMode, Driver, Options};
use netdma::hw::sim::{Sim, SimOptions};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let sim = Sim::open(SimOptions::default(), Arc::new(ThreadPause::new()))?;
    let driver = Driver::open(sim.device, Options::default())?;
    let (from, to) = (driver.allocate(4096)?, driver.allocate(4096)?);
    for completion in [CompletionMode::Interrupt, CompletionMode::Polled] {
        let channel = driver.channel(ChannelOptions { completion, ..ChannelOptions::default() })?;
        // The counts are the engine's channel's, whoever had it before.
        let before = channel.stats().provider.interrupts;
        let start = Instant::now();
        for _ in 0..1000 {
            channel.copy(&from, 0, &to, 0, 4096)?;
        }
        let each = start.elapsed() / 1000;
        let interrupts = channel.stats().provider.interrupts - before;
        println!("{completion:?}: {each:?} for each copy of 4 KiB, {interrupts} interrupts");
    }
    Ok(())
}
