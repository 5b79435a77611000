//! A client of the contract itself.

use std::sync::Arc;

use netdma::hw::Device;

use super::scenario::Scenario;
use super::tally::Tally;

pub(super) fn run(_: &Arc<Scenario>, _: u64, _: &Device, _: &Tally) {}
