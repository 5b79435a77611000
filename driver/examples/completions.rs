//! Several batches under way at once, taken in the order in which they finish; one of them fails.

use std::sync::Arc;

use ioat_stage::ThreadPause;
use netdma::client::{ChannelOptions, Completions, Driver, Options};
use netdma::hw::sim::{Sim, SimOptions};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // The sixth copy of the device's life ends in an error.
    let rules = vec!["copy: nth(6) halt(write-data)".parse()?];
    let sim = Sim::open(SimOptions { rules, ..SimOptions::default() }, Arc::new(ThreadPause::new()))?;
    let driver = Driver::open(sim.device, Options::default())?;
    let channel = driver.channel(ChannelOptions::default())?;
    let (from, to) = (driver.allocate(1 << 16)?, driver.allocate(1 << 16)?);

    let mut completions = Completions::new();
    // Not all at once: what is pending when the engine halts has failed too.
    for round in 0..4 {
        let mut batch = channel.batch();
        for part in 0..4 {
            let offset = (round * 4 + part) * 1024;
            batch.copy(&from, offset, &to, offset, 1024)?;
        }
        completions.submit(batch, round)?;
        for done in completions.by_ref() {
            let finished = done.operations.iter().filter(|result| result.is_ok()).count();
            match done.result {
                Ok(()) => println!("batch {}: done", done.tag),
                Err(error) => {
                    println!("batch {}: {error}; {finished} of 4 operations were done before", done.tag)
                }
            }
        }
    }
    println!("{} recovery", channel.stats().recoveries);
    Ok(())
}
