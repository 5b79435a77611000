//! The server as the `vfio_user` crate's client sees it: an independent codec, written by other people.
//!
//! That client waits forever for the rest of an error reply, so it is used on success paths only, with a time limit.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod server_support;

use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::Ordering;
use std::sync::mpsc::channel;

use server_support::{
    BIG_BAR, CONFIG_BYTES, Fixture, MSIX_VECTORS, PATIENCE, SMALL_BAR, SMALL_BAR_BYTES, count, eventfd,
    eventually, memory_file,
};
use vfio_user::Client;
use vfio_user_ioat::server::{Signal, flag, irq, region};

/// Runs `session` in a thread, because the client has no time limit of its own.
fn with_client(fixture: &Fixture, session: impl FnOnce(Client) + Send + 'static) {
    let path = fixture.path.clone();
    let (done, finished) = channel();
    let thread = std::thread::spawn(move || {
        session(Client::new(&path).unwrap());
        done.send(()).unwrap();
    });
    if finished.recv_timeout(PATIENCE) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
        panic!("the client still waits for a reply");
    }
    thread.join().unwrap();
}

#[test]
fn v87_client_negotiates_and_learns_the_regions() {
    let fixture = Fixture::start();
    with_client(&fixture, |client| {
        let config = client.region(region::CONFIG).unwrap();
        assert_eq!((config.size, config.flags), (CONFIG_BYTES, region::READ | region::WRITE));
        let bar = client.region(SMALL_BAR).unwrap();
        assert_eq!((bar.size, bar.flags), (SMALL_BAR_BYTES, region::READ | region::WRITE));
        assert!(bar.file_offset.is_none() && bar.sparse_areas.is_empty());
        let absent = client.region(5).unwrap();
        assert_eq!((absent.size, absent.flags), (0, 0));
        // The client's answer is the inverse of what the device says.
        assert!(!client.resettable());
    });
}

#[test]
fn v87_client_reads_back_what_it_wrote() {
    let fixture = Fixture::start();
    with_client(&fixture, |mut client| {
        let pattern: Vec<u8> = (0..100_000u32).map(|n| n.to_le_bytes()[0]).collect();
        client.region_write(BIG_BAR, 0x1234, &pattern).unwrap();
        let mut back = vec![0; pattern.len()];
        client.region_read(BIG_BAR, 0x1234, &mut back).unwrap();
        assert!(back == pattern);
        let mut config = vec![0xff; 4096];
        client.region_read(region::CONFIG, 0, &mut config).unwrap();
        assert!(config == vec![0; 4096]);
    });
}

#[test]
fn v87_client_maps_and_unmaps_memory() {
    let fixture = Fixture::start();
    let device = fixture.device.clone();
    with_client(&fixture, move |mut client| {
        let memory = memory_file(0x4000);
        client.dma_map(0x1000, 0x10_0000, 0x2000, memory.as_raw_fd()).unwrap();
        {
            let maps = device.maps.lock().unwrap();
            let map = &maps[&0x10_0000];
            assert_eq!((map.size, map.offset, map.read, map.write), (0x2000, 0x1000, true, true));
            assert_eq!(map.file.as_ref().unwrap().metadata().unwrap().len(), 0x4000);
        }
        client.dma_unmap(0x10_0000, 0x2000).unwrap();
        assert_eq!(device.mapped(), []);
    });
}

#[test]
fn v87_client_gets_its_interrupts() {
    let fixture = Fixture::start();
    let device = fixture.device.clone();
    with_client(&fixture, move |mut client| {
        let info = client.get_irq_info(irq::MSIX).unwrap();
        assert_eq!((info.index, info.flags, info.count), (irq::MSIX, irq::EVENTFD, MSIX_VECTORS));
        let eventfds: Vec<_> = (0..16).map(|_| eventfd()).collect();
        let fds: Vec<RawFd> = eventfds.iter().map(|fd| fd.as_raw_fd()).collect();
        let assign = flag::IRQ_DATA_EVENTFD | flag::IRQ_TRIGGER;
        client.set_irqs(irq::MSIX, assign, 0, 16, &fds).unwrap();
        for vector in 0..16 {
            assert_eq!(device.irqs.signal(irq::MSIX, vector), Signal::Delivered);
        }
        assert_eq!(eventfds.iter().map(count).collect::<Vec<_>>(), vec![1; 16]);
        client.set_irqs(irq::MSIX, flag::IRQ_DATA_NONE | flag::IRQ_TRIGGER, 0, 0, &[]).unwrap();
        assert_eq!(device.irqs.signal(irq::MSIX, 0), Signal::Dropped);
    });
}

#[test]
fn v87_client_resets_and_leaves() {
    let fixture = Fixture::start();
    let device = fixture.device.clone();
    with_client(&fixture, move |mut client| {
        let memory = memory_file(0x1000);
        client.dma_map(0, 0, 0x1000, memory.as_raw_fd()).unwrap();
        client.reset().unwrap();
        assert_eq!(device.resets.load(Ordering::SeqCst), 1);
        assert_eq!(device.mapped(), [(0, 0x1000)]);
        client.shutdown().unwrap();
    });
    eventually("the device hears of it", || fixture.device.departures.load(Ordering::SeqCst) == 1);
    assert_eq!(fixture.device.mapped(), []);
    with_client(&fixture, |_| {});
}
