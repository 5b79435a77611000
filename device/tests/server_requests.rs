//! Tables, registers and DMA maps: statements 21 to 28, 36 to 44, 59 to 65, 84 and 85, through raw bytes.
#![expect(clippy::cast_possible_truncation, reason = "test patterns are cut from counters")]

mod server_support;

use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

use server_support::{
    Access, BIG_BAR, BIG_BAR_BYTES, CONFIG_BYTES, EINVAL, Fixture, MSIX_VECTORS, READ_ONLY_BAR, RawClient,
    SMALL_BAR, SMALL_BAR_BYTES, access_body, command, eventfd, irq_body, map_body, memory_file, message,
    unmap_body, words, write_body,
};
use vfio_user_ioat::server::{FileAccess, MAX_DATA_BYTES, flag, irq, region};

const EEXIST: u32 = libc::EEXIST as u32;
const ENOTTY: u32 = libc::ENOTTY as u32;
const READ_WRITE: u32 = flag::MAP_READ | flag::MAP_WRITE;

fn region_info(client: &mut RawClient, index: u32) -> server_support::Reply {
    client.ask(command::DEVICE_GET_REGION_INFO, &words(&[32, 0, index, 0, 0, 0, 0, 0]))
}

fn irq_info(client: &mut RawClient, index: u32) -> server_support::Reply {
    client.ask(command::DEVICE_GET_IRQ_INFO, &words(&[16, 0, index, 0]))
}

fn map(client: &mut RawClient, flags: u32, offset: u64, iova: u64, size: u64, fds: &[RawFd]) -> u32 {
    client.ask_with_fds(command::DMA_MAP, &map_body(flags, offset, iova, size), fds).errno()
}

fn unmap(client: &mut RawClient, flags: u32, iova: u64, size: u64) -> u32 {
    client.ask(command::DMA_UNMAP, &unmap_body(flags, iova, size)).errno()
}

#[test]
fn v21_device_info_names_a_resettable_pci_device() {
    let fixture = Fixture::start();
    let mut client = fixture.client();
    for argsz in [16, 32, u32::MAX] {
        let reply = client.ask(command::DEVICE_GET_INFO, &words(&[argsz, 0, 0, 0]));
        assert_eq!(reply.payload, words(&[16, flag::DEVICE_PCI | flag::DEVICE_RESET, 9, 5]));
    }
    for argsz in [0, 15] {
        assert_eq!(client.ask(command::DEVICE_GET_INFO, &words(&[argsz, 0, 0, 0])).errno(), EINVAL);
    }
    let longer = words(&[32, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(client.ask(command::DEVICE_GET_INFO, &longer).errno(), 0);
}

#[test]
fn v22_v26_region_info_answers_for_all_nine() {
    let fixture = Fixture::start();
    let mut client = fixture.client();
    let both = region::READ | region::WRITE;
    for index in 0..9 {
        let (size, flags) = match index {
            SMALL_BAR => (SMALL_BAR_BYTES, both),
            BIG_BAR => (BIG_BAR_BYTES, both),
            READ_ONLY_BAR => (4096, region::READ),
            region::CONFIG => (CONFIG_BYTES, both),
            _ => (0, 0),
        };
        let reply = region_info(&mut client, index);
        assert_eq!(reply.payload, words(&[32, flags, index, 0, size as u32, 0, 0, 0]), "region {index}");
    }
    for index in [9, 10, u32::MAX] {
        assert_eq!(region_info(&mut client, index).errno(), EINVAL);
    }
    let small = words(&[31, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(client.ask(command::DEVICE_GET_REGION_INFO, &small).errno(), EINVAL);
    let huge = words(&[u32::MAX, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(client.ask(command::DEVICE_GET_REGION_INFO, &huge).size, 48);
}

#[test]
fn v27_v28_irq_info_answers_for_all_five_and_never_says_noresize() {
    let fixture = Fixture::start();
    let mut client = fixture.client();
    let intx = irq::EVENTFD | irq::MASKABLE | irq::AUTOMASKED;
    let expected = [(1, intx), (0, 0), (MSIX_VECTORS, irq::EVENTFD), (1, irq::EVENTFD), (1, irq::EVENTFD)];
    for (index, (count, flags)) in (0..).zip(expected) {
        assert_eq!(irq_info(&mut client, index).payload, words(&[16, flags, index, count]));
        assert_eq!(flags & 8, 0);
    }
    for index in [5, u32::MAX] {
        assert_eq!(irq_info(&mut client, index).errno(), EINVAL);
    }
    assert_eq!(client.ask(command::DEVICE_GET_IRQ_INFO, &words(&[15, 0, 2, 0])).errno(), EINVAL);
}

#[test]
fn v36_v37_v44_accesses_end_at_the_region() {
    let fixture = Fixture::start();
    let mut client = fixture.client();
    let last = SMALL_BAR_BYTES - 1;
    let cases = [
        (region::CONFIG, 4095, 1, 0),
        (region::CONFIG, 4095, 2, EINVAL),
        (region::CONFIG, 0, 4096, 0),
        (SMALL_BAR, last, 1, 0),
        (SMALL_BAR, last, 2, EINVAL),
        (SMALL_BAR, SMALL_BAR_BYTES, 1, EINVAL),
        (SMALL_BAR, 0, SMALL_BAR_BYTES as u32, 0),
        (SMALL_BAR, 0, SMALL_BAR_BYTES as u32 + 1, EINVAL),
        (SMALL_BAR, u64::MAX, 2, EINVAL),
        (SMALL_BAR, u64::MAX - 1, 2, EINVAL),
        (SMALL_BAR, 1 << 40, 4, EINVAL),
        (1, 0, 1, EINVAL),
        (region::ROM, 0, 4, EINVAL),
        (8, 0, 1, EINVAL),
        (9, 0, 1, EINVAL),
        (u32::MAX, 0, 1, EINVAL),
    ];
    for (index, offset, count, errno) in cases {
        let reply = client.read(index, offset, count);
        assert_eq!(reply.errno(), errno, "read of {count} at {offset:#x} in region {index}");
        let written = client.write(index, offset, &vec![0; count as usize]);
        assert_eq!(written.errno(), errno, "write of {count} at {offset:#x} in region {index}");
        if errno == 0 {
            let echo = access_body(index, offset, count);
            assert_eq!((&reply.payload[..16], reply.payload.len()), (&echo[..], 16 + count as usize));
            assert_eq!(written.payload, echo);
        }
    }
    assert_eq!(client.read(READ_ONLY_BAR, 0, 4).errno(), 0);
    assert_eq!(client.write(READ_ONLY_BAR, 0, &[0; 4]).errno(), EINVAL);
}

#[test]
fn v38_nothing_and_the_most_can_be_read_and_written() {
    let fixture = Fixture::start();
    let mut client = fixture.client();
    assert_eq!(client.read(SMALL_BAR, 0, 0).payload, access_body(SMALL_BAR, 0, 0));
    assert_eq!(client.write(SMALL_BAR, 0, &[]).payload, access_body(SMALL_BAR, 0, 0));
    assert_eq!(client.read(1, 0, 0).errno(), EINVAL);
    assert_eq!(*fixture.device.accesses.lock().unwrap(), []);

    let pattern: Vec<u8> = (0..MAX_DATA_BYTES).map(|n| (n / 251) as u8).collect();
    assert_eq!(client.write(BIG_BAR, 77, &pattern).errno(), 0);
    assert!(client.read(BIG_BAR, 77, MAX_DATA_BYTES).payload[16..] == pattern);
    for count in [MAX_DATA_BYTES + 1, u32::MAX] {
        assert_eq!(client.read(BIG_BAR, 0, count).errno(), EINVAL);
    }
    assert_eq!(client.write(BIG_BAR, 0, &vec![1; MAX_DATA_BYTES as usize + 1]).errno(), EINVAL);
    client.assert_in_step();
}

#[test]
fn v39_a_write_whose_count_is_not_its_length_has_no_effect() {
    let fixture = Fixture::start();
    let mut client = fixture.client();
    for count in [0, 3, 5, u32::MAX] {
        let body = [access_body(SMALL_BAR, 0, count), vec![0xff; 4]].concat();
        assert_eq!(client.ask(command::REGION_WRITE, &body).errno(), EINVAL);
    }
    assert_eq!(client.read(SMALL_BAR, 0, 8).payload[16..], [0; 8]);
}

#[test]
fn v40_a_posted_write_is_silent_and_seen_by_the_next_read() {
    let fixture = Fixture::start();
    let mut client = fixture.client();
    for n in 1..=100u8 {
        client.post(command::REGION_WRITE, &write_body(SMALL_BAR, 0x40, &[n; 4]));
        assert_eq!(client.read(SMALL_BAR, 0x40, 4).payload[16..], [n; 4]);
    }
}

#[test]
fn v41_the_device_sees_the_width_of_each_access() {
    let fixture = Fixture::start();
    let mut client = fixture.client();
    for width in [8, 4, 2, 1] {
        client.write(SMALL_BAR, 0x100, &vec![0; width]);
        client.read(SMALL_BAR, 0x100, width as u32);
    }
    let seen = fixture.device.accesses.lock().unwrap().clone();
    let expected: Vec<Access> = [8, 4, 2, 1]
        .into_iter()
        .flat_map(|width| {
            [true, false].map(|write| Access { region: SMALL_BAR, offset: 0x100, width, write })
        })
        .collect();
    assert_eq!(seen, expected);
}

fn entry(region: u32, offset: u64, count: u32, data: [u8; 8]) -> Vec<u8> {
    [access_body(region, offset, count), data.to_vec()].concat()
}

fn write_multi(entries: &[Vec<u8>]) -> Vec<u8> {
    [(entries.len() as u64).to_le_bytes().to_vec(), entries.concat()].concat()
}

#[test]
fn v43_write_multi_equals_single_writes() {
    let fixture = Fixture::start();
    let mut client = fixture.client();
    for many in [1u8, 200] {
        let entries: Vec<_> = (0..many).map(|n| entry(SMALL_BAR, u64::from(n) * 4, 4, [n; 8])).collect();
        let reply = client.ask(command::REGION_WRITE_MULTI, &write_multi(&entries));
        assert_eq!(reply.payload, u64::from(many).to_le_bytes());
    }
    let expected: Vec<u8> = (0..200u8).flat_map(|n| [n; 4]).collect();
    assert_eq!(client.read(SMALL_BAR, 0, 800).payload[16..], expected);
    let widths: Vec<usize> = fixture.device.accesses.lock().unwrap().iter().map(|one| one.width).collect();
    assert_eq!(widths[..201], [4; 201]);
}

#[test]
fn v43_write_multi_stops_at_the_first_bad_entry() {
    let fixture = Fixture::start();
    let mut client = fixture.client();
    let bad = [
        entry(SMALL_BAR, 0, 9, [0; 8]),
        entry(SMALL_BAR, SMALL_BAR_BYTES - 4, 8, [0; 8]),
        entry(SMALL_BAR, u64::MAX, 8, [0; 8]),
        entry(9, 0, 4, [0; 8]),
    ];
    for bad in bad {
        let entries = [entry(SMALL_BAR, 0, 1, [1; 8]), bad, entry(SMALL_BAR, 1, 1, [2; 8])];
        let reply = client.ask(command::REGION_WRITE_MULTI, &write_multi(&entries));
        assert_eq!(reply.payload, 1u64.to_le_bytes());
        assert_eq!(client.read(SMALL_BAR, 0, 2).payload[16..], [1, 0]);
    }
    assert_eq!(client.ask(command::REGION_WRITE_MULTI, &write_multi(&[])).payload, [0; 8]);
    for count in [1u64 << 60, u64::MAX, 2, 0] {
        let body = [count.to_le_bytes().to_vec(), entry(SMALL_BAR, 0, 1, [3; 8])].concat();
        assert_eq!(client.ask(command::REGION_WRITE_MULTI, &body).errno(), EINVAL, "count {count}");
    }
    client.post(command::REGION_WRITE_MULTI, &write_multi(&[entry(SMALL_BAR, 0, 2, [7; 8])]));
    assert_eq!(client.read(SMALL_BAR, 0, 4).payload[16..], [7, 7, 0, 0]);
}

#[test]
fn v59_a_map_without_a_file_is_accepted() {
    let fixture = Fixture::start();
    let mut client = fixture.client();
    assert_eq!(map(&mut client, flag::MAP_READ, 0, 0xfffc_0000, 0x4_0000, &[]), 0);
    // A file offset means nothing without a file.
    assert_eq!(map(&mut client, READ_WRITE, u64::MAX, 0x1000, 0x1000, &[]), 0);
    let maps = fixture.device.maps.lock().unwrap();
    let rom = &maps[&0xfffc_0000];
    assert_eq!((rom.size, rom.read, rom.write), (0x4_0000, true, false));
    assert!(rom.file.is_none());
}

#[test]
fn v60_the_devices_errno_reaches_the_client() {
    let fixture = Fixture::start();
    let mut client = fixture.client();
    let memory = memory_file(0x10_0000);
    let fd = [memory.as_raw_fd()];
    assert_eq!(map(&mut client, READ_WRITE, 0, 0x10_0000, 0x4000, &fd), 0);
    for (iova, size) in [(0x10_0000, 0x4000), (0xf_f000, 0x2000), (0x10_3000, 0x2000), (0x10_1000, 0x1000)] {
        assert_eq!(map(&mut client, READ_WRITE, 0, iova, size, &fd), EEXIST);
    }
    assert_eq!(fixture.device.mapped(), [(0x10_0000, 0x4000)]);
}

#[test]
fn v61_maps_that_do_not_fit_their_file_or_the_bus_are_refused() {
    let fixture = Fixture::start();
    let mut client = fixture.client();
    let memory = memory_file(0x4000);
    let fd = [memory.as_raw_fd()];
    let cases: [(u64, u64, u64); 8] = [
        (0, 0, 0),
        (0, 0, 0x4001),
        (0x1000, 0, 0x4000),
        (0x4000, 0, 0x1000),
        (u64::MAX, 0, 1),
        (1 << 63, 0, 0x1000),
        (0, u64::MAX, 2),
        (0, 0xffff_ffff_ffff_f000, 0x1001),
    ];
    for (offset, iova, size) in cases {
        assert_eq!(
            map(&mut client, READ_WRITE, offset, iova, size, &fd),
            EINVAL,
            "{offset:#x} {iova:#x} {size:#x}"
        );
    }
    for (iova, size) in [(0, 0), (u64::MAX, 2), (2, u64::MAX)] {
        assert_eq!(map(&mut client, READ_WRITE, 0, iova, size, &[]), EINVAL);
    }
    assert_eq!(fixture.device.mapped(), []);
    // Up to the last byte of both.
    assert_eq!(map(&mut client, READ_WRITE, 0x3000, 0xffff_ffff_ffff_f000, 0x1000, &fd), 0);
    let body = map_body(READ_WRITE, 0, 0, 0x1000);
    let small_argsz = [words(&[31]), body[4..].to_vec()].concat();
    assert_eq!(client.ask(command::DMA_MAP, &small_argsz).errno(), EINVAL);
}

#[test]
fn v62_access_mode_bits_need_a_file_and_unknown_bits_are_refused() {
    let fixture = Fixture::start();
    let mut client = fixture.client();
    let memory = memory_file(0x1000);
    let fd = [memory.as_raw_fd()];
    let (by_mmap, by_io) = (flag::MAP_BY_MMAP, flag::MAP_BY_FILE_IO);
    for bits in [by_mmap, by_io] {
        assert_eq!(map(&mut client, READ_WRITE | bits, 0, 0, 0x1000, &[]), EINVAL);
    }
    for bits in [by_mmap | by_io, 1 << 4, 1 << 31] {
        assert_eq!(map(&mut client, READ_WRITE | bits, 0, 0, 0x1000, &fd), EINVAL);
    }
    assert_eq!(map(&mut client, 0, 0, 0, 0x1000, &fd), EINVAL);
    assert_eq!(map(&mut client, READ_WRITE | by_mmap, 0, 0, 0x1000, &fd), 0);
    assert_eq!(map(&mut client, READ_WRITE | by_io, 0, 0x1000, 0x1000, &fd), 0);
    let maps = fixture.device.maps.lock().unwrap();
    assert_eq!((maps[&0].access, maps[&0x1000].access), (FileAccess::Mmap, FileAccess::Io));
}

#[test]
fn r27_only_a_fit_regular_file_is_memory() {
    let fixture = Fixture::start();
    let mut client = fixture.client();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("memory");
    std::fs::write(&path, [0; 0x1000]).unwrap();
    let read_only = std::fs::File::open(&path).unwrap();
    let write_only = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    let directory = std::fs::File::open(folder.path()).unwrap();
    let null = std::fs::File::open("/dev/null").unwrap();
    let (socket, _peer) = UnixStream::pair().unwrap();
    let mut child = Command::new("true").stdout(Stdio::piped()).spawn().unwrap();
    let pipe = child.stdout.take().unwrap();
    child.wait().unwrap();
    let event = eventfd();
    let unfit: [RawFd; 6] = [
        directory.as_raw_fd(),
        null.as_raw_fd(),
        socket.as_raw_fd(),
        pipe.as_raw_fd(),
        event.as_raw_fd(),
        write_only.as_raw_fd(),
    ];
    for fd in unfit {
        assert_eq!(map(&mut client, flag::MAP_READ, 0, 0, 0x1000, &[fd]), EINVAL);
    }
    assert_eq!(map(&mut client, READ_WRITE, 0, 0, 0x1000, &[read_only.as_raw_fd()]), EINVAL);
    assert_eq!(map(&mut client, flag::MAP_READ, 0, 0, 0x1000, &[read_only.as_raw_fd()]), 0);
    // And only an eventfd is an interrupt.
    for fd in [directory.as_raw_fd(), socket.as_raw_fd(), pipe.as_raw_fd(), read_only.as_raw_fd()] {
        let body = irq_body(flag::IRQ_DATA_EVENTFD | flag::IRQ_TRIGGER, irq::MSIX, 0, 1);
        assert_eq!(client.ask_with_fds(command::DEVICE_SET_IRQS, &body, &[fd]).errno(), EINVAL);
    }
}

#[test]
fn v63_v64_v65_unmap_follows_type_1() {
    let fixture = Fixture::start();
    let mut client = fixture.client();
    let memory = memory_file(0x20_0000);
    let fd = [memory.as_raw_fd()];
    assert_eq!(map(&mut client, READ_WRITE, 0, 0x1000, 0x1000, &fd), 0);
    let exact = unmap_body(0, 0x1000, 0x1000);
    let reply = client.ask(command::DMA_UNMAP, &exact);
    assert_eq!((reply.size, reply.errno(), &reply.payload), (40, 0, &exact));

    for page in 0..512u64 {
        assert_eq!(map(&mut client, READ_WRITE, page * 0x1000, (1 << 32) + page * 0x1000, 0x1000, &fd), 0);
    }
    assert_eq!(unmap(&mut client, 0, 1 << 32, 0x20_0000), 0);
    assert_eq!(fixture.device.mapped(), []);
    assert_eq!(unmap(&mut client, 0, 1 << 32, 0x20_0000), 0);
    // To the very end of the bus.
    assert_eq!(unmap(&mut client, 0, 1 << 63, 1 << 63), 0);
    assert_eq!(unmap(&mut client, 0, 0xfef0_0000, 0xffff_ffff_0110_0000), 0);
    assert_eq!(unmap(&mut client, 0, 0xfef0_0000, 0xffff_ffff_0110_0001), EINVAL);
    assert_eq!(unmap(&mut client, 0, 0, 0), EINVAL);

    assert_eq!(map(&mut client, READ_WRITE, 0, 0, 0x1000, &fd), 0);
    assert_eq!(map(&mut client, READ_WRITE, 0, 0xffff_ffff_ffff_f000, 0x1000, &fd), 0);
    for (flags, iova, size) in [(2, 0, 1), (2, 0x1000, 0), (1, 0, 0x1000), (3, 0, 0), (4, 0, 0)] {
        assert_eq!(unmap(&mut client, flags, iova, size), EINVAL);
    }
    assert_eq!(fixture.device.mapped().len(), 2);
    assert_eq!(unmap(&mut client, flag::UNMAP_ALL, 0, 0), 0);
    assert_eq!(fixture.device.mapped(), []);
    assert_eq!(client.ask(command::DMA_UNMAP, &[words(&[23, 0]), vec![1; 16]].concat()).errno(), EINVAL);
}

#[test]
fn v64_pipelined_maps_and_unmaps_need_no_reply_in_between() {
    let fixture = Fixture::start();
    let mut client = fixture.client();
    let memory = memory_file(0x1000);
    for n in 0..100u64 {
        let body = map_body(READ_WRITE, 0, n * 0x1000, 0x1000);
        client.send(&message(n as u16, command::DMA_MAP, 0, &body), &[memory.as_raw_fd()]);
    }
    client.post(command::DMA_UNMAP, &unmap_body(0, 0, 50 * 0x1000));
    for n in 0..100u16 {
        let reply = client.receive();
        assert_eq!((reply.id, reply.errno()), (n, 0));
    }
    client.assert_in_step();
    assert_eq!(fixture.device.mapped().len(), 50);
}

#[test]
fn v84_device_feature_is_not_supported() {
    let fixture = Fixture::start();
    let mut client = fixture.client();
    for feature in [0, 1, 2, 6, 7, 8, 0xffff] {
        for action in [1 << 16, 1 << 17, 1 << 18] {
            let body = [words(&[1 << 20, feature | action]), vec![0xab; 40]].concat();
            assert_eq!(client.ask(command::DEVICE_FEATURE, &body).errno(), ENOTTY);
        }
    }
    assert_eq!(client.ask(command::DEVICE_FEATURE, &words(&[7, 1])).errno(), EINVAL);
    client.assert_in_step();
}

#[test]
fn v85_there_are_no_region_io_fds() {
    let fixture = Fixture::start();
    let mut client = fixture.client();
    for index in 0..9 {
        let reply = client.ask(command::DEVICE_GET_REGION_IO_FDS, &words(&[4096, 0, index, 100]));
        assert_eq!(reply.payload, words(&[16, 0, index, 0]));
    }
    assert_eq!(client.ask(command::DEVICE_GET_REGION_IO_FDS, &words(&[16, 0, 9, 0])).errno(), EINVAL);
    assert_eq!(client.ask(command::DEVICE_GET_REGION_IO_FDS, &words(&[15, 0, 0, 0])).errno(), EINVAL);
    client.assert_in_step();
}
