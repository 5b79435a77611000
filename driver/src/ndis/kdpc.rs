//! Kernel DPC objects: what drivers use beside NDIS, in the same queues as its DPCs.

use std::ops::Deref;
use std::sync::Arc;

use super::kdpc_importance::DpcImportance;
use super::kdpc_object::KdpcObject;
use super::processor::{Engine, Processors};
use super::raw::NDIS_STATUS_INVALID_PARAMETER;
use crate::contract::{CpuNumber, NtStatus, ProcessorNumber};
use crate::irql::{self, AtDispatch};

/// The routine of a DPC object.
#[doc(alias = "KDEFERRED_ROUTINE")]
pub type KdpcRoutine = Box<dyn Fn(&KdpcCall<'_>, &AtDispatch) + Send + Sync>;

/// One run of a routine.
#[derive(Clone, Copy)]
pub struct KdpcCall<'a> {
    /// The object. It is off its queue, so it can be inserted again (KD-3).
    pub dpc: &'a KdpcHandle,
    /// As given when the object was made.
    #[doc(alias = "DeferredContext")]
    pub deferred_context: u64,
    /// Of the insert that queued it (KD-2).
    #[doc(alias = "SystemArgument1")]
    pub argument1: u64,
    /// Of the insert that queued it.
    #[doc(alias = "SystemArgument2")]
    pub argument2: u64,
    /// Where it runs.
    pub processor: CpuNumber,
}

/// A DPC object. Dropping it takes it off its queue and refuses every later insert; it does not wait for a routine
/// that runs, which keeps what it needs ([`ke_flush_queued_dpcs`](super::ke_flush_queued_dpcs) waits). Making and
/// dropping it is not for service routines, for it changes the queues' room. Once its processors are dropped, inserts
/// are refused too.
#[doc(alias = "KDPC")]
pub struct Kdpc(KdpcHandle);

/// Names a DPC object. It does not keep it.
#[derive(Clone)]
pub struct KdpcHandle {
    pub(super) object: Arc<KdpcObject>,
    pub(super) engine: Arc<Engine>,
}

/// There is no processor of this number.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("there is no processor {} in group {} (contract KD-7)", .0.number, .0.group)]
pub struct NoSuchProcessorNumber(pub ProcessorNumber);

impl NoSuchProcessorNumber {
    /// The status word that Windows gives.
    #[must_use]
    pub fn status(self) -> NtStatus {
        NDIS_STATUS_INVALID_PARAMETER
    }
}

impl Kdpc {
    /// An object that is in no queue, with medium importance and no target. It has its slot in every queue from here
    /// on, which takes memory: the only call on it that does.
    #[must_use]
    pub fn new(
        processors: &Processors,
        routine: impl Fn(&KdpcCall<'_>, &AtDispatch) + Send + Sync + 'static,
        deferred_context: u64,
    ) -> Self {
        let engine = processors.engine().clone();
        engine.queues.reserve(1);
        let object = Arc::new(KdpcObject::new(Box::new(routine), deferred_context));
        Self(KdpcHandle { object, engine })
    }

    /// Names it.
    #[must_use]
    pub fn handle(&self) -> KdpcHandle {
        self.0.clone()
    }
}

impl Deref for Kdpc {
    type Target = KdpcHandle;

    fn deref(&self) -> &KdpcHandle {
        &self.0
    }
}

impl Drop for Kdpc {
    fn drop(&mut self) {
        self.0.engine.queues.close_kernel(&self.0.object);
    }
}

/// `KeInitializeDpc`: [`Kdpc::new`].
#[must_use]
#[doc(alias = "KeInitializeDpc")]
pub fn ke_initialize_dpc(
    processors: &Processors,
    routine: impl Fn(&KdpcCall<'_>, &AtDispatch) + Send + Sync + 'static,
    deferred_context: u64,
) -> Kdpc {
    Kdpc::new(processors, routine, deferred_context)
}

/// `KeInsertQueueDpc`: queues the object on its target, or on the calling processor (KD-6). False if it is already
/// in a queue: that insert's arguments stay, and these are dropped (KD-2). Callable at any level: it neither sleeps
/// nor allocates.
#[doc(alias = "KeInsertQueueDpc")]
pub fn ke_insert_queue_dpc(dpc: &KdpcHandle, argument1: u64, argument2: u64) -> bool {
    let current = CpuNumber(irql::current_processor());
    match dpc.engine.queues.insert(&dpc.object, current, (argument1, argument2)) {
        // Also for a DPC that only waits: its processor's worker then waits with a deadline.
        Some(cpu) => {
            dpc.engine.wake(cpu);
            true
        }
        None => false,
    }
}

/// `KeRemoveQueueDpc`: true if the object was queued, and its routine does not run for that insert. False if it was in
/// no queue; its routine may be running (KD-11). Callable at any level.
#[doc(alias = "KeRemoveQueueDpc")]
pub fn ke_remove_queue_dpc(dpc: &KdpcHandle) -> bool {
    dpc.engine.queues.remove(&dpc.object)
}

/// `KeSetTargetProcessorDpc`: later inserts go to this processor of group 0 (KD-6). A number that does not exist
/// changes nothing (KD-7). Callable at any level.
#[doc(alias = "KeSetTargetProcessorDpc")]
pub fn ke_set_target_processor_dpc(dpc: &KdpcHandle, number: u8) {
    if let Err(error) = ke_set_target_processor_dpc_ex(dpc, ProcessorNumber { group: 0, number }) {
        log::debug!("KeSetTargetProcessorDpc changes nothing: {error}");
    }
}

/// `KeSetTargetProcessorDpcEx`: the same for a processor of any group. Callable at any level.
///
/// # Errors
/// When there is no such processor; nothing has changed (KD-7).
#[doc(alias = "KeSetTargetProcessorDpcEx")]
pub fn ke_set_target_processor_dpc_ex(
    dpc: &KdpcHandle,
    number: ProcessorNumber,
) -> Result<(), NoSuchProcessorNumber> {
    dpc.engine.queues.set_target(&dpc.object, number)
}

/// `KeSetImportanceDpc`: for later inserts (KD-8). Callable at any level.
#[doc(alias = "KeSetImportanceDpc")]
pub fn ke_set_importance_dpc(dpc: &KdpcHandle, importance: DpcImportance) {
    dpc.object.set_importance(importance);
}
