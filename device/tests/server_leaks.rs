//! What a hostile client costs: descriptors, threads and memory, counted. One test at a time, because the process is counted.
#![expect(clippy::cast_possible_truncation, reason = "test patterns are cut from counters")]

mod server_support;

use std::collections::BTreeSet;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, MutexGuard, PoisonError};

use server_support::{
    EINVAL, Fixture, RawClient, command, eventfd, eventually, header, irq_body, map_body, memory_file,
    message, open_fds, status_field, unmap_body, version_body, words,
};

fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn r22_ten_thousand_bad_messages_leak_no_descriptor() {
    let _alone = alone();
    let fixture = Fixture::start();
    let (memory, event) = (memory_file(0x1000), eventfd());
    let (file, other) = (memory.as_raw_fd(), event.as_raw_fd());
    // Each with descriptors that nobody may keep.
    let bad: Vec<(u16, Vec<u8>, Vec<i32>)> = vec![
        (command::DEVICE_GET_INFO, words(&[16, 0, 0, 0]), vec![file]),
        (command::DMA_MAP, map_body(3, 0, 0, 0), vec![file]),
        (command::DMA_MAP, map_body(3, 0, 0, 0x2000), vec![file]),
        (command::DMA_MAP, map_body(3, 0, 0, 0x1000), vec![other]),
        (command::DMA_MAP, map_body(3, 0, 0, 0x1000), vec![file, file]),
        (command::DMA_MAP, vec![0; 3], vec![file]),
        (command::DMA_UNMAP, unmap_body(0, 0, 1), vec![file]),
        (command::DEVICE_SET_IRQS, irq_body(0x24, 2, 0, 2), vec![other, file]),
        (command::DEVICE_SET_IRQS, irq_body(0x24, 2, 31, 2), vec![other; 2]),
        (command::DEVICE_SET_IRQS, irq_body(0x21, 2, 0, 2), vec![other; 2]),
        (command::DEVICE_SET_IRQS, irq_body(0x24, 2, 0, 17), vec![other; 17]),
        (command::REGION_WRITE, vec![], vec![file; 16]),
        (99, vec![1; 100], vec![other; 64]),
    ];
    let mut client = fixture.client();
    let before = open_fds();
    for _ in 0..10_000 / bad.len() + 1 {
        for (command, body, fds) in &bad {
            assert_ne!(client.ask_with_fds(*command, body, fds).errno(), 0);
        }
    }
    assert_eq!(open_fds(), before);
}

#[test]
fn r22_descriptors_in_odd_places_leak_nothing() {
    let _alone = alone();
    let fixture = Fixture::start();
    let memory = memory_file(0x1000);
    let fds = [memory.as_raw_fd(); 8];
    let mut client = fixture.client();
    let before = open_fds();
    let map = message(1, command::DMA_MAP, 0, &map_body(3, 0, 0, 0x1000));
    for _ in 0..500 {
        // Eight with every few bytes.
        for part in map.chunks(5) {
            client.send(part, &fds);
        }
        assert_eq!(client.receive().errno(), EINVAL);
    }
    assert_eq!(open_fds(), before);
    // A client that leaves in the middle.
    for _ in 0..100 {
        drop(client);
        client = fixture.client();
        client.send(&map[..20], &fds[..1]);
    }
    drop(client);
    eventually("the last session is over", || fixture.device.departures.load(Ordering::SeqCst) == 101);
    eventually("its descriptors are closed", || open_fds() < before);
}

#[test]
fn v48_v49_v50_eventfds_that_are_replaced_or_taken_back_are_closed() {
    let _alone = alone();
    let fixture = Fixture::start();
    let event = eventfd();
    let mut client = fixture.client();
    let before = open_fds();
    for _ in 0..10 {
        assert_eq!(client.set_irqs(0x24, 2, 0, 16, &[&event; 16]), 0);
    }
    assert_eq!(open_fds(), before + 16);
    assert_eq!(client.set_irqs(0x24, 2, 4, 8, &[]), 0);
    assert_eq!(open_fds(), before + 8);
    assert_eq!(client.set_irqs(0x21, 2, 0, 0, &[]), 0);
    assert_eq!(open_fds(), before);
    // The one that unmasks INTx, too.
    for _ in 0..10 {
        assert_eq!(client.set_irqs(0x14, 0, 0, 1, &[&event]), 0);
    }
    assert_eq!(open_fds(), before + 1);
    assert_eq!(client.set_irqs(0x21, 0, 0, 0, &[]), 0);
    assert_eq!(open_fds(), before);
}

#[test]
fn r20_received_descriptors_are_not_inherited_by_children() {
    let _alone = alone();
    let fixture = Fixture::start();
    let event = eventfd();
    let mut client = fixture.client();
    let eventfds = || -> BTreeSet<PathBuf> {
        let links = std::fs::read_dir("/proc/self/fd").unwrap().map(|entry| entry.unwrap().path());
        links
            .filter(|link| std::fs::read_link(link).is_ok_and(|to| to.ends_with("anon_inode:[eventfd]")))
            .collect()
    };
    let before = eventfds();
    assert_eq!(client.set_irqs(0x24, 2, 0, 1, &[&event]), 0);
    let flags: Vec<i32> = eventfds()
        .difference(&before)
        .map(|link| {
            let number = link.file_name().unwrap().to_str().unwrap();
            let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{number}")).unwrap();
            let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).unwrap();
            i32::from_str_radix(flags.trim(), 8).unwrap()
        })
        .collect();
    assert_eq!(flags.len(), 1);
    assert_eq!(flags[0] & libc::O_CLOEXEC, libc::O_CLOEXEC);
    assert_eq!(flags[0] & libc::O_NONBLOCK, libc::O_NONBLOCK);
}

#[test]
fn v82_a_thousand_sessions_leave_nothing_behind() {
    let _alone = alone();
    let fixture = Fixture::start();
    fixture.assert_serves();
    eventually("the first client is gone", || fixture.device.departures.load(Ordering::SeqCst) == 1);
    let sessions = |many: u32| {
        let done = fixture.device.departures.load(Ordering::SeqCst);
        for _ in 0..many {
            drop(fixture.client());
        }
        eventually("all are over", || fixture.device.departures.load(Ordering::SeqCst) == done + many);
    };
    sessions(100);
    let before = (status_field("Threads:"), status_field("VmRSS:"));
    let fds = open_fds();
    sessions(900);
    eventually("the descriptors are closed", || open_fds() <= fds);
    assert_eq!(status_field("Threads:"), before.0);
    let grown = status_field("VmRSS:").saturating_sub(before.1);
    assert!(grown < 2048, "{grown} KiB");
}

#[test]
fn v20_numbers_on_the_wire_allocate_nothing() {
    let _alone = alone();
    let fixture = Fixture::start();
    fixture.assert_serves();
    let before = status_field("VmHWM:");
    for size in [0xffff_ffff, 0x8000_0000, 0x4000_0000] {
        for command in [1, 2, 8, 9, 10, 15, 16, 99] {
            let mut client = fixture.client();
            client.send(&header(1, command, size, 0), &[]);
            assert_eq!(client.receive().errno(), EINVAL);
            client.assert_closed();
        }
    }
    let mut client = fixture.client();
    for region in 0..9 {
        assert_eq!(client.read(region, 0, u32::MAX).errno(), EINVAL);
    }
    for data in [0x21, 0x22, 0x24] {
        let body = irq_body(data, 2, 0, u32::MAX);
        assert_eq!(client.ask(command::DEVICE_SET_IRQS, &body).errno(), EINVAL);
    }
    drop(client);
    // JSON that would grow when it is parsed.
    let mut client = RawClient::connect(&fixture.path);
    let array = ["{\"capabilities\":{\"x\":[", &"0,".repeat(400_000), "0]}}"].concat();
    assert_eq!(client.ask(command::VERSION, &version_body(0, 0, array.as_bytes())).errno(), EINVAL);
    drop(client);
    // The message itself, in the client and in the server, and their buffers.
    let grown = status_field("VmHWM:") - before;
    assert!(grown < 16 * 1024, "{grown} KiB");
}

#[test]
fn r21_descriptors_that_do_not_fit_into_the_process_are_survived() {
    let _alone = alone();
    let fixture = Fixture::start();
    let event = eventfd();
    let mut client = fixture.client();
    let before = open_fds();
    // Room for four more descriptors than are open now.
    let mut room = Vec::new();
    let limit = u64::try_from(event.try_clone().unwrap().as_raw_fd()).unwrap() + 5;
    let old = limits::files();
    limits::set_files(limit, old.1);
    while let Ok(more) = event.try_clone() {
        room.push(more);
    }
    room.truncate(room.len().saturating_sub(4));
    // Four of the sixteen arrive, as many as the message speaks of; they are not what the client meant.
    let four = irq_body(0x24, 2, 0, 4);
    let reply = client.ask_with_fds(command::DEVICE_SET_IRQS, &four, &[event.as_raw_fd(); 16]);
    let after = client.set_irqs(0x24, 2, 0, 1, &[&event]);
    limits::set_files(old.0, old.1);
    assert_eq!((reply.errno(), after), (EINVAL, 0));
    drop(room);
    assert_eq!(open_fds(), before + 1);
    client.assert_in_step();
}

mod limits {
    //! RLIMIT_NOFILE of this process.
    #![expect(unsafe_code, reason = "there is no safe interface to resource limits here")]

    pub(crate) fn files() -> (u64, u64) {
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: the pointer is to a `rlimit` that outlives the call.
        assert_eq!(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) }, 0);
        (limit.rlim_cur, limit.rlim_max)
    }

    pub(crate) fn set_files(soft: u64, hard: u64) {
        let limit = libc::rlimit { rlim_cur: soft, rlim_max: hard };
        // SAFETY: the pointer is to a `rlimit` that outlives the call.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) }, 0);
    }
}

#[test]
fn a_message_of_any_size_is_within_the_bound() {
    let _alone = alone();
    let fixture = Fixture::start();
    let mut client = fixture.client();
    for size in [0usize, 1, 16, 1 << 10, 1 << 16, 1 << 20] {
        assert_ne!(client.ask(99, &vec![size as u8; size]).errno(), 0);
    }
    client.assert_in_step();
}
