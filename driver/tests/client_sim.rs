//! The client on the in-process device: every operation, verified against plain memory.
#![cfg(feature = "sim")]

use std::sync::Arc;
use std::time::Duration;

use ioat_stage::ThreadPause;
use netdma::client::{ChannelOptions, Driver, Options};
use netdma::hw::sim::{Sim, SimOptions};

fn open(rules: &[&str]) -> Driver {
    let rules = rules.iter().map(|rule| rule.parse().unwrap()).collect();
    let sim = Sim::open(SimOptions { rules, ..SimOptions::default() }, Arc::new(ThreadPause::new())).unwrap();
    Driver::open(sim.device, Options { processors: 2, ..Options::default() }).unwrap()
}

#[test]
fn a_copy_moves_the_bytes() {
    let driver = open(&[]);
    let channel = driver.channel(ChannelOptions::default()).unwrap();
    let (from, to) = (driver.allocate(4096).unwrap(), driver.allocate(4096).unwrap());
    from.write(3, b"moved by the engine").unwrap();
    channel.copy(&from, 3, &to, 100, 19).unwrap();
    let mut moved = [0; 19];
    to.read(100, &mut moved).unwrap();
    assert_eq!(&moved, b"moved by the engine");
    assert_eq!(channel.stats().bytes, 19);
    let _ = Duration::ZERO;
}
