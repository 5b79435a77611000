//! Memory placed by address and permission, taken away and given again: on the device in this process, and on the same
//! device behind its socket.

use std::sync::Arc;
use std::time::Duration;

use ioat_spec::{ChanErr, ChanSts, ChannelRegister, ChannelState, Control, Descriptor};
use ioat_stage::ThreadPause;
use ioat_stage::pause::deadline;
use netdma::hw::sim::{Sim, SimOptions};
use netdma::hw::{Device, DmaAccess, DmaBuffer, HwError, Placement, Space};
use zerocopy::IntoBytes;

use crate::{LIMIT, Program, register};

const PAGE: usize = 4096;
const LOW: u64 = 0x0010_0000;

/// Runs `check` on both.
fn on_both(check: fn(&Device)) {
    let sim = Sim::open(SimOptions::default(), Arc::new(ThreadPause::new())).unwrap();
    // On a bus the way of opening does it; here nobody needs to.
    sim.device.write16(Space::Config, 4, 0b110).unwrap();
    check(&sim.device);
    check(&Program::start().open());
}

fn at(iova: u64, access: DmaAccess) -> Placement {
    Placement { iova: Some(iova), access }
}

fn refusal(result: Result<DmaBuffer, HwError>) -> String {
    match result {
        Err(error @ HwError::Map { .. }) => error.to_string(),
        Err(other) => panic!("not a refused mapping: {other}"),
        Ok(buffer) => panic!("placed at {:#x}", buffer.iova()),
    }
}

/// One copy of 64 bytes on channel 0, from reset to its end: its errors.
fn copy(device: &Device, source: u64, destination: u64) -> ChanErr {
    device.registers.reset().unwrap();
    device.write16(Space::Config, 4, 0b110).unwrap();
    let chain = device.memory.allocate(PAGE).unwrap();
    let (iova, control) = (chain.iova(), Control::new().with_cmpl_wr(true).into());
    let descriptor = Descriptor { size: 64, control, source, destination, ..Descriptor::default() };
    chain.write(0, descriptor.as_bytes()).unwrap();
    device.write64(Space::BAR0, register(ChannelRegister::ChanCmp), iova + 64).unwrap();
    device.write64(Space::BAR0, register(ChannelRegister::ChainAddr), iova).unwrap();
    device.write16(Space::BAR0, register(ChannelRegister::DmaCount), 1).unwrap();
    let until = deadline(&*device.pause, LIMIT);
    loop {
        let status = device.read64(Space::BAR0, register(ChannelRegister::ChanSts)).unwrap();
        let halted = ChannelState::from_code(status) == Some(ChannelState::Halted);
        if halted || chain.load_u64(64).unwrap() & ChanSts::ADDRESS_MASK == iova {
            break;
        }
        assert!(device.pause.now_ns() < until, "the copy did not end: {status:#x}");
        device.pause.sleep(Duration::from_millis(1));
    }
    ChanErr::from_bits(device.read32(Space::BAR0, register(ChannelRegister::ChanErr)).unwrap())
}

#[test]
fn memory_is_where_it_was_asked_for_and_the_engine_reaches_it_there() {
    on_both(|device| {
        let placed = device.memory.allocate_at(2 * PAGE, at(LOW, DmaAccess::ReadWrite)).unwrap();
        assert_eq!((placed.iova(), placed.is_granted()), (LOW, true));
        placed.write(0, &[7; 64]).unwrap();
        assert_eq!(copy(device, LOW, LOW + 4096), ChanErr::default());
        let mut landed = [0; 64];
        placed.read(PAGE, &mut landed).unwrap();
        assert_eq!(landed, [7; 64]);
    });
}

#[test]
fn what_may_only_be_read_is_not_written_and_what_may_only_be_written_is_not_read() {
    on_both(|device| {
        let open = device.memory.allocate(PAGE).unwrap();
        open.write(0, &[9; 64]).unwrap();
        let place = |access| device.memory.allocate_at(PAGE, Placement { iova: None, access }).unwrap();
        let (source, sink) = (place(DmaAccess::ReadOnly), place(DmaAccess::WriteOnly));
        source.write(0, &[5; 64]).unwrap();
        assert_eq!(copy(device, source.iova(), sink.iova()), ChanErr::default());
        let mut bytes = [0; 64];
        sink.read(0, &mut bytes).unwrap();
        assert_eq!(bytes, [5; 64]);
        // The other way round each is an error of its own, and moves nothing.
        assert_eq!(copy(device, open.iova(), source.iova()), ChanErr::DESTINATION_ADDRESS);
        source.read(0, &mut bytes).unwrap();
        assert_eq!(bytes, [5; 64]);
        assert_eq!(copy(device, sink.iova(), open.iova()), ChanErr::SOURCE_ADDRESS);
        open.read(0, &mut bytes).unwrap();
        assert_eq!(bytes, [9; 64]);
    });
}

#[test]
fn an_address_that_is_taken_odd_or_too_high_is_refused_with_the_reason() {
    on_both(|device| {
        let placed = device.memory.allocate_at(2 * PAGE, at(LOW, DmaAccess::ReadWrite)).unwrap();
        let refused = |iova| refusal(device.memory.allocate_at(2 * PAGE, at(iova, DmaAccess::ReadOnly)));
        for taken in [LOW - 4096, LOW, LOW + 4096] {
            assert!(refused(taken).contains("0x2000 bytes at 0x100000 are taken"), "{}", refused(taken));
        }
        assert!(refused(LOW + 0x800).contains("not a multiple of 0x1000"), "{}", refused(LOW + 0x800));
        let high = u64::MAX - 4095;
        assert!(refused(high).contains("not inside what the IOMMU translates"), "{}", refused(high));
        // Nothing of that stays: beside it there is room, and in its place when it is gone.
        let beside = device.memory.allocate_at(PAGE, at(LOW + 8192, DmaAccess::ReadWrite)).unwrap();
        drop(placed);
        let again = device.memory.allocate_at(2 * PAGE, at(LOW, DmaAccess::ReadWrite)).unwrap();
        assert_eq!((again.iova(), beside.iova()), (LOW, LOW + 8192));
    });
}

#[test]
fn memory_that_is_withdrawn_keeps_its_content_and_comes_back_elsewhere() {
    on_both(|device| {
        let target = device.memory.allocate(PAGE).unwrap();
        let mut buffer = device.memory.allocate_at(PAGE, at(LOW, DmaAccess::ReadWrite)).unwrap();
        buffer.write(0, &[3; 64]).unwrap();

        buffer.withdraw().unwrap();
        buffer.withdraw().unwrap();
        assert!(!buffer.is_granted());
        assert_eq!(copy(device, LOW, target.iova()), ChanErr::SOURCE_ADDRESS);
        buffer.write(64, &[4; 64]).unwrap();
        // Its address is free meanwhile.
        let other = device.memory.allocate_at(PAGE, at(LOW, DmaAccess::ReadWrite)).unwrap();
        assert!(buffer.grant(at(LOW, DmaAccess::ReadWrite)).unwrap_err().to_string().contains("are taken"));
        assert!(!buffer.is_granted());

        buffer.grant(at(2 * LOW, DmaAccess::ReadOnly)).unwrap();
        assert_eq!((buffer.iova(), buffer.is_granted()), (2 * LOW, true));
        assert!(buffer.grant(Placement::default()).unwrap_err().to_string().contains("is mapped already"));
        assert_eq!(copy(device, 2 * LOW + 64, target.iova()), ChanErr::default());
        let mut bytes = [0; 64];
        target.read(0, &mut bytes).unwrap();
        assert_eq!(bytes, [4; 64]);
        assert_eq!(copy(device, target.iova(), 2 * LOW), ChanErr::DESTINATION_ADDRESS);
        drop(other);
    });
}

#[test]
fn memory_dropped_while_it_is_withdrawn_is_used_again_zeroed() {
    on_both(|device| {
        let mut buffer = device.memory.allocate(PAGE).unwrap();
        buffer.write(0, &[1; PAGE]).unwrap();
        let first = buffer.iova();
        buffer.withdraw().unwrap();
        drop(buffer);
        let next = device.memory.allocate(PAGE).unwrap();
        assert_eq!(next.iova(), first);
        let mut bytes = [1; PAGE];
        next.read(0, &mut bytes).unwrap();
        assert_eq!(bytes, [0; PAGE]);
    });
}
