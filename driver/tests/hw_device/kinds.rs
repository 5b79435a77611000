//! What the device says that it has: regions, and kinds of interrupts.

use std::sync::Arc;

use ioat_stage::ThreadPause;
use netdma::hw::sim::{Sim, SimOptions};
use netdma::hw::{Device, HwError, InterruptKind, Region, Space};

use crate::Program;

fn on_both(check: fn(&Device)) {
    check(&Sim::open(SimOptions::default(), Arc::new(ThreadPause::new())).unwrap().device);
    check(&Program::start().open());
}

#[test]
fn the_regions_are_bar_0_and_configuration_space_and_no_other_answers() {
    on_both(|device| {
        let region = |space, size| Region { space, size, readable: true, writable: true };
        let expected = [region(Space::BAR0, 0x4000), region(Space::Config, 4096)];
        assert_eq!(device.registers.regions(), expected);
        for space in [Space::Bar(1), Space::Bar(6), Space::Bar(7), Space::Bar(255)] {
            let error = device.read32(space, 0).unwrap_err();
            assert!(error.to_string().contains("the function has no such region"), "{error}");
        }
        let error = device.read32(Space::BAR0, 0x3ffe).unwrap_err();
        assert!(error.to_string().contains("outside a region of 0x4000 bytes"), "{error}");
    });
}

#[test]
fn each_kind_of_interrupt_is_offered_as_it_is_and_more_is_refused() {
    on_both(|device| {
        let interrupts = &device.interrupts;
        let kinds = [InterruptKind::Line, InterruptKind::Msi, InterruptKind::Msix];
        assert_eq!(kinds.map(|kind| interrupts.offers(kind)), [1, 0, 4]);
        for (kind, count) in [(InterruptKind::Line, 2), (InterruptKind::Msi, 1), (InterruptKind::Msix, 5)] {
            let refused = interrupts.enable_kind(kind, count);
            assert!(matches!(refused, Err(HwError::Interrupt { .. })), "{kind} {count}: {refused:?}");
        }
        for (kind, count) in [(InterruptKind::Line, 1), (InterruptKind::Msix, 4), (InterruptKind::Line, 0)] {
            interrupts.enable_kind(kind, count).unwrap();
        }
        interrupts.disable().unwrap();
    });
}
