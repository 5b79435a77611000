//! Configuration space and registers of the device core (conformance items 1 to 21 of the device model, 71 and 72).

mod core_support;

use core_support::{
    ATTNSTATUS, Bench, CHANERR_INT, COMMAND, INTRCTRL, LINUX_CHANCTRL, NOWHERE, RESET, RING, copy, int, null,
};
use ioat_spec::ChannelRegister::{
    Cdar, ChainAddr, ChanCmd, ChanCmp, ChanCtrl, ChanErr, ChanErrMsk, ChanSts, DcaCtrl, DmaComp, DmaCount,
};
use ioat_spec::pci::{BAR0_SIZE, CLASS_CODE, DEVICE_SKX, DMAUNCERRSTS, VENDOR_INTEL};
use ioat_spec::{ChannelState, Descriptor};
use ioat_stage::NoFaults;
use proptest::prelude::*;
use std::sync::atomic::Ordering;
use vfio_user_ioat::Profile;

const DEVCTL: u64 = 0x98;
const BAR0: u64 = 0x10;

/// Offsets of the capabilities, by id.
fn capabilities(bench: &Bench) -> Vec<(u64, u64)> {
    let mut found = Vec::new();
    let mut at = bench.config(0x34, 1);
    while at != 0 {
        found.push((bench.config(at, 1), at));
        at = bench.config(at + 1, 1);
    }
    found
}

/// Lets channel 0 fail with an unmapped source.
fn fail(bench: &mut Bench) {
    bench.ring(&[Descriptor { source: NOWHERE, ..copy(64) }]);
    bench.arm(0, LINUX_CHANCTRL);
    let _ = bench.doorbell(0, 1);
    bench.drive(0);
}

#[test]
fn m01_the_header_names_the_engine() {
    let bench = Bench::new();
    assert_eq!(bench.config(0x00, 4), u64::from(DEVICE_SKX) << 16 | u64::from(VENDOR_INTEL));
    assert_eq!(bench.config(0x08, 4) >> 8, u64::from(CLASS_CODE));
    assert_eq!(bench.config(0x0e, 1), 0);
}

#[test]
fn m02_bar0_is_64_bit_and_sizes_to_16_kib_and_no_other_bar_is_there() {
    let bench = Bench::new();
    assert_eq!(bench.config(BAR0, 8), 0b100);
    let _ = bench.function.config_write(BAR0, &[0xff; 24]);
    assert_eq!(bench.config(BAR0, 8), !(BAR0_SIZE - 1) | 0b100);
    for bar in [0x18, 0x1c, 0x20, 0x24, 0x30] {
        assert_eq!(bench.config(bar, 4), 0, "{bar:#x}");
    }
}

#[test]
fn m03_m04_capabilities_are_msix_pcie_and_pm_with_a_vector_per_channel() {
    for channels in [1, 4, 8] {
        let bench = Bench::with(Profile::SKX.with_channels(channels).unwrap(), |_| NoFaults);
        assert_ne!(bench.config(0x06, 2) & 1 << 4, 0);
        assert_eq!(capabilities(&bench), [(0x11, 0x80), (0x10, 0x90), (0x01, 0xe0)]);
        assert_eq!(bench.config(0x82, 2), u64::from(channels) - 1);
        assert_eq!((bench.config(0x84, 4), bench.config(0x88, 4)), (0x2000, 0x3000));
        assert_eq!(bench.config(0x92, 2), 2);
        assert_ne!(bench.config(0x94, 4) & 1 << 28, 0);
        assert_ne!(bench.config(0xe4, 2) & 1 << 3, 0);
    }
}

#[test]
fn m05_extended_configuration_space_is_there() {
    let bench = Bench::new();
    assert_ne!(bench.config(0x100, 4), 0xffff_ffff);
    assert_eq!(bench.config(0xffc, 8), 0);
    assert_eq!(bench.config(u64::MAX - 3, 8), 0);
}

#[test]
fn m06_chanerr_int_mirrors_chanerr_and_is_cleared_by_itself() {
    let mut bench = Bench::new();
    assert_eq!(bench.config(CHANERR_INT, 4), 0);
    fail(&mut bench);
    assert_eq!((bench.config(CHANERR_INT, 4), bench.chan_err(0)), (1, 1));
    let _ = bench.set(0, ChanErr, 1);
    assert_eq!((bench.config(CHANERR_INT, 4), bench.chan_err(0)), (1, 0));
    let _ = bench.function.config_write(CHANERR_INT, &0u32.to_le_bytes());
    assert_eq!(bench.config(CHANERR_INT, 4), 1);
    let _ = bench.function.config_write(CHANERR_INT, &1u32.to_le_bytes());
    assert_eq!(bench.config(CHANERR_INT, 4), 0);
}

#[test]
fn m07_dmauncerrsts_reads_0_and_cannot_be_set() {
    let bench = Bench::new();
    let _ = bench.function.config_write(DMAUNCERRSTS as u64, &[0xff; 4]);
    assert_eq!(bench.config(DMAUNCERRSTS as u64, 4), 0);
}

#[test]
fn m08_devctl_bit_4_clears_and_a_write_back_of_the_command_dword_changes_nothing() {
    let bench = Bench::new();
    let value = bench.config(DEVCTL, 2);
    assert_ne!(value & 1 << 4, 0);
    let _ = bench.function.config_write(DEVCTL, &(value & !(1 << 4)).to_le_bytes()[..2]);
    assert_eq!(bench.config(DEVCTL, 2), value & !(1 << 4));
    let dword = bench.config(COMMAND, 4);
    let _ = bench.function.config_write(COMMAND, &dword.to_le_bytes()[..4]);
    assert_eq!(bench.config(COMMAND, 4), dword);
}

#[test]
fn m09_flr_and_device_reset_restore_every_register() {
    for reset_by_flr in [true, false] {
        let mut bench = Bench::with(Profile::SKX.with_channels(1).unwrap(), |_| NoFaults);
        let fresh = Bench::with(Profile::SKX.with_channels(1).unwrap(), |_| NoFaults);
        let _ = fresh.function.reset();
        bench.ring(&[Descriptor { source: NOWHERE, ..copy(64) }]);
        bench.arm(0, LINUX_CHANCTRL);
        let _ = bench.doorbell(0, 1);
        bench.drive(0);
        let junk: Vec<u8> = (0..BAR0_SIZE).map(|n| n.to_le_bytes()[0] ^ 0xa5).collect();
        // DEVCTL's FLR bit is left alone: it would reset before the last byte is written.
        let _ = bench.function.config_write(0, &[0x5a; 0x98]);
        let _ = bench.function.config_write(0x9a, &[0x5a; 0xf66]);
        let _ = bench.function.bar_write(0, &junk);
        let _ = if reset_by_flr {
            bench.function.config_write(DEVCTL + 1, &[0x80])
        } else {
            bench.function.reset()
        };
        assert_eq!(snapshot(&bench), snapshot(&fresh));
        assert!(!bench.wires.asserted.load(Ordering::Relaxed));
        bench.enable();
        assert!(!bench.step(0));
    }
}

/// Everything that can be read.
fn snapshot(bench: &Bench) -> (Vec<u8>, Vec<u8>) {
    let mut bar = vec![0; 0x4000];
    let mut config = vec![0; 0x1000];
    bench.function.bar_read(0, &mut bar);
    bench.function.config_read(0, &mut config);
    (bar, config)
}

#[test]
fn m11_m12_the_identity_is_read_only_and_reserved_space_is_inert() {
    let bench = Bench::new();
    let _ = bench.write(0x00, 2, 0xffff);
    let _ = bench.write(0x08, 8, 0);
    let _ = bench.write(0x10, 8, u64::MAX);
    assert_eq!(bench.read(0x00, 2), 0x1404);
    assert_eq!(bench.read(0x08, 1), 0x33);
    assert_eq!(bench.read(0x10, 4), 0x40);
    for offset in
        [0x09, 0x0a, 0x0b, 0x0e, 0x0f, 0x14, 0x15, 0x16, 0x40, 0x1000, 0x1008, 0x1800, 0x2080, 0x3fff]
    {
        let _ = bench.write(offset, 1, 0xff);
        assert_eq!(bench.read(offset, 1), 0, "{offset:#x}");
    }
    assert_eq!(bench.get(0, DmaComp), 6);
    let _ = bench.set(0, DmaComp, 0xffff);
    assert_eq!(bench.get(0, DmaComp), 6);
}

#[test]
fn m13_reads_of_every_width_agree() {
    let mut bench = Bench::new();
    fail(&mut bench);
    let _ = bench.write(INTRCTRL, 1, 0x08);
    // These two change when they are read, as they should.
    let _ = (bench.read(ATTNSTATUS, 4), bench.get(0, ChanCtrl));
    for start in (0..0x280).step_by(8) {
        let whole = bench.read(start, 8);
        for width in [1, 2, 4] {
            let parts =
                (0..8_u64).step_by(width).fold(0, |sum, at| sum | bench.read(start + at, width) << (8 * at));
            // IN_USE is claimed by the first read of each channel's CHANCTRL.
            let ignore = if start % 0x80 == 0 && start > 0 { 0x100 } else { 0 };
            assert_eq!(parts & !ignore, whole & !ignore, "{start:#x} by {width}");
        }
    }
}

#[test]
fn m14_halves_and_whole_writes_of_addresses_agree() {
    let bench = Bench::new();
    for (register, state) in [(ChainAddr, ChannelState::Armed), (ChanCmp, ChannelState::Halted)] {
        let value = 0x12_3456_7000_u64;
        let halves = Bench::new();
        let offset = 0x80 + register.offset();
        let _ = halves.write(offset, 4, value & 0xffff_ffff);
        let _ = halves.write(offset + 4, 4, value >> 32);
        let whole = Bench::new();
        let _ = whole.write(offset, 8, value);
        for bench in [&halves, &whole] {
            assert_eq!(bench.get(0, register), value);
            assert_eq!(bench.state(0), state);
        }
    }
    assert_eq!(bench.get(0, ChainAddr), 0);
}

#[test]
fn m15_a_read_of_the_low_half_of_chansts_latches_the_high_one() {
    let mut bench = Bench::new();
    let high = 0x3_0000_0000;
    let file = bench.memory.try_clone().unwrap();
    bench.table.map(high, 0x1000, vfio_user_ioat::memory::Access::READ_WRITE, Some((file, 0))).unwrap();
    bench.ring(&[null()]);
    let _ = bench.set(0, ChainAddr, high);
    let _ = bench.doorbell(0, 1);
    bench.drive(0);
    assert_eq!(bench.read(0x88, 4), 1);
    let _ = bench.command(0, RESET);
    assert_eq!(bench.read(0x88, 8), 3);
    assert_eq!(bench.read(0x8c, 4), 0);

    let _ = bench.set(0, ChainAddr, high);
    let _ = bench.doorbell(0, 1);
    bench.drive(0);
    assert_eq!(bench.read(0x88, 4), 1);
    bench.ring(&[null()]);
    let _ = bench.set(0, ChainAddr, RING);
    assert_eq!((bench.read(0x8c, 4), bench.read(0x8c, 4)), (3, 0));
}

#[test]
fn m16_intrdelay_keeps_its_delay_and_says_that_it_can() {
    let bench = Bench::new();
    assert_eq!(bench.read(0x0c, 2), 0x8000);
    let _ = bench.write(0x0c, 2, 0x7123);
    assert_eq!(bench.read(0x0c, 2), 0xb123);
}

#[test]
fn m17_m18_scratch_registers_keep_what_is_written() {
    let bench = Bench::with(Profile::SKX.with_channels(1).unwrap(), |_| NoFaults);
    for (offset, width, value) in [
        (0x02, 1, 0x81),
        (0x4c, 1, 8),
        (0xb0, 4, 0xffff_ffff),
        (0x136, 2, 0x0109),
        (0x13c, 1, 1),
        (0x140, 4, 0x8800),
        (0x144, 4, 0x8a58),
    ] {
        let _ = bench.write(offset, width, value);
        assert_eq!(bench.read(offset, width), value, "{offset:#x}");
    }
    assert_eq!(bench.state(0), ChannelState::Halted);
    let four = Bench::new();
    let _ = four.write(0x140, 4, 0x8800);
    assert_eq!(four.read(0x140, 4), 0);
}

#[test]
fn m19_chanerr_clears_bit_by_bit() {
    let mut bench = Bench::new();
    fail(&mut bench);
    let _ = bench.command(0, 0x24);
    assert_eq!(bench.chan_err(0), 0x21);
    let _ = bench.set(0, ChanErr, 0);
    assert_eq!(bench.chan_err(0), 0x21);
    let _ = bench.set(0, ChanErr, 0x20);
    assert_eq!(bench.chan_err(0), 0x01);
}

#[test]
fn m20_a_channel_reset_keeps_the_mask_and_the_errors_and_drops_the_rest() {
    let mut bench = Bench::new();
    fail(&mut bench);
    let _ = bench.set(0, ChanErrMsk, 0x3_0000);
    let _ = bench.set(0, DcaCtrl, 7);
    let _ = bench.command(0, RESET);
    for (register, value) in [
        (ChanErrMsk, 0x3_0000),
        (DcaCtrl, 7),
        (ChanErr, 1),
        (ChanCtrl, 0),
        (ChanCmp, 0),
        (ChainAddr, 0),
        (DmaCount, 0),
        (ChanSts, 3),
        (Cdar, 0),
        (ChanCmd, 0),
    ] {
        assert_eq!(bench.get(0, register), value, "{}", register.name());
    }
    assert_eq!(bench.config(CHANERR_INT, 4), 1);
}

#[test]
fn m21_int_dis_is_set_by_an_interrupt_and_cleared_by_writing_1() {
    let mut bench = Bench::new();
    bench.ring(&[int(null())]);
    bench.arm(0, LINUX_CHANCTRL);
    assert_eq!(bench.get(0, ChanCtrl) & 1, 0);
    let _ = bench.doorbell(0, 1);
    bench.drive(0);
    assert_eq!(bench.get(0, ChanCtrl) & 1, 1);
    let _ = bench.set(0, ChanCtrl, 0x1c);
    assert_eq!(bench.get(0, ChanCtrl) & 1, 1);
    let _ = bench.set(0, ChanCtrl, 0x1d);
    assert_eq!(bench.get(0, ChanCtrl) & 1, 0);
}

#[test]
fn in_use_is_claimed_by_the_first_read_and_cleared_by_writing_0() {
    let bench = Bench::new();
    assert_eq!(bench.get(0, ChanCtrl) & 0x100, 0);
    assert_eq!(bench.get(0, ChanCtrl) & 0x100, 0x100);
    // The low byte alone does not touch it.
    let _ = bench.write(0x80, 1, 0);
    assert_eq!(bench.get(0, ChanCtrl) & 0x100, 0x100);
    let _ = bench.set(0, ChanCtrl, 0);
    assert_eq!(bench.read(0x80, 1), 0);
    assert_eq!(bench.get(0, ChanCtrl) & 0x100, 0);
}

#[test]
fn m71_m72_intx_follows_master_enable_and_attention() {
    let mut bench = Bench::new();
    bench.wires.messages_on.store(false, Ordering::Relaxed);
    let asserted = |bench: &Bench| bench.wires.asserted.load(Ordering::Relaxed);
    bench.ring(&[int(null())]);
    bench.arm(0, LINUX_CHANCTRL);
    let _ = bench.doorbell(0, 1);
    bench.drive(0);
    assert!(!asserted(&bench));
    let _ = bench.write(INTRCTRL, 1, 0x01);
    assert!(asserted(&bench));
    assert_ne!(bench.config(0x06, 2) & 1 << 3, 0);
    // The handler: INTRCTRL clears its enable, ATTNSTATUS clears, the write-back restores the enable.
    assert_eq!(bench.read(INTRCTRL, 1), 0x07);
    assert!(!asserted(&bench));
    assert_eq!(bench.read(INTRCTRL, 1), 0x02);
    let _ = bench.write(INTRCTRL, 1, 0x07);
    assert!(asserted(&bench));
    let _ = bench.function.config_write(COMMAND + 1, &[0x04]);
    assert!(!asserted(&bench));
    let _ = bench.function.config_write(COMMAND + 1, &[0x00]);
    assert!(asserted(&bench));
    assert_eq!(bench.read(ATTNSTATUS, 4), 1);
    assert!(!asserted(&bench));
    assert_eq!(bench.read(ATTNSTATUS, 4), 0);
    assert_eq!(bench.read(INTRCTRL, 1), 0x01);
    assert!(bench.messages().is_empty());
}

#[test]
fn the_line_falls_when_messages_are_switched_on() {
    let mut bench = Bench::new();
    bench.wires.messages_on.store(false, Ordering::Relaxed);
    bench.ring(&[int(null())]);
    bench.arm(0, LINUX_CHANCTRL);
    let _ = bench.write(INTRCTRL, 1, 0x01);
    let _ = bench.doorbell(0, 1);
    bench.drive(0);
    assert!(bench.wires.asserted.load(Ordering::Relaxed));
    bench.wires.messages_on.store(true, Ordering::Relaxed);
    bench.function.delivery_changed();
    assert!(!bench.wires.asserted.load(Ordering::Relaxed));
}

#[test]
fn the_msix_table_keeps_what_is_written_and_starts_masked() {
    let bench = Bench::new();
    assert_eq!(bench.read(0x200c, 4), 1);
    let _ = bench.write(0x2030, 8, 0x1122_3344_5566_7788);
    assert_eq!(bench.read(0x2034, 4), 0x1122_3344);
    let _ = bench.write(0x3000, 8, u64::MAX);
    assert_eq!(bench.read(0x3000, 8), 0);
}

proptest! {
    #[test]
    fn no_access_panics(accesses in prop::collection::vec(
        (any::<bool>(), any::<bool>(), prop_oneof![0..0x400_u64, 0..0x5000_u64, any::<u64>()], prop::collection::vec(any::<u8>(), 0..20)),
        1..200,
    )) {
        let mut bench = Bench::new();
        bench.ring(&[int(copy(64)), null()]);
        for (write, config, offset, mut data) in accesses {
            match (write, config) {
                (false, false) => bench.function.bar_read(offset, &mut data),
                (false, true) => bench.function.config_read(offset, &mut data),
                (true, false) => { let _ = bench.function.bar_write(offset, &data); }
                (true, true) => { let _ = bench.function.config_write(offset, &data); }
            }
            for channel in 0..4 {
                bench.step(channel);
            }
            // Every state that CHANSTS may show is one of the five.
            prop_assert!(ChannelState::from_code(bench.status(0)).is_some());
        }
    }
}
