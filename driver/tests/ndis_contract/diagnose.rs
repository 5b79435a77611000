//! The disable and enable handlers: EN-1 and EN-2.

use netdma::irql::Irql;
use netdma::ndis::{DiagnoseError, InterruptType};

use crate::rig::{Plan, Rig, passive, processors};

#[test]
fn en_02_message_handlers_run_at_the_devices_level_for_their_message() {
    let processors = processors(1);
    let rig = Rig::new(&processors, Plan::default());
    let (one, other) = (rig.message(0), rig.message(1));
    rig.interrupt.disable_message_interrupt(other, &passive()).unwrap();
    rig.interrupt.enable_message_interrupt(one, &passive()).unwrap();
    let called = rig.miniport.diagnosed.lock().unwrap().clone();
    let expected =
        [("disable message", Some(other), Irql::Device), ("enable message", Some(one), Irql::Device)];
    assert_eq!(called, expected);
}

#[test]
fn en_02_a_handler_waits_for_the_interrupts_lock() {
    let processors = processors(1);
    let rig = Rig::new(&processors, Plan { vectors: 0, ..Plan::default() });
    let message = rig.message(0);
    std::thread::scope(|scope| {
        let held = rig.handle.synchronize(message, &passive(), |_| {
            let (asked, is_asked) = std::sync::mpsc::channel();
            let interrupt = &rig.interrupt;
            scope.spawn(move || {
                asked.send(()).unwrap();
                interrupt.disable_interrupt(&passive()).unwrap();
            });
            is_asked.recv().unwrap();
            std::thread::sleep(crate::rig::QUIET);
            rig.miniport.diagnosed.lock().unwrap().is_empty()
        });
        assert_eq!(held, Ok(true), "the handler ran while the lock was held");
    });
    assert_eq!(*rig.miniport.diagnosed.lock().unwrap(), [("disable", None, Irql::Device)]);
}

#[test]
fn en_01_the_engine_calls_none_of_them_by_itself() {
    let processors = processors(1);
    let rig = Rig::new(&processors, Plan::default());
    assert_eq!(rig.queue(crate::rig::cpu(0), 1), crate::rig::cpu(0));
    rig.next();
    let miniport = rig.miniport.clone();
    rig.interrupt.deregister(&passive());
    assert_eq!(*miniport.diagnosed.lock().unwrap(), []);
}

#[test]
fn the_handlers_of_the_other_type_are_not_called() {
    let processors = processors(1);
    let (message, line) = (
        Rig::new(&processors, Plan::default()),
        Rig::new(&processors, Plan { vectors: 0, ..Plan::default() }),
    );
    let error = message.interrupt.disable_interrupt(&passive()).unwrap_err();
    assert!(matches!(error, DiagnoseError::Type(error) if error.found == InterruptType::MessageBased));
    let error = line.interrupt.enable_message_interrupt(message.message(0), &passive()).unwrap_err();
    assert!(matches!(error, DiagnoseError::Type(error) if error.found == InterruptType::LineBased));
    let large = Rig::new(&processors, Plan { vectors: 3, ..Plan::default() });
    let error = message.interrupt.enable_message_interrupt(large.message(2), &passive()).unwrap_err();
    assert!(matches!(error, DiagnoseError::Message(_)));
    for rig in [message, line] {
        assert_eq!(*rig.miniport.diagnosed.lock().unwrap(), []);
    }
}
