//! Kernel DPCs of a driver written in C: what its KDPC structures name.

use std::sync::Arc;

use netdma::ndis::{Kdpc, KdpcCall, ke_initialize_dpc};

use crate::handle::{Handle, Kind, Table};
use crate::host::{HOSTS, Host};
use crate::report::violation;
use crate::wdm_types::{PKDEFERRED_ROUTINE, PRKDPC, PVOID};

/// The initialised ones.
pub(crate) static DPCS: Table<DpcRow> = Table::new(Kind::Dpc);

/// An initialised one.
pub(crate) struct DpcRow {
    pub(crate) host: Arc<Host>,
    pub(crate) dpc: Kdpc,
    /// Where its structure lies: a copy of the structure is not the DPC.
    address: usize,
}

/// Makes what lies at `dpc` a DPC of the host opened last. What it was before is off its queue.
///
/// # Safety
/// `dpc` is a KDPC, and stays where it is while the routine may run.
pub(crate) unsafe fn initialize(call: &str, dpc: PRKDPC, routine: PKDEFERRED_ROUTINE, context: PVOID) {
    let (false, Some(routine)) = (dpc.is_null(), routine) else {
        return violation(call, "contract 2.11", "Dpc and DeferredRoutine are not optional");
    };
    let Some(host) = HOSTS.all().pop() else {
        return violation(call, "an open host", "there is no processor yet");
    };
    let address = dpc.expose_provenance();
    DPCS.remove_all(|row| row.address == address);
    let run = move |call: &KdpcCall<'_>| {
        let dpc = std::ptr::with_exposed_provenance_mut(address);
        // SAFETY: the routine is C's promise; the structure and the arguments are C's own, and nobody here follows them.
        unsafe {
            routine(dpc, pointer(call.deferred_context), pointer(call.argument1), pointer(call.argument2));
        }
    };
    let made = ke_initialize_dpc(&host.processors, move |call, _| run(call), word(context));
    let handle = DPCS.insert(Arc::new(DpcRow { host, dpc: made, address }));
    // SAFETY: the caller's promise. A structure that was never initialised may hold anything, so it is only written.
    unsafe { (&raw mut (*dpc).Reserved).cast::<u64>().write_unaligned(handle.word()) };
}

/// The DPC that lies at `dpc`.
///
/// # Safety
/// `dpc` is NULL or a KDPC.
pub(crate) unsafe fn known(call: &str, dpc: PRKDPC) -> Option<Arc<DpcRow>> {
    let row = if dpc.is_null() {
        None
    } else {
        // SAFETY: the caller's promise.
        let handle = unsafe { (&raw const (*dpc).Reserved).cast::<u64>().read_unaligned() };
        DPCS.get(Handle::of_word(handle)).filter(|row| row.address == dpc.addr())
    };
    if row.is_none() {
        violation(call, "contract 2.11", format_args!("there is no initialised KDPC at {dpc:p}"));
    }
    row
}

/// A pointer of C's as a word.
pub(crate) fn word(pointer: PVOID) -> u64 {
    pointer.expose_provenance() as u64
}

fn pointer(word: u64) -> PVOID {
    std::ptr::with_exposed_provenance_mut(usize::try_from(word).unwrap_or(0))
}
