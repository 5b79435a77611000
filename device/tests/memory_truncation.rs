//! A client that truncates its memory under the device (R40, statement 71).

#[path = "memory_support/mod.rs"]
mod support;

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::sync::atomic::Ordering;
use std::{env, thread};

use support::{PAGE, drained, memfd, named_memfd, reopen, vmas};
use vfio_user_ioat::memory::{Access, Denied, DmaTable, GuestMemory, Lane, Want, access};
use vm_memory::{Bytes, FileOffset, MmapRegion, VolatileMemory};

const RW: Access = Access::READ_WRITE;

#[test]
fn c_71_copy_into_a_truncated_file_poisons_the_pin_and_the_process_lives() {
    let table = DmaTable::new();
    let (victim, sound) = (named_memfd("truncated", 64 * PAGE), memfd(64 * PAGE));
    table.map(0x10_0000, 64 * PAGE, RW, Some((reopen(&victim), 0))).unwrap();
    table.map(0x20_0000, 64 * PAGE, RW, Some((reopen(&sound), 0))).unwrap();
    let pin = table.reader().pin();
    let source = pin.resolve(Lane::Source, 0x20_0000, 64 * PAGE, Want::Read).unwrap();
    let destination = pin.resolve(Lane::Destination, 0x10_0000, 64 * PAGE, Want::Write).unwrap();

    access::copy(&source, &destination);
    let before = pin.poisoned();
    victim.set_len(3 * PAGE).unwrap();
    access::copy(&source, &destination);
    access::copy(&destination, &source);
    let after = pin.poisoned();

    assert!(!before);
    assert!(after);
    assert_eq!(table.stats().truncations, 1, "one repair covers the rest of the file");
    let pin = pin.unpin().pin();
    assert!(!pin.poisoned(), "a new pin starts clean");
    assert_eq!(
        pin.resolve(Lane::Source, 0x10_0000, 8, Want::Read).unwrap_err(),
        Denied::Truncated { iova: 0x10_0000 }
    );
    assert!(pin.resolve(Lane::Source, 0x20_0000, 8, Want::Read).is_ok());
}

#[test]
fn truncated_file_that_is_mapped_anew_works_again() {
    let table = DmaTable::new();
    let file = named_memfd("mapped-anew", 4 * PAGE);
    table.map(0x10_0000, 4 * PAGE, RW, Some((reopen(&file), 0))).unwrap();
    let pin = table.reader().pin();
    let slice = pin.resolve(Lane::Destination, 0x10_2000, 8, Want::Write).unwrap();
    file.set_len(0).unwrap();
    access::store_u64(&slice, 1).unwrap();
    assert!(pin.poisoned());
    let reader = pin.unpin();

    file.set_len(8 * PAGE).unwrap();
    table.map(0x20_0000, 4 * PAGE, RW, Some((reopen(&file), 0))).unwrap();
    let pin = reader.pin();
    let anew = pin.resolve(Lane::Destination, 0x20_2000, 8, Want::Write).unwrap();
    access::store_u64(&anew, 7).unwrap();

    assert_eq!(support::peek(&file, 2 * PAGE, 8), 7_u64.to_le_bytes());
    drop(pin);
    let ticket = table.unmap_all();
    drained(&table, ticket);
    assert_eq!(vmas("mapped-anew"), 0);
}

#[test]
fn truncation_under_a_running_copy_is_survived() {
    let table = DmaTable::new();
    let file = memfd(256 * PAGE);
    let scratch = memfd(256 * PAGE);
    table.map(0, 256 * PAGE, RW, Some((scratch, 0))).unwrap();
    let copier = {
        let table = std::sync::Arc::clone(&table);
        table.map(1 << 32, 256 * PAGE, RW, Some((reopen(&file), 0))).unwrap();
        thread::spawn(move || {
            let pin = table.reader().pin();
            let source = pin.resolve(Lane::Source, 1 << 32, 256 * PAGE, Want::Read).unwrap();
            let destination = pin.resolve(Lane::Destination, 0, 256 * PAGE, Want::Write).unwrap();
            let mut copies = 0;
            while !pin.poisoned() {
                access::copy(&source, &destination);
                copies += 1;
                assert!(copies < 10_000_000, "the truncation was never seen");
            }
        })
    };

    thread::sleep(std::time::Duration::from_millis(5));
    file.set_len(PAGE).unwrap();

    copier.join().unwrap();
    assert!(table.stats().truncations >= 1);
}

/// A hugetlb file maps whole, by 4 KiB-aligned parts, whether or not the machine has huge pages left; where it has
/// none, the touch raises SIGBUS, and the repair must cover whole huge pages.
#[test]
fn c_70_hugetlb_file_serves_small_maps_or_poisons() {
    const HUGE: u64 = 2 * 1024 * 1024;
    let has_pages = support::free_huge_pages() >= 2;
    let table = DmaTable::new();
    let file = support::huge_memfd(2 * HUGE);
    table.map(0x10_0000, 0xc_3000, RW, Some((reopen(&file), 0x1000))).unwrap();
    table.map(0x80_0000, PAGE, RW, Some((reopen(&file), HUGE + 0x5000))).unwrap();
    let pin = table.reader().pin();

    let slice = pin.resolve(Lane::Destination, 0x80_0008, 8, Want::Write).unwrap();
    access::store_u64(&slice, 77).unwrap();

    assert_eq!(pin.poisoned(), !has_pages, "{} free huge pages", support::free_huge_pages());
    assert_eq!(access::load_u64(&slice).unwrap(), 77);
    let pin = pin.unpin().pin();
    let next = pin.resolve(Lane::Source, 0x10_0000, 8, Want::Read).map(|_| ());
    let expected = if has_pages { Ok(()) } else { Err(Denied::Truncated { iova: 0x10_0000 }) };
    assert_eq!(next, expected);
    assert_eq!(vmas("huge"), 1);
    drop(pin);
    let ticket = table.unmap_all();
    assert!(table.is_drained(&ticket));
    assert_eq!((table.stats().limbo, vmas("huge")), (0, 0));
}

/// Runs itself again as a process that takes a SIGBUS that is not ours, and must die of it.
#[test]
fn foreign_sigbus_still_kills() {
    const MARK: &str = "MEMORY_TEST_FOREIGN_SIGBUS";
    if let Ok(kind) = env::var(MARK) {
        let table = DmaTable::new();
        table.map(0, PAGE, RW, Some((memfd(PAGE), 0))).unwrap();
        if kind == "sent" {
            support::raise(libc::SIGBUS);
        } else {
            let file = memfd(PAGE);
            let foreign = MmapRegion::<()>::from_file(FileOffset::new(reopen(&file), 0), 4096).unwrap();
            file.set_len(0).unwrap();
            foreign.as_volatile_slice().store(1_u64, 0, Ordering::Relaxed).unwrap();
        }
        return;
    }

    for kind in ["sent", "fault"] {
        let status = Command::new(env::current_exe().unwrap())
            .args(["--exact", "foreign_sigbus_still_kills"])
            .env(MARK, kind)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .unwrap();

        assert_eq!(status.signal(), Some(libc::SIGBUS), "{kind}: {status}");
    }
}
