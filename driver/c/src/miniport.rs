//! The interrupt handlers of a driver written in C, as the interrupt engine sees them.

use std::sync::{Arc, Mutex, OnceLock};

use netdma::contract::CpuSet32;
use netdma::irql::{AtDirql, AtDispatch};
use netdma::ndis::raw::{FALSE, IoInterruptMessageInfoEntry};
use netdma::ndis::raw::{
    ISR_OUT_ON_ENTRY, IoInterruptMessageInfo, MESSAGES_MAX, NdisReceiveThrottleParameters,
};
use netdma::ndis::{
    DpcCall, DpcContext, DpcRequest, Interrupt, InterruptHandle, IsrResult, LineHandlers, MessageHandlers,
    MessageId, NdisVersion,
};

use crate::handle::{Kind, Table};
use crate::host::Host;
use crate::ndis_types::NDIS_MINIPORT_INTERRUPT_CHARACTERISTICS;
use crate::wdm_types::PVOID;

/// The registered ones.
pub(crate) static INTERRUPTS: Table<InterruptRow> = Table::new(Kind::Interrupt);

/// The message table in C's layout.
pub(crate) type MessageTable = IoInterruptMessageInfo<[IoInterruptMessageInfoEntry; MESSAGES_MAX as usize]>;

/// A registered interrupt.
pub(crate) struct InterruptRow {
    pub(crate) host: Arc<Host>,
    /// There before the first service routine runs (IR-2).
    pub(crate) handle: OnceLock<InterruptHandle>,
    pub(crate) interrupt: Mutex<Option<Registered>>,
}

/// What ends with NdisMDeregisterInterruptEx.
pub(crate) struct Registered {
    pub(crate) interrupt: Interrupt,
    /// C has a pointer to it.
    pub(crate) table: Option<Box<MessageTable>>,
}

// SAFETY: the table's entries hold one pointer each, which is NULL.
unsafe impl Send for Registered {}

/// The handlers. Those that must be there were checked at registration.
pub(crate) struct CMiniport {
    pub(crate) context: usize,
    pub(crate) version: NdisVersion,
    pub(crate) table: NDIS_MINIPORT_INTERRUPT_CHARACTERISTICS,
}

// SAFETY: of the structure only the functions are used, which the contract calls from any thread; the context is a bare
// address that nothing here follows.
unsafe impl Send for CMiniport {}
// SAFETY: as above; all fields are read-only.
unsafe impl Sync for CMiniport {}

impl CMiniport {
    fn context(&self) -> PVOID {
        std::ptr::with_exposed_provenance_mut(self.context)
    }

    /// A DPC's run: its context, and the throttle where the version has one (DP-3).
    fn dpc(&self, call: &mut DpcCall, routine: impl FnOnce(PVOID, PVOID)) {
        let context = call.context.map_or(0, |DpcContext(word)| usize::try_from(word).unwrap_or(0));
        let context = std::ptr::with_exposed_provenance_mut(context);
        let mut throttle = NdisReceiveThrottleParameters::from(call.throttle);
        let there = self.version.has_receive_throttle();
        let pointer: PVOID = if there { (&raw mut throttle).cast() } else { std::ptr::null_mut() };
        routine(context, pointer);
        if there {
            call.throttle = throttle.into();
        }
    }
}

impl LineHandlers for CMiniport {
    fn interrupt(&self, _: &AtDirql) -> IsrResult {
        let (mut default, mut targets) = ISR_OUT_ON_ENTRY;
        // SAFETY: the function is C's promise (contract 2.4); both out parameters are locals.
        let claimed = self
            .table
            .InterruptHandler
            .map(|isr| unsafe { isr(self.context(), &raw mut default, &raw mut targets) });
        result(claimed, default, targets)
    }

    fn interrupt_dpc(&self, call: &mut DpcCall, _: &AtDispatch) {
        let Some(dpc) = self.table.InterruptDpcHandler else { return };
        self.dpc(call, |context, throttle| {
            // SAFETY: the function is C's promise (contract 2.5); the throttle is a local, or NULL.
            unsafe { dpc(self.context(), context, throttle, std::ptr::null_mut()) }
        });
    }

    fn disable_interrupt(&self, _: &AtDirql) {
        // SAFETY: the function is C's promise (contract 2.8).
        self.table.DisableInterruptHandler.inspect(|disable| unsafe { disable(self.context()) });
    }

    fn enable_interrupt(&self, _: &AtDirql) {
        // SAFETY: the function is C's promise (contract 2.8).
        self.table.EnableInterruptHandler.inspect(|enable| unsafe { enable(self.context()) });
    }
}

impl MessageHandlers for CMiniport {
    fn message_interrupt(&self, message: MessageId, _: &AtDirql) -> IsrResult {
        let (mut default, mut targets) = ISR_OUT_ON_ENTRY;
        // SAFETY: the function is C's promise (contract 2.4); both out parameters are locals.
        let claimed = self
            .table
            .MessageInterruptHandler
            .map(|isr| unsafe { isr(self.context(), message.get(), &raw mut default, &raw mut targets) });
        result(claimed, default, targets)
    }

    fn message_interrupt_dpc(&self, call: &mut DpcCall, _: &AtDispatch) {
        let Some(dpc) = self.table.MessageInterruptDpcHandler else { return };
        let message = call.message.get();
        self.dpc(call, |context, throttle| {
            // SAFETY: the function is C's promise (contract 2.5); the throttle is a local, or NULL.
            unsafe { dpc(self.context(), message, context, throttle, std::ptr::null_mut()) }
        });
    }

    fn disable_message_interrupt(&self, message: MessageId, _: &AtDirql) {
        let disable = self.table.DisableMessageInterruptHandler;
        // SAFETY: the function is C's promise (contract 2.8).
        disable.inspect(|disable| unsafe { disable(self.context(), message.get()) });
    }

    fn enable_message_interrupt(&self, message: MessageId, _: &AtDirql) {
        let enable = self.table.EnableMessageInterruptHandler;
        // SAFETY: the function is C's promise (contract 2.8).
        enable.inspect(|enable| unsafe { enable(self.context(), message.get()) });
    }
}

fn result(claimed: Option<u8>, default: u8, targets: u32) -> IsrResult {
    // The default DPC wins over the map (IS-3).
    let dpc = match (default != FALSE, targets) {
        (true, _) => DpcRequest::DefaultCpu,
        (false, 0) => DpcRequest::None,
        (false, targets) => DpcRequest::Cpus(CpuSet32(targets)),
    };
    IsrResult { claimed: claimed.is_some_and(|claimed| claimed != FALSE), dpc, address: 0 }
}
