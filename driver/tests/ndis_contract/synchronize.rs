//! NdisMSynchronizeWithInterruptEx: SY-1 to SY-5.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};

use netdma::irql::{self, Irql};
use netdma::ndis::DpcRequest;

use crate::rig::{LIMIT, Plan, Rig, asks, passive, processors};

#[test]
fn sy_01_the_routine_waits_for_the_isr_of_its_message() {
    let processors = processors(1);
    let (entered, has_entered) = channel();
    let (release, released) = channel::<()>();
    let (entered, released) = (Mutex::new(entered), Mutex::new(released));
    let isr_is_through = Arc::new(AtomicBool::new(false));
    let of_isr = isr_is_through.clone();
    let isr = Box::new(move |_, _: &_| {
        entered.lock().unwrap().send(()).unwrap();
        let _ = released.lock().unwrap().recv();
        of_isr.store(true, Ordering::SeqCst);
        asks(DpcRequest::None)
    });
    let rig = Rig::new(&processors, Plan { isr, ..Plan::default() });
    rig.source.fire(0);
    has_entered.recv_timeout(LIMIT).unwrap();
    let (handle, message) = (rig.handle.clone(), rig.message(0));
    let (about_to, is_about_to) = channel();
    let synchronizing = std::thread::spawn(move || {
        about_to.send(()).unwrap();
        handle.synchronize(message, &passive(), |_| isr_is_through.load(Ordering::SeqCst))
    });
    is_about_to.recv_timeout(LIMIT).unwrap();
    // Message 1 has a lock of its own, and is free.
    assert_eq!(rig.handle.synchronize(rig.message(1), &passive(), |_| true), Ok(true));
    drop(release);
    assert_eq!(synchronizing.join().unwrap(), Ok(true), "the ISR was through");
}

#[test]
fn sy_01_the_isr_waits_for_the_routine() {
    let processors = processors(1);
    let (ran, has_run) = channel();
    let (ran, inside) = (Mutex::new(ran), Arc::new(AtomicBool::new(false)));
    let of_isr = inside.clone();
    let isr = Box::new(move |_, _: &_| {
        ran.lock().unwrap().send(of_isr.load(Ordering::SeqCst)).unwrap();
        asks(DpcRequest::None)
    });
    let rig = Rig::new(&processors, Plan { isr, ..Plan::default() });
    let held = rig.handle.synchronize(rig.message(0), &passive(), |_| {
        inside.store(true, Ordering::SeqCst);
        rig.source.fire(0);
        let quiet = has_run.recv_timeout(crate::rig::QUIET).is_err();
        inside.store(false, Ordering::SeqCst);
        quiet
    });
    assert_eq!(held, Ok(true), "no ISR ran inside");
    assert!(!has_run.recv_timeout(LIMIT).unwrap());
}

#[test]
fn sy_03_the_answer_is_the_routines_own_and_the_level_comes_back() {
    let processors = processors(1);
    let rig = Rig::new(&processors, Plan::default());
    for answer in [true, false] {
        let got = rig.handle.synchronize(rig.message(0), &passive(), |_| {
            assert_eq!(irql::current(), Irql::Device);
            answer
        });
        assert_eq!(got, Ok(answer));
        assert_eq!(irql::current(), Irql::Passive, "SY-4");
    }
}

/// Fires both messages until each ran `rounds` times, and gives the most service routines inside at once.
fn most_inside(one_lock: bool, overlap: bool) -> u32 {
    let processors = processors(2);
    let (inside, most) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let (both, of_isr) = (inside.clone(), most.clone());
    let (ran, has_run) = channel();
    let ran = Mutex::new(ran);
    let isr = Box::new(move |_, _: &_| {
        of_isr.fetch_max(both.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        // Where overlap is possible, wait for it: the other message's routine comes in.
        let mut turns = 0;
        while overlap && of_isr.load(Ordering::SeqCst) < 2 && turns < 10_000 {
            turns += 1;
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        if !overlap {
            std::thread::yield_now();
        }
        both.fetch_sub(1, Ordering::SeqCst);
        ran.lock().unwrap().send(()).unwrap();
        asks(DpcRequest::None)
    });
    let rig = Rig::new(&processors, Plan { isr, one_lock, ..Plan::default() });
    for _ in 0..if overlap { 1 } else { 200 } {
        rig.source.fire(0);
        rig.source.fire(1);
        (0..2).for_each(|_| has_run.recv_timeout(LIMIT).unwrap());
    }
    most.load(Ordering::SeqCst)
}

#[test]
fn sy_05_with_one_lock_for_all_messages_their_isrs_never_overlap() {
    assert_eq!(most_inside(true, false), 1);
}

#[test]
fn without_it_isrs_of_different_messages_do_overlap() {
    assert_eq!(most_inside(false, true), 2);
}
