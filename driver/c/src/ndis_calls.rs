//! `ndis.h`: interrupts and their DPCs (contract 2.3, 2.6, 2.7, 2.9).

use std::ptr::{self, NonNull};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use netdma::contract::CpuSet32;
use netdma::contract::raw::RawGroupAffinity;
use netdma::ndis::raw::{
    IoInterruptMessageInfo, NDIS_STATUS_BAD_CHARACTERISTICS, NdisMiniportInterruptCharacteristics,
    NdisMsixConfigParameters, NdisObjectHeader,
};
use netdma::ndis::{
    DpcContext, InterruptCharacteristics, InterruptHandle, LineHandlers, MessageHandlers, MessageId,
    MsixConfigError, ndis_m_register_interrupt_ex,
};

use crate::boundary::{at_most_dispatch, enter, passive};
use crate::handle::{Handle, Table};
use crate::host::{Host, host};
use crate::miniport::{CMiniport, INTERRUPTS, InterruptRow, Registered};
use crate::ndis_types::{
    IO_INTERRUPT_MESSAGE_INFO, MINIPORT_SYNCHRONIZE_INTERRUPT_HANDLER, NDIS_HANDLE, NDIS_STATUS,
    NDIS_STATUS_FAILURE, NDIS_STATUS_INVALID_PARAMETER, NDIS_STATUS_NOT_SUPPORTED,
    NDIS_STATUS_RESOURCE_CONFLICT, NDIS_STATUS_RESOURCES, NDIS_STATUS_SUCCESS, PNDIS_HANDLE,
    PNDIS_MINIPORT_INTERRUPT_CHARACTERISTICS, PNDIS_MSIX_CONFIG_PARAMETERS,
};
use crate::netdma_calls::status;
use crate::report::{failure, violation};
use crate::wdm_types::{BOOLEAN, FALSE, KAFFINITY, PGROUP_AFFINITY, PVOID, ULONG};

/// Connects the device's interrupt: messages if MsiSupported and the device has them, else its line. **The service
/// routine may run before this returns**; the handle is stored before that. PASSIVE_LEVEL.
///
/// # Safety
/// `MiniportInterruptCharacteristics` has the size that it says; `NdisInterruptHandle` is where the handle goes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn NdisMRegisterInterruptEx(
    MiniportAdapterHandle: NDIS_HANDLE,
    MiniportInterruptContext: NDIS_HANDLE,
    MiniportInterruptCharacteristics: PNDIS_MINIPORT_INTERRUPT_CHARACTERISTICS,
    NdisInterruptHandle: PNDIS_HANDLE,
) -> NDIS_STATUS {
    const CALL: &str = "NdisMRegisterInterruptEx";
    enter(CALL, NDIS_STATUS_FAILURE, || {
        let Some(level) = passive(CALL, "contract 2.3") else { return NDIS_STATUS_FAILURE };
        let Some(open) = host(MiniportAdapterHandle) else {
            return wrong(CALL, "MiniportAdapterHandle is not an open host's handle");
        };
        let Some(table) =
            NonNull::new(MiniportInterruptCharacteristics).filter(|_| !NdisInterruptHandle.is_null())
        else {
            return wrong(CALL, "characteristics and NdisInterruptHandle are not optional");
        };
        // SAFETY: the caller's promise.
        let read = unsafe { read_characteristics(table.cast()) };
        let raw = match read {
            Ok(raw) => raw,
            Err(status) => return status,
        };
        if open.interrupts_used.swap(true, Ordering::AcqRel) {
            violation(CALL, "contract 2.3", "the device's interrupts were registered before: open it again");
            return NDIS_STATUS_RESOURCE_CONFLICT;
        }
        let miniport = Arc::new(CMiniport {
            context: MiniportInterruptContext.expose_provenance(),
            version: open.ndis,
            // SAFETY: laid out alike, which the compiler checked.
            table: unsafe {
                (&raw const raw).cast::<crate::ndis_types::NDIS_MINIPORT_INTERRUPT_CHARACTERISTICS>().read()
            },
        });
        let messages = raw.msi_supported != FALSE;
        let one_lock = raw.msi_sync_with_all_messages != FALSE;
        let row = Arc::new(InterruptRow {
            host: open.clone(),
            handle: OnceLock::new(),
            interrupt: Mutex::new(None),
        });
        let handle = INTERRUPTS.insert(row.clone());
        let build = |interrupt: InterruptHandle| {
            let _ = row.handle.set(interrupt);
            // SAFETY: the caller's promise. Before the first service routine runs (IR-2).
            unsafe { NdisInterruptHandle.write(handle.to_c()) };
            InterruptCharacteristics {
                version: open.ndis,
                line: miniport.clone() as Arc<dyn LineHandlers>,
                message: messages.then(|| miniport.clone() as Arc<dyn MessageHandlers>),
                msi_sync_with_all_messages: one_lock,
                affinity: Vec::new(),
            }
        };
        let source = open.device.interrupts.clone();
        match ndis_m_register_interrupt_ex(&open.processors, source, build, &level) {
            Ok(interrupt) => {
                let message_table = interrupt.message_info().map(IoInterruptMessageInfo::of);
                let pointer: *const IO_INTERRUPT_MESSAGE_INFO =
                    message_table.as_deref().map_or(ptr::null(), |table| ptr::from_ref(table).cast());
                let granted = interrupt.interrupt_type() as u32;
                *lock(&row) = Some(Registered { interrupt, table: message_table });
                // SAFETY: the caller's promise; both fields are inside what Size says.
                unsafe {
                    (&raw mut (*table.as_ptr()).InterruptType).write_unaligned(granted);
                    (&raw mut (*table.as_ptr()).MessageInfoTable).write_unaligned(pointer.cast_mut());
                }
                NDIS_STATUS_SUCCESS
            }
            Err(error) => {
                INTERRUPTS.remove(handle);
                // SAFETY: the caller's promise.
                unsafe { NdisInterruptHandle.write(ptr::null_mut()) };
                failure(CALL, &error);
                status(error.status())
            }
        }
    })
}

/// Ends it: afterwards no service routine and no DPC of it runs. Disable the device's interrupts first. PASSIVE_LEVEL.
#[unsafe(no_mangle)]
pub extern "C" fn NdisMDeregisterInterruptEx(NdisInterruptHandle: NDIS_HANDLE) {
    const CALL: &str = "NdisMDeregisterInterruptEx";
    enter(CALL, (), || {
        let Some(level) = passive(CALL, "contract 2.3") else { return };
        let Some(row) = known(CALL, "IR-6", NdisInterruptHandle) else { return };
        // The handle names it while routines that still run use it (IR-5).
        let Some(registered) = lock(&row).take() else {
            return violation(CALL, "IR-4", "it is not registered yet, or another thread deregisters it");
        };
        registered.interrupt.deregister(&level);
        INTERRUPTS.remove(Handle::from_c(NdisInterruptHandle));
        drop(registered.table);
    });
}

/// Queues the message's DPC on each of these processors of group 0. The result has a bit for each that was queued by
/// this call; one that was queued already is not. Any level.
#[unsafe(no_mangle)]
pub extern "C" fn NdisMQueueDpc(
    NdisInterruptHandle: NDIS_HANDLE,
    MessageId: ULONG,
    TargetProcessors: ULONG,
    MiniportDpcContext: PVOID,
) -> ULONG {
    const CALL: &str = "NdisMQueueDpc";
    enter(CALL, 0, || {
        let Some((handle, message)) = message(CALL, NdisInterruptHandle, MessageId) else { return 0 };
        handle.queue_dpc(message, CpuSet32(TargetProcessors), context(MiniportDpcContext)).scheduled.0
    })
}

/// The same for the processors of one group (6.20; 0 in an older version). Any level.
///
/// # Safety
/// `TargetProcessors` is NULL or names processors.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn NdisMQueueDpcEx(
    NdisInterruptHandle: NDIS_HANDLE,
    MessageId: ULONG,
    TargetProcessors: PGROUP_AFFINITY,
    MiniportDpcContext: PVOID,
) -> KAFFINITY {
    const CALL: &str = "NdisMQueueDpcEx";
    enter(CALL, 0, || {
        let Some((handle, message)) = message(CALL, NdisInterruptHandle, MessageId) else { return 0 };
        let Some(targets) = NonNull::new(TargetProcessors.cast::<RawGroupAffinity>()) else {
            violation(CALL, "contract 2.6", "TargetProcessors is not optional");
            return 0;
        };
        // SAFETY: the caller's promise.
        let targets = match unsafe { targets.read_unaligned() }.check() {
            Ok(targets) => targets,
            Err(error) => {
                violation(CALL, error.clause, error);
                return 0;
            }
        };
        match handle.queue_dpc_ex(message, targets, context(MiniportDpcContext)) {
            // A KAFFINITY is as wide as a group.
            Ok(queued) => usize::try_from(queued.scheduled).unwrap_or(0),
            Err(error) => {
                violation(CALL, error.clause, error);
                0
            }
        }
    })
}

/// Runs a function at the device's level with the message's service routine kept out, and gives its answer; FALSE if it
/// did not run. DISPATCH_LEVEL or below: the service routine would wait for itself.
///
/// # Safety
/// `SynchronizeFunction` takes `SynchronizeContext`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn NdisMSynchronizeWithInterruptEx(
    NdisInterruptHandle: NDIS_HANDLE,
    MessageId: ULONG,
    SynchronizeFunction: MINIPORT_SYNCHRONIZE_INTERRUPT_HANDLER,
    SynchronizeContext: PVOID,
) -> BOOLEAN {
    const CALL: &str = "NdisMSynchronizeWithInterruptEx";
    enter(CALL, FALSE, || {
        let Some(level) = at_most_dispatch(CALL, "contract 2.7") else { return FALSE };
        let Some((handle, message)) = message(CALL, NdisInterruptHandle, MessageId) else { return FALSE };
        let Some(function) = SynchronizeFunction else {
            violation(CALL, "contract 2.7", "SynchronizeFunction is not optional");
            return FALSE;
        };
        // (SY-3) Exactly the function's answer.
        let mut answer = FALSE;
        let ran = handle.synchronize(message, &*level, |_| {
            // SAFETY: the caller's promise.
            answer = unsafe { function(SynchronizeContext) };
            answer != FALSE
        });
        match ran {
            Ok(_) => answer,
            Err(error) => {
                violation(CALL, "contract 2.7", error);
                FALSE
            }
        }
    })
}

/// Changes one entry of the adapter's MSI-X table (6.1). Set: DISPATCH_LEVEL or below; Mask and Unmask: any level.
///
/// # Safety
/// `MSIXConfigParameters` has the size that it says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn NdisMConfigMSIXTableEntry(
    NdisMiniportHandle: NDIS_HANDLE,
    MSIXConfigParameters: PNDIS_MSIX_CONFIG_PARAMETERS,
) -> NDIS_STATUS {
    const CALL: &str = "NdisMConfigMSIXTableEntry";
    enter(CALL, NDIS_STATUS_FAILURE, || {
        let Some(open) = host(NdisMiniportHandle) else {
            return wrong(CALL, "NdisMiniportHandle is not an open host's handle");
        };
        let Some(table) = NonNull::new(MSIXConfigParameters.cast::<NdisMsixConfigParameters>()) else {
            return wrong(CALL, "MSIXConfigParameters is not optional");
        };
        let mut raw = NdisMsixConfigParameters::default();
        // SAFETY: the caller's promise; every structure has its header, and what Size says is at least what is read.
        unsafe {
            raw.header = table.cast::<NdisObjectHeader>().read_unaligned();
            if usize::from(raw.header.size) >= size_of::<NdisMsixConfigParameters>() {
                raw = table.read_unaligned();
            }
        }
        let config = match raw.validate() {
            Ok(config) => config,
            Err(error) => {
                violation(CALL, "contract 2.9", &error);
                return status(error.status());
            }
        };
        let Some(handle) = interrupt_of(&INTERRUPTS, &open) else {
            violation(CALL, "contract 2.9", "the adapter has no registered interrupt");
            return NDIS_STATUS_FAILURE;
        };
        match handle.config_msix_table_entry(config) {
            Ok(()) => NDIS_STATUS_SUCCESS,
            Err(error) => {
                violation(CALL, "contract 2.9", &error);
                match error {
                    MsixConfigError::Version(_) | MsixConfigError::Type(_) => NDIS_STATUS_NOT_SUPPORTED,
                    MsixConfigError::NoSuchEntry { .. } | MsixConfigError::Message(_) => {
                        NDIS_STATUS_INVALID_PARAMETER
                    }
                    MsixConfigError::Spawn { .. } => NDIS_STATUS_RESOURCES,
                    MsixConfigError::Level { .. } | MsixConfigError::NotRegistered => NDIS_STATUS_FAILURE,
                }
            }
        }
    })
}

/// The structure.
///
/// # Safety
/// `table` has the size that it says.
unsafe fn read_characteristics(
    table: NonNull<NdisMiniportInterruptCharacteristics>,
) -> Result<NdisMiniportInterruptCharacteristics, NDIS_STATUS> {
    const CALL: &str = "NdisMRegisterInterruptEx";
    // SAFETY: every structure has its header.
    let header = unsafe { table.cast::<NdisObjectHeader>().read_unaligned() };
    if usize::from(header.size) < NdisMiniportInterruptCharacteristics::SIZE_OF_REVISION_1 {
        let found = header.size;
        violation(CALL, "contract 2.2", format_args!("Header.Size is {found}, less than revision 1's"));
        return Err(status(NDIS_STATUS_BAD_CHARACTERISTICS));
    }
    // SAFETY: Size says that it is there.
    let raw = unsafe { table.read_unaligned() };
    raw.validate().map(|_| raw).map_err(|error| {
        violation(CALL, "contract 2.2", &error);
        status(error.status())
    })
}

fn interrupt_of(table: &Table<InterruptRow>, host: &Arc<Host>) -> Option<InterruptHandle> {
    table.find(|row| Arc::ptr_eq(&row.host, host))?.handle.get().cloned()
}

fn message(call: &str, handle: NDIS_HANDLE, number: ULONG) -> Option<(InterruptHandle, MessageId)> {
    let row = known(call, "IR-6", handle)?;
    let interrupt = row.handle.get()?.clone();
    match interrupt.message(number) {
        Ok(message) => Some((interrupt, message)),
        Err(error) => {
            violation(call, "QD-6", error);
            None
        }
    }
}

fn known(call: &str, clause: &str, handle: NDIS_HANDLE) -> Option<Arc<InterruptRow>> {
    let row = INTERRUPTS.get(Handle::from_c(handle));
    if row.is_none() {
        violation(call, clause, format_args!("handle {handle:p} names no registered interrupt"));
    }
    row
}

fn lock(row: &InterruptRow) -> MutexGuard<'_, Option<Registered>> {
    row.interrupt.lock().unwrap_or_else(PoisonError::into_inner)
}

/// NULL stands for no context (DP-2).
fn context(pointer: PVOID) -> Option<DpcContext> {
    (!pointer.is_null()).then(|| DpcContext(pointer.expose_provenance() as u64))
}

fn wrong(call: &str, what: &str) -> NDIS_STATUS {
    violation(call, "contract 2.3", what);
    NDIS_STATUS_INVALID_PARAMETER
}
