//! `wdm.h`: the caller's level and processor, and kernel DPCs (contract 2.11).

use netdma::contract::ProcessorNumber;
use netdma::irql;
use netdma::ndis::{
    DpcImportance, ke_flush_queued_dpcs, ke_insert_queue_dpc, ke_remove_queue_dpc, ke_set_importance_dpc,
    ke_set_target_processor_dpc, ke_set_target_processor_dpc_ex,
};

use crate::boundary::{self, at_most_dispatch, enter, passive};
use crate::host::HOSTS;
use crate::kdpc::{initialize, known, word};
use crate::netdma_calls::status;
use crate::report::violation;
use crate::wdm_types::{
    BOOLEAN, CCHAR, FALSE, HighImportance, KDPC_IMPORTANCE, KIRQL, LowImportance, MediumHighImportance,
    MediumImportance, NTSTATUS, PKDEFERRED_ROUTINE, PKDPC, PPROCESSOR_NUMBER, PRKDPC, PVOID,
    STATUS_INVALID_PARAMETER, STATUS_SUCCESS, TRUE, ULONG,
};

/// The caller's level.
#[unsafe(no_mangle)]
pub extern "C" fn KeGetCurrentIrql() -> KIRQL {
    boundary::level()
}

/// The processor whose service routine or DPC calls; 0 for any other thread, which has none.
#[unsafe(no_mangle)]
pub extern "C" fn KeGetCurrentProcessorNumber() -> ULONG {
    irql::current_processor()
}

/// Makes a DPC of medium importance without a target, on the processors of the host opened last. DISPATCH_LEVEL or
/// below. It ends with that host.
///
/// # Safety
/// `Dpc` is a KDPC and stays where it is.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn KeInitializeDpc(
    Dpc: PRKDPC,
    DeferredRoutine: PKDEFERRED_ROUTINE,
    DeferredContext: PVOID,
) {
    const CALL: &str = "KeInitializeDpc";
    enter(CALL, (), || {
        if at_most_dispatch(CALL, "it takes memory here").is_some() {
            // SAFETY: the caller's promise.
            unsafe { initialize(CALL, Dpc, DeferredRoutine, DeferredContext) };
        }
    });
}

/// Queues it on its target, or on the caller's processor. FALSE if it is queued already: that insert's arguments stay.
/// Any level.
///
/// # Safety
/// `Dpc` was initialised.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn KeInsertQueueDpc(
    Dpc: PRKDPC,
    SystemArgument1: PVOID,
    SystemArgument2: PVOID,
) -> BOOLEAN {
    const CALL: &str = "KeInsertQueueDpc";
    enter(CALL, FALSE, || {
        // SAFETY: the caller's promise.
        let Some(row) = (unsafe { known(CALL, Dpc) }) else { return FALSE };
        truth(ke_insert_queue_dpc(&row.dpc, word(SystemArgument1), word(SystemArgument2)))
    })
}

/// Takes it off its queue. FALSE if it is in none; it may be running. Any level.
///
/// # Safety
/// `Dpc` was initialised.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn KeRemoveQueueDpc(Dpc: PRKDPC) -> BOOLEAN {
    const CALL: &str = "KeRemoveQueueDpc";
    enter(CALL, FALSE, || {
        // SAFETY: the caller's promise.
        let Some(row) = (unsafe { known(CALL, Dpc) }) else { return FALSE };
        truth(ke_remove_queue_dpc(&row.dpc))
    })
}

/// Later inserts go to this processor of group 0; a number that does not exist changes nothing. Any level.
///
/// # Safety
/// `Dpc` was initialised.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn KeSetTargetProcessorDpc(Dpc: PRKDPC, Number: CCHAR) {
    const CALL: &str = "KeSetTargetProcessorDpc";
    enter(CALL, (), || {
        // SAFETY: the caller's promise.
        let Some(row) = (unsafe { known(CALL, Dpc) }) else { return };
        if let Ok(number) = u8::try_from(Number) {
            ke_set_target_processor_dpc(&row.dpc, number);
        }
    });
}

/// The same for a processor of any group; STATUS_INVALID_PARAMETER, and no change, if it does not exist. Any level.
///
/// # Safety
/// `Dpc` was initialised; `ProcNumber` is NULL or a number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn KeSetTargetProcessorDpcEx(Dpc: PKDPC, ProcNumber: PPROCESSOR_NUMBER) -> NTSTATUS {
    const CALL: &str = "KeSetTargetProcessorDpcEx";
    enter(CALL, STATUS_INVALID_PARAMETER, || {
        // SAFETY: the caller's promise.
        let Some(row) = (unsafe { known(CALL, Dpc) }) else { return STATUS_INVALID_PARAMETER };
        if ProcNumber.is_null() {
            violation(CALL, "contract 2.11", "ProcNumber is not optional");
            return STATUS_INVALID_PARAMETER;
        }
        // SAFETY: the caller's promise.
        let target = unsafe { ProcNumber.read_unaligned() };
        let target = ProcessorNumber { group: target.Group, number: target.Number };
        match ke_set_target_processor_dpc_ex(&row.dpc, target) {
            Ok(()) => STATUS_SUCCESS,
            Err(error) => status(error.status()),
        }
    })
}

/// For later inserts. Any level.
///
/// # Safety
/// `Dpc` was initialised.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn KeSetImportanceDpc(Dpc: PRKDPC, Importance: KDPC_IMPORTANCE) {
    const CALL: &str = "KeSetImportanceDpc";
    enter(CALL, (), || {
        // SAFETY: the caller's promise.
        let Some(row) = (unsafe { known(CALL, Dpc) }) else { return };
        let importance = match Importance {
            LowImportance => DpcImportance::Low,
            MediumImportance => DpcImportance::Medium,
            HighImportance => DpcImportance::High,
            MediumHighImportance => DpcImportance::MediumHigh,
            other => return violation(CALL, "KD-8", format_args!("importance {other}, expected 0 to 3")),
        };
        ke_set_importance_dpc(&row.dpc, importance);
    });
}

/// Returns when every DPC that was queued before has run, on all processors of all hosts. PASSIVE_LEVEL.
#[unsafe(no_mangle)]
pub extern "C" fn KeFlushQueuedDpcs() {
    const CALL: &str = "KeFlushQueuedDpcs";
    enter(CALL, (), || {
        let Some(level) = passive(CALL, "KD-12") else { return };
        for host in HOSTS.all() {
            ke_flush_queued_dpcs(&host.processors, &level);
        }
    });
}

fn truth(is: bool) -> BOOLEAN {
    if is { TRUE } else { FALSE }
}
