//! Scatter-gather: three pieces of one buffer become the start of another, in one operation.

use std::sync::Arc;
use std::time::Duration;

use ioat_stage::ThreadPause;
use netdma::client::{ChannelOptions, Driver, Options, Segment};
use netdma::hw::sim::{Sim, SimOptions};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let sim = Sim::open(SimOptions::default(), Arc::new(ThreadPause::new()))?;
    let driver = Driver::open(sim.device, Options::default())?;
    let channel = driver.channel(ChannelOptions::default())?;

    let (packets, message) = (driver.allocate(8192)?, driver.allocate(4096)?);
    // Three payloads behind headers of their own.
    for (index, payload) in ["the engine ", "gathers what ", "arrived in pieces"].iter().enumerate() {
        packets.write(index * 1500 + 54, payload.as_bytes())?;
    }
    let pieces =
        [Segment::new(&packets, 54, 11), Segment::new(&packets, 1554, 13), Segment::new(&packets, 3054, 17)];

    let mut batch = channel.batch();
    batch.copy_segments(&pieces, &[Segment::new(&message, 0, 41)])?;
    println!("{} operation, {} descriptors, one doorbell", batch.operations(), batch.len());
    batch.submit()?.wait(Duration::from_secs(5))?;

    let mut text = [0; 41];
    message.read(0, &mut text)?;
    println!("{}", String::from_utf8_lossy(&text));
    Ok(())
}
