//! Functions that are no engine: without BAR 0, without MSI-X, with I/O ports, and what is told to them.

use netdma::hw::socket::{Options, open_with};
use netdma::hw::{Device, DmaAccess, Fired, InterruptKind, Placement, Space};

use crate::pause;
use crate::server::{DMA_MAP, SET_IRQS, Server, State};

/// The command register: I/O ports, memory, bus master.
const PCICMD: usize = 4;

fn stranger(change: impl FnOnce(&mut State)) -> (Server, Device) {
    let server = Server::right();
    {
        let mut state = server.state.lock().unwrap();
        state.config[..4].copy_from_slice(&[0x34, 0x12, 0xe8, 0x11]);
        change(&mut state);
    }
    let options = Options { any_function: true, ..Options::default() };
    let device = open_with(&server.path(), pause(), &options).unwrap();
    (server, device)
}

/// Until the server has read what the client sent last.
fn served(server: &Server, commands: usize) {
    while server.state.lock().unwrap().commands.len() < commands {
        std::thread::yield_now();
    }
}

#[test]
fn a_function_without_bar_0_and_messages_opens_and_its_other_bar_answers() {
    let (server, device) = stranger(|state| {
        state.bar0.clear();
        state.bar2 = vec![0; 256];
        state.irqs = [1, 0, 0];
        // BAR 2 is 256 I/O ports.
        state.config[0x18] = 1;
    });
    let spaces: Vec<_> =
        device.registers.regions().iter().map(|region| (region.space, region.size)).collect();
    assert_eq!(spaces, [(Space::Bar(2), 256), (Space::Config, 4096)]);
    device.write16(Space::Bar(2), 0x10, 0xbeef).unwrap();
    assert_eq!(device.read32(Space::Bar(2), 0x0e).unwrap(), 0xbeef_0000);
    assert!(device.read8(Space::BAR0, 0).is_err());
    assert_eq!(server.state.lock().unwrap().config[PCICMD], 0b111, "ports answer, too");
    assert_eq!((device.interrupts.vectors(), device.interrupts.has_line()), (0, true));
}

#[test]
fn the_upper_half_of_a_bar_is_not_taken_for_ports() {
    let (server, _device) = stranger(|state| {
        // BAR 0 is 64 bits wide, and its upper half is odd.
        state.config[0x10] = 0b100;
        state.config[0x14] = 1;
    });
    assert_eq!(server.state.lock().unwrap().config[PCICMD], 0b110);
}

#[test]
fn each_kind_of_interrupt_goes_to_its_own_index_and_one_is_on_at_a_time() {
    let (server, device) = stranger(|state| state.irqs = [1, 2, 3]);
    let interrupts = &device.interrupts;
    let kinds = [InterruptKind::Line, InterruptKind::Msi, InterruptKind::Msix];
    assert_eq!(kinds.map(|kind| interrupts.offers(kind)), [1, 2, 3]);
    for (index, kind, count) in [(1, kinds[1], 2), (0, kinds[0], 1), (2, kinds[2], 3)] {
        interrupts.enable_kind(kind, count).unwrap();
        let state = server.state.lock().unwrap();
        assert_eq!((state.events_of, state.events.len()), (index, usize::try_from(count).unwrap()));
        state.fire(0, 2);
        drop(state);
        assert_eq!(interrupts.wait(0, &*device.pause).unwrap(), Fired::Times(2), "{kind}");
    }
    interrupts.enable_kind(kinds[2], 0).unwrap();
    let state = server.state.lock().unwrap();
    assert!(state.events.is_empty());
    let changes = state.commands.iter().filter(|(command, _)| *command == SET_IRQS).count();
    assert_eq!(changes, 2 + 1 + 3 + 3, "one message for each event, and one for each kind that goes off");
}

#[test]
fn a_map_carries_its_address_and_permission() {
    let (server, device) = stranger(|_| ());
    let accesses = [DmaAccess::ReadOnly, DmaAccess::WriteOnly, DmaAccess::ReadWrite];
    let place = |(page, access): (u64, _)| Placement { iova: Some(page * 4096), access };
    let placed: Vec<_> = (0..).zip(accesses).map(place).collect();
    let buffers: Vec<_> = placed.iter().map(|place| device.memory.allocate_at(1, *place).unwrap()).collect();
    let state = server.state.lock().unwrap();
    let maps: Vec<_> = state.maps.iter().map(|map| (map.address, map.size, map.flags)).collect();
    assert_eq!(maps, [(0, 4096, 1), (4096, 4096, 2), (8192, 4096, 3)]);
    let asked = state.commands.iter().filter(|(command, _)| *command == DMA_MAP).count();
    drop(state);
    // What is taken does not even go out.
    assert!(device.memory.allocate_at(1, placed[0]).is_err());
    let commands = &server.state.lock().unwrap().commands;
    assert_eq!(commands.iter().filter(|(command, _)| *command == DMA_MAP).count(), asked);
    drop(buffers);
}

#[test]
fn a_device_that_is_let_go_is_no_bus_master() {
    let (server, device) = stranger(|_| ());
    let before = server.state.lock().unwrap().commands.len();
    assert_eq!(server.state.lock().unwrap().config[PCICMD], 0b110);
    drop(device);
    served(&server, before + 2);
    assert_eq!(server.state.lock().unwrap().config[PCICMD], 0b010);
}
