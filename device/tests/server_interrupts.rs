//! Interrupts: statements 45 to 56 of the server's specification, through raw bytes and real eventfds.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod server_support;

use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use server_support::{
    EINVAL, Fixture, MSIX_VECTORS, RawClient, command, count, eventfd, eventually, irq_body, open_fds,
};
use vfio_user_ioat::server::{Signal, flag, irq};
use vmm_sys_util::eventfd::EventFd;

const ASSIGN: u32 = flag::IRQ_DATA_EVENTFD | flag::IRQ_TRIGGER;
const TRIGGER: u32 = flag::IRQ_DATA_NONE | flag::IRQ_TRIGGER;
const TRIGGER_WHERE: u32 = flag::IRQ_DATA_BOOL | flag::IRQ_TRIGGER;

/// Assigns `eventfds` to the MSI-X vectors from `start`.
fn assign(client: &mut RawClient, start: u32, eventfds: &[&EventFd]) {
    let count = u32::try_from(eventfds.len()).unwrap();
    assert_eq!(client.set_irqs(ASSIGN, irq::MSIX, start, count, eventfds), 0);
}

#[test]
fn v45_msix_is_enabled_by_a_vector_without_eventfd() {
    let fixture = Fixture::start();
    let mut client = fixture.client();
    let irqs = &fixture.device.irqs;
    assert!(!irqs.enabled(irq::MSIX));
    assert_eq!(irqs.signal(irq::MSIX, 0), Signal::Dropped);
    assert_eq!(client.set_irqs(ASSIGN, irq::MSIX, 0, 1, &[]), 0);
    assert!(irqs.enabled(irq::MSIX));
    assert!(!irqs.enabled(irq::INTX));
    assert_eq!(irqs.pending_word(irq::MSIX, 0), 0);
}

#[test]
fn v46_one_vector_reaches_one_eventfd() {
    let fixture = Fixture::start();
    let mut client = fixture.client();
    let (zero, three) = (eventfd(), eventfd());
    assign(&mut client, 0, &[&zero]);
    assign(&mut client, 3, &[&three]);
    assert_eq!(fixture.device.irqs.signal(irq::MSIX, 3), Signal::Delivered);
    assert_eq!((count(&zero), count(&three)), (0, 1));
}

#[test]
fn v47_vectors_come_in_blocks() {
    let fixture = Fixture::start();
    let mut client = fixture.client();
    let eventfds: Vec<EventFd> = (0..20).map(|_| eventfd()).collect();
    let all: Vec<&EventFd> = eventfds.iter().collect();
    assign(&mut client, 0, &all[..16]);
    assign(&mut client, 16, &all[16..]);
    for vector in 0..20 {
        fixture.device.irqs.signal(irq::MSIX, vector);
    }
    assert_eq!(eventfds.iter().map(count).collect::<Vec<_>>(), vec![1; 20]);
}

#[test]
fn v48_a_new_eventfd_replaces_the_old() {
    let fixture = Fixture::start();
    let mut client = fixture.client();
    let (old, new) = (eventfd(), eventfd());
    assign(&mut client, 5, &[&old]);
    assign(&mut client, 5, &[&new]);
    fixture.device.irqs.signal(irq::MSIX, 5);
    assert_eq!((count(&old), count(&new)), (0, 1));
}

#[test]
fn v49_deassigning_takes_exactly_its_range() {
    let fixture = Fixture::start();
    let mut client = fixture.client();
    let eventfds: Vec<EventFd> = (0..8).map(|_| eventfd()).collect();
    assign(&mut client, 0, &eventfds.iter().collect::<Vec<_>>());
    assert_eq!(client.set_irqs(ASSIGN, irq::MSIX, 3, 2, &[]), 0);
    for vector in 0..8 {
        fixture.device.irqs.signal(irq::MSIX, vector);
    }
    assert_eq!(eventfds.iter().map(count).collect::<Vec<_>>(), [1, 1, 1, 0, 0, 1, 1, 1]);
    assert_eq!(fixture.device.irqs.pending_word(irq::MSIX, 0), 0b1_1000);
}

#[test]
fn v50_disabling_an_index_leaves_the_others() {
    let fixture = Fixture::start();
    let mut client = fixture.client();
    let (msix, error) = (eventfd(), eventfd());
    assign(&mut client, 0, &[&msix]);
    assert_eq!(client.set_irqs(ASSIGN, irq::ERR, 0, 1, &[&error]), 0);
    assert_eq!(client.set_irqs(TRIGGER, irq::MSIX, 0, 0, &[]), 0);
    let irqs = &fixture.device.irqs;
    assert!(!irqs.enabled(irq::MSIX));
    assert_eq!(irqs.signal(irq::MSIX, 0), Signal::Dropped);
    assert_eq!(irqs.signal(irq::ERR, 0), Signal::Delivered);
    assert_eq!((count(&msix), count(&error)), (0, 1));
    // Disabling what is disabled, or absent, is nothing special.
    for index in 0..5 {
        assert_eq!(client.set_irqs(TRIGGER, index, 0, 0, &[]), 0);
    }
}

#[test]
fn v51_the_client_can_trigger_vectors() {
    let fixture = Fixture::start();
    let mut client = fixture.client();
    let eventfds: Vec<EventFd> = (0..4).map(|_| eventfd()).collect();
    assign(&mut client, 0, &eventfds.iter().collect::<Vec<_>>());
    assert_eq!(client.set_irqs(TRIGGER, irq::MSIX, 1, 1, &[]), 0);
    assert_eq!(eventfds.iter().map(count).collect::<Vec<_>>(), [0, 1, 0, 0]);
    let body = [irq_body(TRIGGER_WHERE, irq::MSIX, 0, 4), vec![1, 0, 0, 0xff]].concat();
    assert_eq!(client.ask(command::DEVICE_SET_IRQS, &body).errno(), 0);
    assert_eq!(eventfds.iter().map(count).collect::<Vec<_>>(), [1, 0, 0, 1]);
}

/// What is wrong; then flags, index, start, count, bytes after the structure, descriptors.
type Malformed<'a> = (&'a str, u32, u32, u32, u32, usize, &'a [i32]);

#[test]
fn v52_malformed_set_irqs_is_refused() {
    let fixture = Fixture::start();
    let mut client = fixture.client();
    let event = eventfd();
    let (two, none): (&[_], &[_]) = (&[event.as_raw_fd(); 2], &[]);
    let (n, b, e) = (flag::IRQ_DATA_NONE, flag::IRQ_DATA_BOOL, flag::IRQ_DATA_EVENTFD);
    let (mask, unmask, trigger) = (flag::IRQ_MASK, flag::IRQ_UNMASK, flag::IRQ_TRIGGER);
    let cases: Vec<Malformed<'_>> = vec![
        ("fewer descriptors than vectors", e | trigger, 2, 0, 3, 0, two),
        ("more descriptors than vectors", e | trigger, 2, 0, 1, 0, two),
        ("descriptors with NONE", n | trigger, 2, 0, 2, 0, two),
        ("descriptors with count 0", n | trigger, 2, 0, 0, 0, two),
        ("descriptors with BOOL", b | trigger, 2, 0, 2, 2, two),
        ("two actions", n | mask | trigger, 2, 0, 1, 0, none),
        ("no action", n, 2, 0, 1, 0, none),
        ("two kinds of data", n | e | trigger, 2, 0, 1, 0, none),
        ("no kind of data", trigger, 2, 0, 1, 0, none),
        ("unknown flag", n | trigger | 1 << 6, 2, 0, 1, 0, none),
        ("start + count wraps", n | trigger, 2, u32::MAX, 2, 0, none),
        ("behind the last vector", n | trigger, 2, MSIX_VECTORS, 1, 0, none),
        ("over the last vector", e | trigger, 2, MSIX_VECTORS - 1, 2, 0, two),
        ("a count to allocate by", e | trigger, 2, 0, u32::MAX, 0, none),
        ("BOOL too short", b | trigger, 2, 0, 4, 3, none),
        ("BOOL too long", b | trigger, 2, 0, 4, 5, none),
        ("BOOL of 4 GiB", b | trigger, 2, 0, u32::MAX, 8, none),
        ("no such index", n | trigger, 5, 0, 1, 0, none),
        ("no such index to disable", n | trigger, u32::MAX, 0, 0, 0, none),
        ("an index without vectors", e | trigger, irq::MSI, 0, 1, 0, none),
        ("count 0 with eventfd data", e | trigger, 2, 0, 0, 0, none),
        ("count 0 with BOOL", b | trigger, 2, 0, 0, 0, none),
        ("count 0 with a start", n | trigger, 2, 1, 0, 0, none),
        ("count 0 with MASK", n | mask, 0, 0, 0, 0, none),
        ("MASK of MSI-X", n | mask, 2, 0, 1, 0, none),
        ("UNMASK of MSI-X", n | unmask, 2, 0, 1, 0, none),
        ("MASK of ERR", n | mask, irq::ERR, 0, 1, 0, none),
        ("UNMASK of REQ", n | unmask, irq::REQ, 0, 1, 0, none),
        ("MASK through an eventfd", e | mask, irq::INTX, 0, 1, 0, none),
    ];
    let fds_before = open_fds();
    for (what, flags, index, start, vectors, tail, fds) in cases {
        let body = [irq_body(flags, index, start, vectors), vec![1; tail]].concat();
        assert_eq!(client.ask_with_fds(command::DEVICE_SET_IRQS, &body, fds).errno(), EINVAL, "{what}");
        client.assert_in_step();
    }
    let small_argsz = [vec![19, 0, 0, 0], irq_body(n | trigger, 2, 0, 1)[4..].to_vec()].concat();
    assert_eq!(client.ask(command::DEVICE_SET_IRQS, &small_argsz).errno(), EINVAL);
    assert!(!fixture.device.irqs.enabled(irq::MSIX));
    // Other tests of this program open and close descriptors, too: a leak of 58 would still show.
    eventually("the descriptors are closed", || open_fds() < fds_before + 40);
}

#[test]
fn v53_a_vector_without_eventfd_stays_pending_until_it_has_one() {
    let fixture = Fixture::start();
    let mut client = fixture.client();
    let irqs = &fixture.device.irqs;
    assert_eq!(client.set_irqs(ASSIGN, irq::MSIX, 0, 1, &[]), 0);
    assert_eq!(irqs.signal(irq::MSIX, 7), Signal::Pending);
    assert_eq!(irqs.signal(irq::MSIX, 7), Signal::Pending);
    assert_eq!(irqs.pending_word(irq::MSIX, 0), 1 << 7);
    assert_eq!(irqs.pending_word(irq::MSIX, 1), 0);
    let seven = eventfd();
    assign(&mut client, 7, &[&seven]);
    assert_eq!(count(&seven), 1);
    assert_eq!(irqs.pending_word(irq::MSIX, 0), 0);
    // What is pending does not outlive a disable.
    irqs.signal(irq::MSIX, 8);
    assert_eq!(client.set_irqs(TRIGGER, irq::MSIX, 0, 0, &[]), 0);
    let eight = eventfd();
    assign(&mut client, 8, &[&eight]);
    assert_eq!(count(&eight), 0);
}

#[test]
fn v54_a_full_eventfd_does_not_block_the_device() {
    let fixture = Fixture::start();
    let mut client = fixture.client();
    // Blocking, as the client made it; the server must change that.
    let full = EventFd::new(0).unwrap();
    full.write(u64::MAX - 1).unwrap();
    assign(&mut client, 0, &[&full]);
    for _ in 0..3 {
        assert_eq!(fixture.device.irqs.signal(irq::MSIX, 0), Signal::Delivered);
    }
    assert_eq!(client.set_irqs(TRIGGER, irq::MSIX, 0, 1, &[]), 0);
    assert_eq!(count(&full), u64::MAX - 1);
}

#[test]
fn v55_intx_masks_itself_until_unmasked() {
    let fixture = Fixture::start();
    let mut client = fixture.client();
    let irqs = &fixture.device.irqs;
    let line = eventfd();
    assert_eq!(client.set_irqs(ASSIGN, irq::INTX, 0, 1, &[&line]), 0);
    let unmask = flag::IRQ_DATA_NONE | flag::IRQ_UNMASK;
    assert_eq!(irqs.signal(irq::INTX, 0), Signal::Delivered);
    assert_eq!(irqs.signal(irq::INTX, 0), Signal::Pending);
    assert_eq!(count(&line), 1);
    assert_eq!(client.set_irqs(unmask, irq::INTX, 0, 1, &[]), 0);
    assert_eq!(count(&line), 1);
    assert_eq!(client.set_irqs(unmask, irq::INTX, 0, 1, &[]), 0);
    assert_eq!(count(&line), 0);
    // A mask from the client holds as well.
    assert_eq!(client.set_irqs(flag::IRQ_DATA_NONE | flag::IRQ_MASK, irq::INTX, 0, 1, &[]), 0);
    assert_eq!(irqs.signal(irq::INTX, 0), Signal::Pending);
    let body = [irq_body(flag::IRQ_DATA_BOOL | flag::IRQ_UNMASK, irq::INTX, 0, 1), vec![0]].concat();
    assert_eq!(client.ask(command::DEVICE_SET_IRQS, &body).errno(), 0);
    assert_eq!(count(&line), 0);
    assert_eq!(client.set_irqs(unmask, irq::INTX, 0, 1, &[]), 0);
    assert_eq!(count(&line), 1);
}

#[test]
fn v55_a_level_is_delivered_again_until_it_goes() {
    let fixture = Fixture::start();
    let mut client = fixture.client();
    let irqs = &fixture.device.irqs;
    let line = eventfd();
    assert_eq!(client.set_irqs(ASSIGN, irq::INTX, 0, 1, &[&line]), 0);
    let unmask = flag::IRQ_DATA_NONE | flag::IRQ_UNMASK;
    assert_eq!(irqs.assert(irq::INTX, 0), Signal::Delivered);
    for _ in 0..3 {
        assert_eq!(count(&line), 1);
        assert_eq!(client.set_irqs(unmask, irq::INTX, 0, 1, &[]), 0);
    }
    assert_eq!(count(&line), 1);
    irqs.deassert(irq::INTX, 0);
    assert_eq!(client.set_irqs(unmask, irq::INTX, 0, 1, &[]), 0);
    assert_eq!(count(&line), 0);
}

#[test]
fn v55_intx_is_unmasked_by_its_eventfd() {
    let fixture = Fixture::start();
    let mut client = fixture.client();
    let irqs = &fixture.device.irqs;
    let (line, resample) = (eventfd(), eventfd());
    assert_eq!(client.set_irqs(ASSIGN, irq::INTX, 0, 1, &[&line]), 0);
    let unmask = flag::IRQ_DATA_EVENTFD | flag::IRQ_UNMASK;
    assert_eq!(client.set_irqs(unmask, irq::INTX, 0, 1, &[&resample]), 0);
    irqs.signal(irq::INTX, 0);
    irqs.signal(irq::INTX, 0);
    assert_eq!(count(&line), 1);
    resample.write(1).unwrap();
    eventually("the held interrupt comes", || count(&line) == 1);
    // Without descriptor, the eventfd is forgotten.
    assert_eq!(client.set_irqs(unmask, irq::INTX, 0, 1, &[]), 0);
    irqs.signal(irq::INTX, 0);
    resample.write(1).unwrap();
    client.assert_in_step();
    assert_eq!((count(&line), count(&resample)), (0, 1));
}

#[test]
fn v56_err_and_req_take_one_eventfd_and_stay_quiet() {
    let fixture = Fixture::start();
    let mut client = fixture.client();
    let (error, request) = (eventfd(), eventfd());
    assert_eq!(client.set_irqs(ASSIGN, irq::ERR, 0, 1, &[&error]), 0);
    assert_eq!(client.set_irqs(ASSIGN, irq::REQ, 0, 1, &[&request]), 0);
    assert_eq!(client.set_irqs(ASSIGN, irq::ERR, 0, 2, &[&error, &error]), EINVAL);
    client.ask(command::DEVICE_RESET, &[]);
    client.ask(99, &[]);
    client.post(99, &[]);
    // Taken back as QEMU does at unplug.
    assert_eq!(client.set_irqs(ASSIGN, irq::ERR, 0, 1, &[]), 0);
    assert_eq!((count(&error), count(&request)), (0, 0));
}

#[test]
fn v76_a_reset_keeps_eventfds_and_drops_what_is_pending() {
    let fixture = Fixture::start();
    let mut client = fixture.client();
    let irqs = &fixture.device.irqs;
    let zero = eventfd();
    assign(&mut client, 0, &[&zero]);
    irqs.signal(irq::MSIX, 1);
    assert_eq!(client.ask(command::DEVICE_RESET, &[]).errno(), 0);
    assert!(irqs.enabled(irq::MSIX));
    assert_eq!(irqs.pending_word(irq::MSIX, 0), 0);
    assert_eq!(irqs.signal(irq::MSIX, 0), Signal::Delivered);
    assert_eq!(count(&zero), 1);
}

#[test]
fn nothing_is_signalled_through_an_eventfd_once_it_is_taken_away() {
    let fixture = Fixture::start();
    let mut client = fixture.client();
    let running = Arc::new(AtomicBool::new(true));
    let workers: Vec<_> = (0..2)
        .map(|_| {
            let (device, running) = (Arc::clone(&fixture.device), Arc::clone(&running));
            std::thread::spawn(move || {
                while running.load(Ordering::Relaxed) {
                    device.irqs.signal(irq::MSIX, 0);
                    std::thread::yield_now();
                }
            })
        })
        .collect();
    for _ in 0..200 {
        let zero = eventfd();
        assign(&mut client, 0, &[&zero]);
        assert_eq!(client.set_irqs(TRIGGER, irq::MSIX, 0, 0, &[]), 0);
        count(&zero);
        std::thread::yield_now();
        assert_eq!(count(&zero), 0);
    }
    running.store(false, Ordering::Relaxed);
    for worker in workers {
        worker.join().unwrap();
    }
}
