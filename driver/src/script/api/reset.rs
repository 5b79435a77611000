//! Resets of the whole function.

use std::rc::Rc;
use std::time::Duration;

use rhai::Engine;

use super::super::failure::{Failure, failed, of_hw};
use super::super::{Entry, Session};
use super::config;
use crate::hw::Space;

const GROUP: &str = "Device";

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        name: "reset",
        call: "reset()",
        says: "Resets the function by its bus (VFIO_DEVICE_RESET). DMA mappings, enabled vectors and bus mastering stay.",
        group: GROUP,
    },
    Entry {
        name: "flr",
        call: "flr()",
        says: "Function-level reset by the PCI Express capability. The function forgets what it was told, bus mastering \
               included, unless who stands between restores it.",
        group: GROUP,
    },
];

/// Device capabilities and control, from the capability's start, and the bits for the reset (PCIe 7.8.3, 7.8.4).
const DEVCAP: u64 = 0x04;
const DEVCAP_FLR: u32 = 1 << 28;
const DEVCTL: u64 = 0x08;
const DEVCTL_FLR: u16 = 1 << 15;
/// How long the function may take (PCIe 6.6.2).
const FLR_TIME: Duration = Duration::from_millis(100);

pub(super) fn register(engine: &mut Engine, session: &Rc<Session>) {
    let it = session.clone();
    engine.register_fn("reset", move || it.device.registers.reset().map_err(|error| of_hw(&it, &error)));
    let it = session.clone();
    engine.register_fn("flr", move || flr(&it));
}

fn flr(session: &Session) -> Result<(), Failure> {
    let express = config::express(session)?;
    let device = &session.device;
    let of = |error| of_hw(session, &error);
    if device.read32(Space::Config, express + DEVCAP).map_err(of)? & DEVCAP_FLR == 0 {
        return Err(failed(
            "the function says that it has no function-level reset (PCI Express DEVCAP bit 28)",
        ));
    }
    let control = device.read16(Space::Config, express + DEVCTL).map_err(of)?;
    device.write16(Space::Config, express + DEVCTL, control | DEVCTL_FLR).map_err(of)?;
    session.sleep(FLR_TIME)
}
