//! `netdma.h`: what NetDMA exports to providers (contract 1.7).

use std::ptr::NonNull;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use netdma::contract::raw::{NetDmaPnpNotification, NetDmaProviderAttributes};
use netdma::contract::{DescriptorAddr, NtStatus, ProviderHandle, Started};

use crate::boundary::{dirql, dispatch, enter, passive};
use crate::characteristics::read_characteristics;
use crate::handle::Handle;
use crate::host::{INTERFACE_VERSION, host};
use crate::netdma_types::{
    PNET_DMA_PNP_NOTIFICATION, PNET_DMA_PROVIDER_ATTRIBUTES, PNET_DMA_PROVIDER_CHARACTERISTICS,
};
use crate::provider::{CHANNELS, CProvider, Channel, PROVIDERS, Phase, ProviderRow};
use crate::report::{failure, violation};
use crate::wdm_types::{
    NTSTATUS, PHYSICAL_ADDRESS, PULONG, PVOID, STATUS_SUCCESS, STATUS_UNSUCCESSFUL, ULONG,
};

/// Registers a provider; from AddDevice, at PASSIVE_LEVEL. ProviderSetDmaChannelCpuAffinity is called before it returns.
/// The interface keeps a copy of the characteristics.
///
/// # Safety
/// `pNetDmaProviderHandle` is where the handle goes; `ProviderCharacteristics` has the size that it says, and its
/// FriendlyName the text.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn NetDmaRegisterProvider(
    ProviderContext: PVOID,
    pNetDmaProviderHandle: *mut PVOID,
    ProviderCharacteristics: PNET_DMA_PROVIDER_CHARACTERISTICS,
) -> NTSTATUS {
    const CALL: &str = "NetDmaRegisterProvider";
    enter(CALL, STATUS_UNSUCCESSFUL, || {
        let Some(level) = passive(CALL, "contract 1.7") else { return STATUS_UNSUCCESSFUL };
        let Some(table) = NonNull::new(ProviderCharacteristics).filter(|_| !pNetDmaProviderHandle.is_null())
        else {
            violation(
                CALL,
                "contract 1.7",
                "pNetDmaProviderHandle and ProviderCharacteristics are not optional",
            );
            return STATUS_UNSUCCESSFUL;
        };
        // SAFETY: the caller's promise.
        let read = unsafe { read_characteristics(table.cast()) };
        let (raw, name) = match read {
            Ok(read) => read,
            Err(error) => return refused(CALL, "contract 1.5.4", error),
        };
        let Some(open) = host(raw.v1.physical_device_object) else {
            return refused(CALL, "contract 1.5.4", "PhysicalDeviceObject is not an open host's handle");
        };
        let checked = match raw.v1.check(name.as_deref(), &open.device.name) {
            Ok(checked) => checked,
            Err(error) => return refused(CALL, error.clause, error),
        };
        // SAFETY: laid out alike, which the compiler checked; FriendlyName is not used any more.
        let callbacks = unsafe {
            (&raw const raw).cast::<crate::netdma_types::NET_DMA_PROVIDER_CHARACTERISTICS>().read()
        };
        let provider = Arc::new(CProvider::new(open.clone(), ProviderContext, callbacks));
        match open.interface.register_provider(provider, checked.characteristics, &level) {
            Ok(registered) => {
                let phase = Mutex::new(Phase::Registered(registered));
                let handle = PROVIDERS.insert(Arc::new(ProviderRow { host: open, phase }));
                // SAFETY: the caller's promise.
                unsafe { pNetDmaProviderHandle.write(handle.to_c()) };
                STATUS_SUCCESS
            }
            Err(error) => {
                failure(CALL, &error);
                status(error.status())
            }
        }
    })
}

/// Ends a registration, after NetDmaProviderStop. PASSIVE_LEVEL.
#[unsafe(no_mangle)]
pub extern "C" fn NetDmaDeregisterProvider(NetDmaProviderHandle: PVOID) {
    const CALL: &str = "NetDmaDeregisterProvider";
    enter(CALL, (), || {
        let Some(level) = passive(CALL, "contract 1.7") else { return };
        change(CALL, NetDmaProviderHandle, |phase| match phase {
            Phase::Registered(registered) => {
                registered.deregister(&level);
                PROVIDERS.remove(Handle::from_c(NetDmaProviderHandle));
                Phase::Changing
            }
            other => {
                violation(CALL, "ND-F7", "the provider is started: Stop comes first");
                other
            }
        });
    });
}

/// Says that every channel is initialised and every callback serviceable. PASSIVE_LEVEL.
///
/// # Safety
/// `ProviderAttributes` has the size that it says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn NetDmaProviderStart(
    NetDmaProviderHandle: PVOID,
    ProviderAttributes: PNET_DMA_PROVIDER_ATTRIBUTES,
) {
    const CALL: &str = "NetDmaProviderStart";
    enter(CALL, (), || {
        let Some(level) = passive(CALL, "contract 1.7") else { return };
        let Some(table) = NonNull::new(ProviderAttributes.cast::<NetDmaProviderAttributes>()) else {
            return violation(CALL, "contract 1.7", "ProviderAttributes is not optional");
        };
        let mut raw = NetDmaProviderAttributes::default();
        // SAFETY: the caller's promise; what Size says is at least what is read.
        unsafe {
            raw.size = (&raw const (*table.as_ptr()).size).read_unaligned();
            if raw.size >= NetDmaProviderAttributes::BYTES {
                raw = table.as_ptr().read_unaligned();
            }
        }
        let attributes = match raw.check() {
            Ok(attributes) => attributes,
            Err(error) => return violation(CALL, error.clause, error),
        };
        change(CALL, NetDmaProviderHandle, |phase| match phase {
            Phase::Registered(registered) => match registered.start(attributes, &level) {
                Ok(started) => Phase::Started(started),
                Err((registered, error)) => {
                    violation(CALL, "contract 1.5.5", error);
                    Phase::Registered(registered)
                }
            },
            other => {
                violation(CALL, "ND-F9", "the provider is started already");
                other
            }
        });
    });
}

/// Waits until nothing is outstanding, frees every channel, and returns. PASSIVE_LEVEL; interrupts must go on meanwhile.
#[unsafe(no_mangle)]
pub extern "C" fn NetDmaProviderStop(NetDmaProviderHandle: PVOID) {
    const CALL: &str = "NetDmaProviderStop";
    enter(CALL, (), || {
        let Some(level) = passive(CALL, "contract 1.7") else { return };
        change(CALL, NetDmaProviderHandle, |phase| match phase {
            Phase::Started(started) => Phase::Registered(started.stop(&level)),
            other => {
                violation(CALL, "contract 1.9", "the provider is not started");
                other
            }
        });
    });
}

/// From the service routine: the latest completed descriptor. The processor of the DPC goes to *pCpuNumber; after a
/// wrong call it is as it was. The device's level.
///
/// # Safety
/// `pCpuNumber` is where the number goes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn NetDmaIsr(
    NetDmaChannelHandle: PVOID,
    DmaDescriptor: PHYSICAL_ADDRESS,
    pCpuNumber: PULONG,
) {
    const CALL: &str = "NetDmaIsr";
    enter(CALL, (), || {
        let Some(level) = dirql(CALL, "C-ND-08") else { return };
        let Some(channel) = channel(CALL, NetDmaChannelHandle) else { return };
        let Some(latest) = DescriptorAddr::new(DmaDescriptor.bits()) else {
            let found = DmaDescriptor.bits();
            return violation(
                CALL,
                "ND-I14",
                format_args!("DmaDescriptor is {found:#x}, no descriptor's address"),
            );
        };
        if pCpuNumber.is_null() {
            return violation(CALL, "ND-I5", "pCpuNumber is NULL");
        }
        let cpu = channel.host.interface.net_dma_isr(&channel.handle, latest, &level);
        // SAFETY: the caller's promise.
        unsafe { pCpuNumber.write(cpu.0) };
    });
}

/// From the DPC: the latest completed descriptor, read in the DPC, or 0 for another reason than a completion.
/// DISPATCH_LEVEL.
#[unsafe(no_mangle)]
pub extern "C" fn NetDmaInterruptDpc(NetDmaChannelHandle: PVOID, DmaDescriptor: PHYSICAL_ADDRESS) {
    const CALL: &str = "NetDmaInterruptDpc";
    enter(CALL, (), || {
        let Some(level) = dispatch(CALL, "C-ND-07") else { return };
        let Some(channel) = channel(CALL, NetDmaChannelHandle) else { return };
        let latest = match DmaDescriptor.bits() {
            0 => None,
            bits => match DescriptorAddr::new(bits) {
                Some(latest) => Some(latest),
                None => {
                    return violation(CALL, "ND-D1", format_args!("{bits:#x} is not on a 64-byte boundary"));
                }
            },
        };
        channel.host.interface.net_dma_interrupt_dpc(&channel.handle, latest, &level);
    });
}

/// The interface's version: major in the high half, minor in the low. PASSIVE_LEVEL. It is the interface of the host
/// opened last; 0 for one of 1.0, which does not have the call.
#[unsafe(no_mangle)]
pub extern "C" fn NetDmaGetVersion() -> ULONG {
    const CALL: &str = "NetDmaGetVersion";
    enter(CALL, 0, || {
        let Some(_) = passive(CALL, "contract 1.7") else { return 0 };
        let version = INTERFACE_VERSION.load(Ordering::Acquire);
        if version == 0 {
            violation(CALL, "ND-V3", "an interface of 1.0 does not have it");
        }
        version
    })
}

/// Says that the device is about to leave the working state, or is back in it. PASSIVE_LEVEL.
///
/// # Safety
/// `PnPEvent` has the size that it says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn NetDmaPnPEventNotify(
    NetDmaProviderHandle: PVOID,
    PnPEvent: PNET_DMA_PNP_NOTIFICATION,
) {
    const CALL: &str = "NetDmaPnPEventNotify";
    enter(CALL, (), || {
        let Some(level) = passive(CALL, "contract 1.7") else { return };
        let Some(table) = NonNull::new(PnPEvent.cast::<NetDmaPnpNotification>()) else {
            return violation(CALL, "contract 1.7", "PnPEvent is not optional");
        };
        // SAFETY: the caller's promise; the two words are there in every size, and what Size says is at least what is
        // read then.
        let raw = unsafe {
            let size = (&raw const (*table.as_ptr()).structure_size).read_unaligned();
            (size >= NetDmaPnpNotification::BYTES).then(|| table.as_ptr().read_unaligned())
        };
        let Some(raw) = raw else {
            return violation(CALL, "contract 1.5.6", "StructureSize is less than sizeof");
        };
        let event = match raw.check() {
            Ok(event) => event,
            Err(error) => return violation(CALL, error.clause, error),
        };
        let notify = |started: &ProviderHandle<Started>| {
            if let Err(error) = started.pnp_event_notify(event, &level) {
                violation(CALL, "contract 1.13", error);
            }
        };
        change(CALL, NetDmaProviderHandle, |phase| match phase {
            Phase::Started(started) => {
                notify(&started);
                Phase::Started(started)
            }
            other => {
                violation(CALL, "contract 1.9", "the provider is not started");
                other
            }
        });
    });
}

/// Takes the provider's phase out, for the call may block and callbacks come meanwhile, and puts back the next one.
fn change(call: &'static str, handle: PVOID, next: impl FnOnce(Phase) -> Phase) {
    let Some(row) = PROVIDERS.get(Handle::from_c(handle)) else {
        return violation(call, "ND-F9", format_args!("handle {handle:p} names no registered provider"));
    };
    let phase = std::mem::replace(&mut *lock(&row.phase), Phase::Changing);
    if let Phase::Changing = phase {
        return violation(call, "contract 1.9", "another call on the provider has not returned");
    }
    let phase = next(phase);
    *lock(&row.phase) = phase;
}

fn lock(phase: &Mutex<Phase>) -> MutexGuard<'_, Phase> {
    phase.lock().unwrap_or_else(PoisonError::into_inner)
}

fn channel(call: &str, handle: PVOID) -> Option<Arc<Channel>> {
    let channel = CHANNELS.get(Handle::from_c(handle));
    if channel.is_none() {
        violation(call, "ND-P14", format_args!("handle {handle:p} names no allocated channel"));
    }
    channel
}

fn refused(call: &str, clause: &str, what: impl std::fmt::Display) -> NTSTATUS {
    violation(call, clause, what);
    STATUS_UNSUCCESSFUL
}

/// The word as C has it.
pub(crate) fn status(status: NtStatus) -> NTSTATUS {
    NTSTATUS::from_ne_bytes(status.0.to_ne_bytes())
}
