//! Register access with a place before and behind it where other tasks come in.

use std::sync::Arc;

use ioat_stage::Pause;
use netdma::hw::{HwError, Registers, Space};

use super::pause::SimPause;

/// The device's registers, seen over a bus that others use too.
pub(super) struct Points(pub(super) Arc<dyn Registers>);

impl Registers for Points {
    fn read(&self, space: Space, offset: u64, data: &mut [u8]) -> Result<(), HwError> {
        SimPause.point();
        let read = self.0.read(space, offset, data);
        SimPause.point();
        read
    }

    fn write(&self, space: Space, offset: u64, data: &[u8]) -> Result<(), HwError> {
        SimPause.point();
        let written = self.0.write(space, offset, data);
        SimPause.point();
        written
    }

    fn flush(&self, space: Space, offset: u64) -> Result<(), HwError> {
        self.0.flush(space, offset)
    }

    fn reset(&self) -> Result<(), HwError> {
        SimPause.point();
        let reset = self.0.reset();
        SimPause.point();
        reset
    }
}
