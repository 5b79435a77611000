//! What a million DMA maps cost, and what the worker's path does: measured, printed (`--nocapture`), and for memory
//! asserted. One test in a process of its own, because it reads the process's resident size.
#![expect(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "test code may panic, and runs on 64-bit hosts"
)]

#[path = "memory_support/mod.rs"]
mod support;

use std::fs;
use std::fs::File;
use std::hint::black_box;
use std::time::{Duration, Instant};

use support::{PAGE, memfd, named_memfd, reopen, vmas};
use vfio_user_ioat::memory::{Access, DmaTable, GuestMemory, Lane, Pin, Reader, Want, access};

const RW: Access = Access::READ_WRITE;
const MAPS: u64 = 1_000_000;
const MIB: u64 = 1024 * 1024;

#[test]
fn million_scattered_maps_take_80_bytes_each_and_give_them_back() {
    let file = named_memfd("million", MAPS * PAGE);
    let table = DmaTable::new();
    // Everything that is allocated once, before the measurement.
    table.map(0, PAGE, RW, Some((reopen(&file), 0))).unwrap();
    assert!(table.is_drained(&table.unmap_all()));
    let (iovas, offsets) = (shuffled(7), shuffled(11));
    let before = resident();

    let start = Instant::now();
    for (&iova, &offset) in iovas.iter().zip(&offsets) {
        table.map(iova * 2 * PAGE, PAGE, RW, Some((reopen(&file), offset * PAGE))).unwrap();
    }
    let mapped = start.elapsed();
    let full = resident();
    let (maps, mappings) = (table.stats().maps, vmas("million"));
    let scattered = resolve_all(table.reader(), &iovas[..100_000]);

    let start = Instant::now();
    let ticket = table.unmap_all();
    let unmapped = start.elapsed();
    assert!(table.is_drained(&ticket));
    let after = resident();

    let per_map = full.saturating_sub(before) as f64 / MAPS as f64;
    println!(
        "memory: {per_map:.1} B per map, {} KiB kept after unmap-all",
        after.saturating_sub(before) / 1024
    );
    println!("map: {:.0} per second; unmap-all of {MAPS}: {unmapped:?}", MAPS as f64 / mapped.as_secs_f64());
    println!("resolve among {MAPS} maps in random order: {scattered:.1} ns");
    assert_eq!((maps as u64, mappings), (MAPS, 1));
    assert!(per_map <= 80.0, "{per_map} bytes per map");
    assert!(after <= before + 4 * MIB, "{before} bytes before, {after} after");
    drop((iovas, offsets));

    range_unmap_gives_back(&table, &file);
    print_worker_path();
}

/// The same for an unmap of a range that is not the whole table.
fn range_unmap_gives_back(table: &DmaTable, file: &File) {
    table.map(u64::MAX - (PAGE - 1), PAGE, RW, Some((reopen(file), 0))).unwrap();
    let before = resident();
    for page in 0..MAPS {
        let offset = page * 7919 % MAPS * PAGE;
        table.map(page * PAGE, PAGE, RW, Some((reopen(file), offset))).unwrap();
    }
    let start = Instant::now();
    let ticket = table.unmap(0, MAPS * PAGE).unwrap();
    println!("range unmap of {MAPS}: {:?}", start.elapsed());
    assert_eq!(ticket.maps(), MAPS);
    let after = resident();
    assert!(after <= before + 4 * MIB, "{before} bytes before, {after} after");
    assert_eq!(table.stats().maps, 1);
}

/// Nanoseconds, for the reader of `--nocapture`: no time is asserted.
fn print_worker_path() {
    let table = DmaTable::new();
    let file = memfd(16_384 * PAGE);
    table.map(1 << 40, 16_384 * PAGE, RW, Some((reopen(&file), 0))).unwrap();
    let mut reader = table.reader();
    let pairs = per_call(100_000, |_| reader = std::mem::replace(&mut reader, table.reader()));
    println!("(making and dropping a reader: {pairs:.1} ns)");
    let mut slot = Some(reader);
    let pinned = best_per_call(200_000, |_| slot = slot.take().map(|reader| reader.pin().unpin()));
    println!("pin and unpin: {pinned:.1} ns");
    let pin = slot.take().unwrap().pin();
    let hit = best_per_call(1_000_000, |i| resolve(&pin, (1 << 40) + i % 100_000 * 64));
    println!("resolve in the lane's last range: {hit:.2} ns");
    let whole = best_per_call(1_000_000, |i| descriptor(&pin, (1 << 40) + i % 256 * 64));
    println!("descriptor of 64 B (three resolves, fetch, copy): {whole:.2} ns");
    drop(pin);

    for (name, distance) in [("in a row", 1), ("every 8th", 8), ("at random in 2^48", 0)] {
        let table = DmaTable::new();
        let pages: Vec<u64> = (0..16_384)
            .map(|i: u64| match distance {
                0 => scrambled(i) >> 28,
                stride => i * stride,
            })
            .collect();
        for (i, page) in (0..).zip(&pages) {
            let offset = i * 7919 % 16_384 * PAGE;
            table.map(page * PAGE, PAGE, RW, Some((reopen(&file), offset))).unwrap();
        }
        let iovas: Vec<u64> = pages.iter().map(|page| page * PAGE).collect();
        let pin = table.reader().pin();
        let pass = || per_call(iovas.len() as u64, |i| resolve(&pin, iovas[i as usize]));
        let first = pass();
        let warm = (0..20).map(|_| pass()).fold(f64::MAX, f64::min);
        println!("resolve of 16,384 pages {name}: {first:.1} ns the first time, {warm:.1} ns after");
    }
}

fn resolve(pin: &Pin, iova: u64) {
    black_box(pin.resolve(Lane::Source, black_box(iova), 64, Want::Read).unwrap());
}

/// What the stages do to memory for one 64-byte copy.
fn descriptor(pin: &Pin, iova: u64) {
    let fetched = pin.resolve(Lane::Descriptor, iova, 64, Want::Read).unwrap();
    let words = access::load_descriptor(&fetched).unwrap();
    let (from, to) = (iova + 0x10_0000 + words[2], iova + 0x20_0000 + words[3]);
    let source = pin.resolve(Lane::Source, from, 64, Want::Read).unwrap();
    let destination = pin.resolve(Lane::Destination, to, 64, Want::Write).unwrap();
    access::copy(&source, &destination);
}

fn resolve_all(reader: Reader, pages: &[u64]) -> f64 {
    let pin = reader.pin();
    per_call(pages.len() as u64, |i| resolve(&pin, pages[i as usize] * 2 * PAGE))
}

/// The best of ten: the least disturbed by what else the machine does.
fn best_per_call(calls: u64, mut call: impl FnMut(u64)) -> f64 {
    (0..10).map(|_| per_call(calls, &mut call)).fold(f64::MAX, f64::min)
}

fn per_call(calls: u64, mut call: impl FnMut(u64)) -> f64 {
    let start = Instant::now();
    for i in 0..calls {
        call(i);
    }
    start.elapsed().max(Duration::from_nanos(1)).as_nanos() as f64 / calls as f64
}

/// A bijection of 64-bit numbers without a pattern (splitmix64's finaliser).
fn scrambled(number: u64) -> u64 {
    let mut z = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The numbers below `MAPS`, in an order that depends on the seed alone.
fn shuffled(seed: u64) -> Vec<u64> {
    let mut numbers: Vec<u64> = (0..MAPS).collect();
    let mut state = seed;
    for i in (1..numbers.len()).rev() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        numbers.swap(i, (state >> 33) as usize % (i + 1));
    }
    numbers
}

/// Resident bytes of this process.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}
