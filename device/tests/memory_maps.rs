//! What DMA_MAP and DMA_UNMAP do to the table, and what the device may touch afterwards (R33, R36 to R38, R41 to R43).

#[path = "memory_support/mod.rs"]
mod support;

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use support::{PAGE, drained, fds, memfd, named_memfd, peek, pipe, poke, read_only, reopen, seal, vmas};
use vfio_user_ioat::memory::{
    Access, Denied, DmaTable, GuestMemory, Lane, MapError, UnmapError, Want, access,
};

const RW: Access = Access::READ_WRITE;

#[test]
fn c_57_device_reads_and_writes_at_the_maps_file_offset() {
    let table = DmaTable::new();
    let file = memfd(4 * PAGE);
    poke(&file, PAGE + 5, b"from the client");
    table.map(0x10_0000, PAGE, RW, Some((reopen(&file), PAGE))).unwrap();
    let pin = table.reader().pin();

    let slice = pin.resolve(Lane::Source, 0x10_0005, 15, Want::Read).unwrap();
    let mut seen = [0; 15];
    slice.copy_to(&mut seen);
    pin.resolve(Lane::Destination, 0x10_0800, 4, Want::Write).unwrap().copy_from(b"back");

    assert_eq!(&seen, b"from the client");
    assert_eq!(peek(&file, PAGE + 0x800, 4), b"back");
}

#[test]
fn c_58_read_only_map_of_a_writable_file_denies_writes() {
    let table = DmaTable::new();
    table.map(0x1000, PAGE, Access::READ, Some((memfd(PAGE), 0))).unwrap();
    let pin = table.reader().pin();

    pin.resolve(Lane::Source, 0x1000, 8, Want::Read).unwrap();
    let denied = pin.resolve(Lane::Source, 0x1008, 8, Want::Write).unwrap_err();

    assert_eq!(denied, Denied::ReadOnly { iova: 0x1008 });
}

#[test]
fn write_only_map_denies_reads() {
    let table = DmaTable::new();
    table.map(0x1000, PAGE, Access::WRITE, Some((memfd(PAGE), 0))).unwrap();
    let pin = table.reader().pin();

    pin.resolve(Lane::Source, 0x1000, 8, Want::Write).unwrap();
    let denied = pin.resolve(Lane::Source, 0x1000, 8, Want::Read).unwrap_err();

    assert_eq!(denied, Denied::WriteOnly { iova: 0x1000 });
}

#[test]
fn c_59_map_without_a_file_is_known_and_denied() {
    let table = DmaTable::new();
    table.map(0xfe00_0000, 0x4000, RW, None).unwrap();
    let pin = table.reader().pin();

    let denied = pin.resolve(Lane::Source, 0xfe00_1000, 8, Want::Read).unwrap_err();

    assert_eq!(denied, Denied::NoFile { iova: 0xfe00_1000 });
    assert_eq!(table.stats().maps, 1);
}

#[test]
fn c_60_overlap_is_refused_and_the_old_map_still_works() {
    let table = DmaTable::new();
    let (old, new) = (memfd(16 * PAGE), memfd(16 * PAGE));
    poke(&old, 0, b"old");
    table.map(0x10_000, 4 * PAGE, RW, Some((reopen(&old), 0))).unwrap();
    let overlaps = [
        ("identical", 0x10_000, 4),
        ("head", 0xf_000, 2),
        ("tail", 0x13_000, 2),
        ("inside", 0x11_000, 1),
        ("around", 0xf_000, 6),
    ];

    for (which, iova, pages) in overlaps {
        let refused = table.map(iova, pages * PAGE, RW, Some((reopen(&new), 0))).unwrap_err();
        let expected = matches!(refused, MapError::Exists { iova: 0x10_000, size } if size == 4 * PAGE);
        assert!(expected, "{which}: {refused}");
        assert_eq!(refused.errno(), libc::EEXIST);
    }
    let pin = table.reader().pin();
    let mut seen = [0; 3];
    pin.resolve(Lane::Source, 0x10_000, 3, Want::Read).unwrap().copy_to(&mut seen);

    assert_eq!(&seen, b"old");
    assert_eq!((table.stats().maps, table.stats().files), (1, 1));
    table.map(0xf_000, PAGE, RW, Some((reopen(&new), 0))).unwrap();
    table.map(0x14_000, PAGE, RW, Some((reopen(&new), 0))).unwrap();
}

#[test]
fn c_61_bad_sizes_and_offsets_are_typed_errors() {
    let table = DmaTable::new();
    let file = memfd(2 * PAGE);
    let map = |iova, size, offset| table.map(iova, size, RW, Some((reopen(&file), offset))).unwrap_err();

    assert!(matches!(map(0x1000, 0, 0), MapError::Empty { iova: 0x1000 }));
    assert!(matches!(map(u64::MAX - 0xfff, 2 * PAGE, 0), MapError::Wraps { .. }));
    assert!(matches!(map(0, PAGE, 2 * PAGE), MapError::BeyondFile { file_len: 0x2000, .. }));
    assert!(matches!(map(0, 3 * PAGE, 0), MapError::BeyondFile { .. }));
    assert!(matches!(map(0, PAGE, 1 << 63), MapError::BeyondFile { .. }));
    assert!(matches!(map(0, PAGE, u64::MAX - 0xffe), MapError::OffsetOverflow { .. }));
    assert_eq!(table.stats().maps, 0);
}

#[test]
fn r27_descriptors_that_are_no_files_or_not_open_as_needed_are_typed_errors() {
    let table = DmaTable::new();
    let map = |file: File, access| table.map(0, PAGE, access, Some((file, 0))).unwrap_err();
    let (socket, _peer) = UnixStream::pair().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ram");
    std::fs::write(&path, vec![0; 4096]).unwrap();
    let write_only = File::options().write(true).open(&path).unwrap();

    let directory = map(File::open(dir.path()).unwrap(), RW);
    let socket = map(File::from(OwnedFd::from(socket)), RW);
    let (pipe, _writer) = pipe();
    let pipe = map(pipe, RW);
    let device = map(File::open("/dev/zero").unwrap(), Access::READ);
    let write_only = map(write_only, Access::WRITE);
    let read_only = map(File::open(&path).unwrap(), RW);

    assert!(matches!(directory, MapError::NotAFile { kind: "directory" }), "{directory}");
    assert!(matches!(socket, MapError::NotAFile { kind: "socket" }), "{socket}");
    assert!(matches!(pipe, MapError::NotAFile { kind: "pipe" }), "{pipe}");
    assert!(matches!(device, MapError::NotAFile { kind: "character device" }), "{device}");
    assert!(matches!(write_only, MapError::NotReadable), "{write_only}");
    assert!(matches!(read_only, MapError::NotWritable), "{read_only}");
    assert!([directory, socket, pipe, device, write_only, read_only].iter().all(|e| e.errno() > 0));
}

#[test]
fn file_sealed_against_writing_serves_read_only_maps() {
    let table = DmaTable::new();
    let file = memfd(PAGE);
    poke(&file, 0, b"rom");
    seal(&file, libc::F_SEAL_WRITE);

    let refused = table.map(0, PAGE, RW, Some((reopen(&file), 0))).unwrap_err();
    table.map(0, PAGE, Access::READ, Some((reopen(&file), 0))).unwrap();
    let pin = table.reader().pin();
    let mut seen = [0; 3];
    pin.resolve(Lane::Source, 0, 3, Want::Read).unwrap().copy_to(&mut seen);

    assert!(matches!(refused, MapError::NotWritable), "{refused}");
    assert_eq!(&seen, b"rom");
}

#[test]
fn read_only_descriptor_first_then_a_writable_one_of_the_same_file() {
    let table = DmaTable::new();
    let file = memfd(2 * PAGE);
    table.map(0x1000, PAGE, Access::READ, Some((read_only(&file), 0))).unwrap();
    table.map(0x8000, PAGE, RW, Some((reopen(&file), PAGE))).unwrap();
    let pin = table.reader().pin();

    pin.resolve(Lane::Destination, 0x8000, 4, Want::Write).unwrap().copy_from(b"data");
    pin.resolve(Lane::Source, 0x1000, 4, Want::Read).unwrap();

    assert_eq!(peek(&file, PAGE, 4), b"data");
}

#[test]
fn r37_full_table_refuses_and_accepts_again_after_an_unmap() {
    let table = DmaTable::with_max_maps(2);
    table.map(0x1000, PAGE, RW, None).unwrap();
    table.map(0x3000, PAGE, RW, None).unwrap();

    let refused = table.map(0x5000, PAGE, RW, None).unwrap_err();
    assert_eq!(table.unmap(0x1000, PAGE).unwrap().maps(), 1);

    assert!(matches!(refused, MapError::TooManyMaps { limit: 2 }), "{refused}");
    assert_eq!(refused.errno(), libc::ENOSPC);
    table.map(0x5000, PAGE, RW, None).unwrap();
}

#[test]
fn too_many_files_are_refused_and_leave_no_descriptor_or_mapping() {
    let table = DmaTable::new();
    let map = |i: u64| {
        let name = format!("many-files-{i}");
        (table.map(i * PAGE, PAGE, RW, Some((named_memfd(&name, PAGE), 0))), name)
    };

    let (refused, name) = (0..).map(map).find(|(result, _)| result.is_err()).unwrap();

    assert!(matches!(refused, Err(MapError::TooManyFiles { .. })), "{refused:?}");
    assert_eq!((vmas(&name), fds(&name)), (0, 0));
    let ticket = table.unmap_all();
    drained(&table, ticket);
    assert_eq!((vmas("many-files-0"), fds("many-files-0")), (0, 0));
}

#[test]
fn c_63_c_64_unmap_removes_what_lies_inside_and_nothing_else() {
    let table = DmaTable::new();
    let file = memfd(1024 * PAGE);
    for page in 0..600 {
        table.map(0x10_0000 + page * PAGE, PAGE, RW, Some((reopen(&file), page * PAGE))).unwrap();
    }

    let exact = table.unmap(0x10_0000, PAGE).unwrap();
    let range = table.unmap(0x10_0000, 513 * PAGE).unwrap();
    let nothing = table.unmap(0x10_0000, 513 * PAGE).unwrap();

    assert_eq!((exact.maps(), exact.bytes()), (1, PAGE));
    assert_eq!((range.maps(), range.bytes()), (512, 512 * PAGE));
    assert_eq!(nothing.maps(), 0);
    assert!(table.is_drained(&nothing));
    assert_eq!((table.stats().maps, table.stats().bytes), (87, 87 * PAGE));
}

#[test]
fn c_64_unmap_reaches_the_end_of_the_address_space() {
    let table = DmaTable::new();
    let file = memfd(PAGE);
    let top = u64::MAX - (PAGE - 1);
    let top_map = |iova| table.map(iova, PAGE, RW, Some((reopen(&file), 0)));
    top_map(top).unwrap();
    top_map(0x1000).unwrap();
    top_map(0xfef0_1000).unwrap();

    let amd = table.unmap(1 << 63, 1 << 63).unwrap();
    let intel = table.unmap(0xfef0_0000, 0xffff_ffff_0110_0000).unwrap();
    let wraps = table.unmap(1 << 63, (1 << 63) + 1).unwrap_err();
    let empty = table.unmap(0, 0).unwrap_err();

    assert_eq!((amd.maps(), intel.maps()), (1, 1));
    assert_eq!(wraps, UnmapError::Wraps { iova: 1 << 63, size: (1 << 63) + 1 });
    assert_eq!(empty, UnmapError::Empty { iova: 0 });
    assert_eq!(table.stats().maps, 1);
    top_map(top).unwrap();
}

#[test]
fn map_up_to_the_end_of_the_address_space_resolves_its_last_byte() {
    let table = DmaTable::new();
    table.map(u64::MAX - 0xfff, PAGE, RW, Some((memfd(PAGE), 0))).unwrap();
    let pin = table.reader().pin();

    let slice = pin.resolve(Lane::Source, u64::MAX, u64::MAX, Want::Read).unwrap();

    assert_eq!(slice.len(), 1);
}

#[test]
fn unmap_that_cuts_a_map_removes_nothing() {
    let table = DmaTable::new();
    let file = memfd(16 * PAGE);
    table.map(0x1000, PAGE, RW, Some((reopen(&file), 0))).unwrap();
    table.map(0x2000, 4 * PAGE, RW, Some((reopen(&file), 0))).unwrap();
    table.map(0x6000, PAGE, RW, Some((reopen(&file), 0))).unwrap();
    let cuts = UnmapError::Cuts { iova: 0x2000, size: 4 * PAGE };

    assert_eq!(table.unmap(0x1000, 2 * PAGE).unwrap_err(), cuts);
    assert_eq!(table.unmap(0x5000, 2 * PAGE).unwrap_err(), cuts);
    assert_eq!(table.unmap(0x3000, PAGE).unwrap_err(), cuts);
    assert_eq!(table.unmap(0x1000, 4 * PAGE).unwrap_err(), cuts);

    assert_eq!(table.stats().maps, 3);
    assert_eq!(table.unmap(0x1000, 6 * PAGE).unwrap().maps(), 3);
}

#[test]
fn c_65_unmap_all_removes_every_map_and_its_mappings() {
    let table = DmaTable::new();
    let file = named_memfd("unmap-all", 4 * PAGE);
    table.map(0x1000, PAGE, RW, Some((reopen(&file), 0))).unwrap();
    table.map(0x9000, PAGE, RW, Some((reopen(&file), PAGE))).unwrap();
    table.map(0x1_0000, PAGE, RW, None).unwrap();

    let ticket = table.unmap_all();

    assert_eq!(ticket.maps(), 3);
    assert!(table.is_drained(&ticket));
    assert_eq!(vmas("unmap-all"), 0);
    let stats = table.stats();
    assert_eq!((stats.maps, stats.bytes, stats.files, stats.limbo), (0, 0, 0, 0));
}

#[test]
fn c_66_next_pin_after_an_unmap_reaches_nothing() {
    let table = DmaTable::new();
    table.map(0x1000, PAGE, RW, Some((memfd(PAGE), 0))).unwrap();
    let pin = table.reader().pin();
    pin.resolve(Lane::Source, 0x1000, 8, Want::Read).unwrap();
    let reader = pin.unpin();

    let _ = table.unmap(0x1000, PAGE).unwrap();
    let pin = reader.pin();

    assert_eq!(
        pin.resolve(Lane::Source, 0x1000, 8, Want::Read).unwrap_err(),
        Denied::Unmapped { iova: 0x1000 }
    );
}

#[test]
fn map_made_under_a_pin_is_seen_by_it_after_a_denial() {
    let table = DmaTable::new();
    let pin = table.reader().pin();

    let before = pin.resolve(Lane::Source, 0x1000, 8, Want::Read).map(|_| ());
    table.map(0x1000, PAGE, RW, Some((memfd(PAGE), 0))).unwrap();
    let after = pin.resolve(Lane::Source, 0x1000, 8, Want::Read).map(|slice| slice.len());

    assert_eq!(before, Err(Denied::Unmapped { iova: 0x1000 }));
    assert_eq!(after, Ok(8));
    assert!(!pin.yield_requested());
}

#[test]
fn c_69_transfer_over_five_adjacent_maps_of_scattered_offsets_is_correct() {
    let table = DmaTable::new();
    let file = memfd(16 * PAGE);
    let offsets = [7, 2, 11, 3, 0];
    for (iova_page, file_page) in (0_u64..).zip(offsets) {
        poke(&file, file_page * PAGE, &[b'a' + u8::try_from(iova_page).unwrap(); 4096]);
        table.map(0x4_0000 + iova_page * PAGE, PAGE, RW, Some((reopen(&file), file_page * PAGE))).unwrap();
    }
    let target = memfd(8 * PAGE);
    table.map(0x20_0000, 8 * PAGE, RW, Some((reopen(&target), 0))).unwrap();
    let pin = table.reader().pin();

    let (mut done, mut pieces) = (0, 0);
    let (start, len) = (0x4_0100, 5 * PAGE - 0x200);
    while done < len {
        let source = pin.resolve(Lane::Source, start + done, len - done, Want::Read).unwrap();
        let destination =
            pin.resolve(Lane::Destination, 0x20_0007 + done, source.len() as u64, Want::Write).unwrap();
        access::copy(&source, &destination);
        done += destination.len() as u64;
        pieces += 1;
    }

    let mut expected = Vec::new();
    for letter in b'a'..=b'e' {
        expected.extend([letter; 4096]);
    }
    expected.drain(..0x100);
    expected.truncate(expected.len() - 0x100);
    assert_eq!(pieces, 5);
    assert_eq!(peek(&target, 7, expected.len()), expected);
}

#[test]
fn r42_transfer_into_a_hole_stops_at_its_first_byte() {
    let table = DmaTable::new();
    let file = memfd(4 * PAGE);
    table.map(0x1000, PAGE, RW, Some((reopen(&file), 0))).unwrap();
    table.map(0x3000, PAGE, RW, Some((reopen(&file), PAGE))).unwrap();
    let pin = table.reader().pin();

    let first = pin.resolve(Lane::Source, 0x1f00, 0x2000, Want::Read).unwrap();
    let hole = pin.resolve(Lane::Source, 0x1f00 + first.len() as u64, 0x1f00, Want::Read).unwrap_err();

    assert_eq!(first.len(), 0x100);
    assert_eq!(hole, Denied::Unmapped { iova: 0x2000 });
}

#[test]
fn neighbours_in_both_address_spaces_resolve_in_one_piece_and_keep_their_boundaries() {
    let table = DmaTable::new();
    let file = memfd(16 * PAGE);
    for page in 0..8 {
        table.map(0x10_000 + page * PAGE, PAGE, RW, Some((reopen(&file), page * PAGE))).unwrap();
    }
    let pin = table.reader().pin();

    let whole = pin.resolve(Lane::Source, 0x10_010, 8 * PAGE - 0x10, Want::Read).unwrap().len();
    drop(pin);

    assert_eq!(whole as u64, 8 * PAGE - 0x10);
    assert_eq!(table.unmap(0x12_000, PAGE).unwrap().maps(), 1);
}

#[test]
fn neighbours_with_other_permission_are_not_joined() {
    let table = DmaTable::new();
    let file = memfd(2 * PAGE);
    table.map(0x1000, PAGE, RW, Some((reopen(&file), 0))).unwrap();
    table.map(0x2000, PAGE, Access::READ, Some((reopen(&file), PAGE))).unwrap();
    let pin = table.reader().pin();

    let writable = pin.resolve(Lane::Destination, 0x1000, 2 * PAGE, Want::Write).unwrap().len();
    let denied = pin.resolve(Lane::Destination, 0x2000, PAGE, Want::Write).unwrap_err();

    assert_eq!(writable as u64, PAGE);
    assert_eq!(denied, Denied::ReadOnly { iova: 0x2000 });
}

#[test]
fn r41_file_that_grows_page_by_page_costs_few_mappings() {
    let table = DmaTable::new();
    let file = named_memfd("grows", PAGE);
    for page in 0..1000 {
        file.set_len((page + 1) * PAGE).unwrap();
        poke(&file, page * PAGE, &page.to_le_bytes());
        table.map(page * PAGE, PAGE, RW, Some((reopen(&file), page * PAGE))).unwrap();
    }
    let pin = table.reader().pin();

    for page in 0..1000 {
        let slice = pin.resolve(Lane::Source, page * PAGE, 8, Want::Read).unwrap();
        assert_eq!(access::load_u64(&slice).unwrap(), page);
    }
    assert!(vmas("grows") <= 11, "{} mappings", vmas("grows"));
    assert!(fds("grows") <= 12, "{} descriptors", fds("grows"));
}

#[test]
fn r41_file_that_shrank_refuses_what_is_beyond_its_end_now() {
    let table = DmaTable::new();
    let file = memfd(8 * PAGE);
    table.map(0x1000, PAGE, RW, Some((reopen(&file), 0))).unwrap();
    file.set_len(2 * PAGE).unwrap();

    let refused = table.map(0x8000, PAGE, RW, Some((reopen(&file), 2 * PAGE))).unwrap_err();

    assert!(matches!(refused, MapError::BeyondFile { file_len: 0x2000, .. }), "{refused}");
}

#[test]
fn c_68_r43_a_hundred_thousand_maps_cost_one_mapping_and_one_descriptor() {
    let table = DmaTable::new();
    let file = named_memfd("hundred-thousand", 100_000 * PAGE);
    for page in 0..100_000 {
        // No two neighbours are contiguous in the file.
        let offset = page * 7919 % 100_000 * PAGE;
        table.map(page * PAGE, PAGE, RW, Some((reopen(&file), offset))).unwrap();
    }

    assert_eq!(table.stats().maps, 100_000);
    assert_eq!(vmas("hundred-thousand"), 1);
    assert_eq!(fds("hundred-thousand"), 2, "the test's own and the mapping's");
}
