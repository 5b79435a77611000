//! Pins: what an unmap may and may not do while a worker uses the range (R38, R39; statements 66 and 67).
#![expect(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "test code may panic, and runs on 64-bit hosts"
)]

#[path = "memory_support/mod.rs"]
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use support::{PAGE, drained, memfd, named_memfd, peek, poke, reopen, vmas};
use vfio_user_ioat::memory::{Access, Denied, DmaTable, GuestMemory, Lane, Pin, Want, access};

const RW: Access = Access::READ_WRITE;

#[test]
fn unmap_asks_older_pins_to_yield_and_drains_when_they_end() {
    let table = DmaTable::new();
    table.map(0x1000, PAGE, RW, Some((memfd(PAGE), 0))).unwrap();
    let old = table.reader().pin();

    let ticket = table.unmap(0x1000, PAGE).unwrap();
    let young = table.reader().pin();

    assert!(old.yield_requested());
    assert!(!young.yield_requested());
    assert!(!table.is_drained(&ticket));
    let reader = old.unpin();
    assert!(table.is_drained(&ticket), "a younger pin does not hold it up");
    assert!(!reader.pin().yield_requested());
}

#[test]
fn unmap_of_nothing_disturbs_nobody() {
    let table = DmaTable::new();
    let pin = table.reader().pin();

    let ticket = table.unmap(0x1000, PAGE).unwrap();

    assert!(!pin.yield_requested());
    assert!(table.is_drained(&ticket));
}

#[test]
fn mapping_outlives_its_unmap_until_the_pin_ends() {
    let table = DmaTable::new();
    let file = named_memfd("limbo", PAGE);
    poke(&file, 0, b"still");
    table.map(0x1000, PAGE, RW, Some((reopen(&file), 0))).unwrap();
    let pin = table.reader().pin();
    let slice = pin.resolve(Lane::Source, 0x1000, 5, Want::Read).unwrap();

    let ticket = table.unmap(0x1000, PAGE).unwrap();
    // What a caller that does not wait may do next.
    table.map(0x1000, PAGE, RW, Some((memfd(PAGE), 0))).unwrap();
    let _ = table.unmap_all();
    let mut seen = [0; 5];
    slice.copy_to(&mut seen);

    assert_eq!(&seen, b"still");
    assert_eq!((vmas("limbo"), table.stats().limbo), (1, 2));
    drop(pin);
    assert!(table.is_drained(&ticket));
    assert_eq!((vmas("limbo"), table.stats().limbo), (0, 0));
}

#[test]
fn dropping_a_reader_or_a_pin_drains() {
    let table = DmaTable::new();
    table.map(0x1000, PAGE, RW, None).unwrap();
    let reader = table.reader();
    let pin = table.reader().pin();
    let ticket = table.unmap_all();

    drop(reader);
    let before = table.is_drained(&ticket);
    drop(pin);

    assert!(!before);
    assert!(table.is_drained(&ticket));
}

#[test]
fn map_does_not_wait_for_a_pin_that_an_unmap_waits_for() {
    let table = DmaTable::new();
    let file = memfd(2 * PAGE);
    table.map(0x1000, PAGE, RW, Some((reopen(&file), 0))).unwrap();
    let pin = table.reader().pin();
    let ticket = table.unmap(0x1000, PAGE).unwrap();

    table.map(0x8000, PAGE, RW, Some((reopen(&file), PAGE))).unwrap();

    assert!(pin.resolve(Lane::Source, 0x8000, 8, Want::Read).is_ok());
    assert!(!table.is_drained(&ticket));
}

#[test]
fn range_mapped_anew_to_other_bytes_is_not_served_from_any_cache() {
    let table = DmaTable::new();
    let file = memfd(1024 * PAGE);
    for page in 0..1024 {
        poke(&file, page * PAGE, &page.to_le_bytes());
    }
    let read =
        |pin: &Pin, iova| access::load_u64(&pin.resolve(Lane::Source, iova, 8, Want::Read).unwrap()).unwrap();
    let mut reader = table.reader();
    // Two rounds fill the look-aside buffer and hit it; more than 512 generations reuse its tags.
    for generation in 0..600 {
        for page in 0..128 {
            let offset = (page * 5 + generation) % 1024;
            table.map(page * 2 * PAGE, PAGE, RW, Some((reopen(&file), offset * PAGE))).unwrap();
        }
        let pin = reader.pin();
        for page in (0..128).chain(0..128) {
            assert_eq!(read(&pin, page * 2 * PAGE), (page * 5 + generation) % 1024);
        }
        reader = pin.unpin();
        let ticket = table.unmap_all();
        assert!(table.is_drained(&ticket));
    }
}

#[test]
fn permission_is_checked_on_every_kind_of_hit() {
    let table = DmaTable::new();
    let file = memfd(512 * PAGE);
    for page in 0..256 {
        let access = if page % 2 == 0 { Access::READ } else { RW };
        table.map(page * PAGE, PAGE, access, Some((reopen(&file), (511 - page) * PAGE))).unwrap();
    }
    let pin = table.reader().pin();

    for _ in 0..3 {
        for page in 0..256 {
            let iova = page * PAGE;
            pin.resolve(Lane::Source, iova, PAGE, Want::Read).unwrap();
            let write = pin.resolve(Lane::Source, iova, PAGE, Want::Write).map(|_| ());
            let expected = if page % 2 == 0 { Err(Denied::ReadOnly { iova }) } else { Ok(()) };
            assert_eq!(write, expected);
        }
    }
}

/// Four workers copy through sixteen ranges that are unmapped under them. Once a range is drained the test owns its file
/// bytes and writes a canary there: no worker may change it.
#[test]
fn r39_no_access_after_drained_while_four_threads_copy() {
    const RANGE: u64 = 16 * PAGE;
    let table = DmaTable::new();
    let file = memfd(16 * RANGE);
    let source = memfd(RANGE);
    poke(&source, 0, &[0xee; RANGE as usize]);
    table.map(1 << 40, RANGE, Access::READ, Some((source, 0))).unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let copies = Arc::new(AtomicU64::new(0));
    let workers: Vec<_> = (0..4_u64)
        .map(|worker| {
            let (stop, copies) = (Arc::clone(&stop), Arc::clone(&copies));
            let mut reader = table.reader();
            thread::spawn(move || {
                let mut step = worker;
                while !stop.load(Ordering::Relaxed) {
                    let pin = reader.pin();
                    for _ in 0..64 {
                        step = step.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                        copies.fetch_add(copy_somewhere(&pin, (step >> 33) % 256), Ordering::Relaxed);
                        if pin.yield_requested() {
                            break;
                        }
                    }
                    reader = pin.unpin();
                    thread::yield_now();
                }
            })
        })
        .collect();

    let deadline = Instant::now() + Duration::from_secs(60);
    let mut rounds = 0_u64;
    while rounds < 400 || copies.load(Ordering::Relaxed) < 2000 {
        assert!(Instant::now() < deadline, "{rounds} rounds, {} copies", copies.load(Ordering::Relaxed));
        let range = rounds % 16;
        let (iova, offset) = (range * RANGE, range * RANGE);
        for page in 0..16 {
            let (at, from) = (page * PAGE, offset + (15 - page) * PAGE);
            table.map(iova + at, PAGE, RW, Some((reopen(&file), from))).unwrap();
        }
        if rounds >= 8 {
            // Unmap one that has been in use for a while.
            let victim = (rounds - 8) % 16 * RANGE;
            let ticket = table.unmap(victim, RANGE).unwrap();
            assert_eq!(ticket.maps(), 16);
            drained(&table, ticket);
            poke(&file, victim, &[0x11; RANGE as usize]);
            thread::sleep(Duration::from_micros(200));
            let touched = peek(&file, victim, RANGE as usize).iter().position(|&byte| byte != 0x11);
            assert_eq!(touched, None, "round {rounds}");
        }
        rounds += 1;
    }
    stop.store(true, Ordering::Relaxed);
    for worker in workers {
        worker.join().unwrap();
    }
    let ticket = table.unmap_all();
    assert!(table.is_drained(&ticket));
    assert_eq!(table.stats().limbo, 0);
}

/// Copies a page to the page `number`, if it is mapped.
fn copy_somewhere(pin: &Pin, number: u64) -> u64 {
    let source = pin.resolve(Lane::Source, 1 << 40, PAGE, Want::Read).unwrap();
    match pin.resolve(Lane::Destination, number * PAGE, PAGE, Want::Write) {
        Ok(destination) => {
            // Now and then the worker loses its processor in the middle, with the range in hand.
            if number % 4 == 0 {
                thread::sleep(Duration::from_micros(300));
            }
            access::copy(&source, &destination);
            1
        }
        Err(Denied::Unmapped { .. }) => 0,
        Err(other) => panic!("{other}"),
    }
}
