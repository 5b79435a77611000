//! Completions as a file descriptor, beside other things that a program waits for.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use ioat_stage::pause::deadline;
use ioat_stage::{Pause, ThreadPause};
use netdma::client::{ChannelOptions, Completions, Driver, Options};
use netdma::hw::sim::{Sim, SimOptions};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let pause = Arc::new(ThreadPause::new());
    let sim = Sim::open(SimOptions::default(), pause.clone())?;
    let driver = Driver::open(sim.device, Options::default())?;
    let channel = driver.channel(ChannelOptions::default())?;
    let buffer = driver.allocate(1 << 20)?;

    let events = channel.events()?;
    let mut completions = Completions::new();
    for pattern in 0..3 {
        let mut batch = channel.batch();
        batch.fill(&buffer, 0, 1 << 20, pattern)?;
        completions.submit(batch, pattern)?;
    }
    while !completions.is_empty() {
        // Clear, look, and wait only if there was nothing: no completion is slept through.
        let _ = events.clear();
        if let Some(done) = completions.try_next() {
            done.result?;
            println!("fill {} is done", done.tag);
            continue;
        }
        // A standard input or a socket would go into the same list.
        let _ = pause.wait_readable(&[events.as_fd()], Some(deadline(&*pause, Duration::from_millis(50))));
    }
    Ok(())
}
