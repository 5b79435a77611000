//! NdisMSynchronizeWithInterruptEx, beyond what the conformance checks of SY say.

use std::sync::Mutex;
use std::sync::mpsc::channel;

use netdma::ndis::{DpcRequest, SynchronizeError};

use crate::rig::{LIMIT, Plan, Rig, asks, passive, processors};

#[test]
fn without_one_lock_isrs_of_different_messages_do_overlap() {
    let processors = processors(2);
    let (inside, is_inside) = channel();
    let (release, released) = channel::<()>();
    let (inside, released) = (Mutex::new(inside), Mutex::new(released));
    let isr = Box::new(move |_, _: &_| {
        inside.lock().unwrap().send(()).unwrap();
        // Ends with an error when the sender is dropped.
        let _ = released.lock().unwrap().recv();
        asks(DpcRequest::None)
    });
    let rig = Rig::new(&processors, Plan { isr, ..Plan::default() });
    rig.source.fire(0);
    rig.source.fire(1);
    (0..2).for_each(|_| is_inside.recv_timeout(LIMIT).unwrap());
    drop(release);
}

#[test]
fn sy_07_nothing_is_synchronised_after_deregister() {
    let processors = processors(1);
    let rig = Rig::new(&processors, Plan::default());
    let (handle, message) = (rig.handle.clone(), rig.message(0));
    rig.interrupt.deregister(&passive());
    let answer = handle.synchronize(message, &passive(), |_| panic!("it ran"));
    assert_eq!(answer, Err(SynchronizeError::NotRegistered));
}

#[test]
fn a_routine_that_synchronises_again_gets_an_error_instead_of_waiting_for_itself() {
    let processors = processors(1);
    let rig = Rig::new(&processors, Plan::default());
    let (message, outside) = (rig.message(0), passive());
    let answer = rig.handle.synchronize(message, &passive(), |_| {
        let again = rig.handle.synchronize(message, &outside, |_| panic!("it ran"));
        again == Err(SynchronizeError::AboveDispatch)
    });
    assert_eq!(answer, Ok(true));
}

#[test]
fn a_message_of_another_interrupt_is_an_error_when_there_is_none_of_its_number() {
    let processors = processors(1);
    let (small, large) = (
        Rig::new(&processors, Plan { vectors: 1, ..Plan::default() }),
        Rig::new(&processors, Plan { vectors: 3, ..Plan::default() }),
    );
    let answer = small.handle.synchronize(large.message(2), &passive(), |_| panic!("it ran"));
    assert!(
        matches!(answer, Err(SynchronizeError::Message(error)) if (error.message, error.messages) == (2, 1))
    );
}
