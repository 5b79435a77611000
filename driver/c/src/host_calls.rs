//! `netdma_host.h`: what the host offers to a C program.

use std::ffi::{CStr, c_char};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use netdma::contract::{InterfaceRevision, NetDmaVersion};
use netdma::ndis::NdisVersion;

use crate::boundary::{enter, passive};
use crate::client::{self, Plan};
use crate::handle::Handle;
use crate::host::{HOSTS, Host, INTERFACE_VERSION, Options, host};
use crate::host_types::{
    NETDMA_HOST, NETDMA_HOST_DEFAULT, NETDMA_HOST_OPTIONS, NETDMA_HOST_RESULT, NETDMA_HOST_RUN,
    NETDMA_HOST_VISTA, NETDMA_HOST_VISTA_SP1, NETDMA_HOST_WINDOWS_7,
};
use crate::kdpc::DPCS;
use crate::miniport::INTERRUPTS;
use crate::provider::PROVIDERS;
use crate::report::{self, failure, violation};
use crate::wdm_types::{
    NTSTATUS, PHYSICAL_ADDRESS, PVOID, STATUS_INSUFFICIENT_RESOURCES, STATUS_INVALID_PARAMETER,
    STATUS_SUCCESS, STATUS_UNSUCCESSFUL, ULONG, ULONG64,
};

/// Opens a device: "sim" or "sim:PROFILE" (in this process), "socket:PATH", or a PCI address. Options may be NULL: four
/// processors, NDIS 6.20, the interface of Windows 7.
///
/// # Safety
/// `Place` is a text that a zero ends; `Options` is NULL or has the size that it says; `Host` is where the handle goes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn NetDmaHostOpen(
    Place: *const c_char,
    Options: *const NETDMA_HOST_OPTIONS,
    Host: *mut NETDMA_HOST,
) -> NTSTATUS {
    const CALL: &str = "NetDmaHostOpen";
    enter(CALL, STATUS_UNSUCCESSFUL, || {
        if Place.is_null() || Host.is_null() {
            return invalid(CALL, "Place and Host must not be NULL");
        }
        // SAFETY: the caller's promise.
        let (place, options) = unsafe { (CStr::from_ptr(Place), read_options(Options)) };
        let options = match options {
            Ok(options) => options,
            Err(error) => return invalid(CALL, error),
        };
        let faults = if options.Faults.is_null() {
            c""
        } else {
            // SAFETY: the caller's promise.
            unsafe { CStr::from_ptr(options.Faults) }
        };
        match open(&place.to_string_lossy(), &options, &faults.to_string_lossy()) {
            Ok(handle) => {
                // SAFETY: the caller's promise.
                unsafe { Host.write(handle.to_c()) };
                STATUS_SUCCESS
            }
            Err(error) => {
                failure(CALL, error);
                STATUS_UNSUCCESSFUL
            }
        }
    })
}

/// Closes it. STATUS_UNSUCCESSFUL while a provider or an interrupt is registered, or memory is allocated.
#[unsafe(no_mangle)]
pub extern "C" fn NetDmaHostClose(Host: NETDMA_HOST) -> NTSTATUS {
    const CALL: &str = "NetDmaHostClose";
    enter(CALL, STATUS_UNSUCCESSFUL, || {
        let Some(open) = known(CALL, Host) else { return STATUS_INVALID_PARAMETER };
        if passive(CALL, "its threads end with it").is_none() {
            return STATUS_UNSUCCESSFUL;
        }
        let providers = PROVIDERS.count(|row| Arc::ptr_eq(&row.host, &open));
        let interrupts = INTERRUPTS.count(|row| Arc::ptr_eq(&row.host, &open));
        let buffers = open.buffers();
        if providers + interrupts + buffers > 0 {
            let what = format_args!(
                "still there: {providers} providers, {interrupts} interrupts, {buffers} buffers"
            );
            violation(CALL, "nothing may outlive the host", what);
            return STATUS_UNSUCCESSFUL;
        }
        DPCS.remove_all(|row| Arc::ptr_eq(&row.host, &open));
        HOSTS.remove(Handle::from_c(Host));
        STATUS_SUCCESS
    })
}

/// Zeroed memory that the engine reaches, in whole pages: both its addresses. PASSIVE_LEVEL.
///
/// # Safety
/// `VirtualAddress` and `PhysicalAddress` are where they go.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn NetDmaHostAllocate(
    Host: NETDMA_HOST,
    Bytes: ULONG64,
    VirtualAddress: *mut PVOID,
    PhysicalAddress: *mut PHYSICAL_ADDRESS,
) -> NTSTATUS {
    const CALL: &str = "NetDmaHostAllocate";
    enter(CALL, STATUS_UNSUCCESSFUL, || {
        let Some(open) = known(CALL, Host) else { return STATUS_INVALID_PARAMETER };
        if VirtualAddress.is_null() || PhysicalAddress.is_null() {
            return invalid(CALL, "VirtualAddress and PhysicalAddress must not be NULL");
        }
        if passive(CALL, "it may wait for the device").is_none() {
            return STATUS_UNSUCCESSFUL;
        }
        let bytes = usize::try_from(Bytes).unwrap_or(usize::MAX);
        match open.allocate(bytes) {
            Ok((virt, phys)) => {
                // SAFETY: the caller's promise.
                unsafe {
                    VirtualAddress.write(std::ptr::with_exposed_provenance_mut(virt));
                    PhysicalAddress.write(PHYSICAL_ADDRESS::of(phys));
                }
                STATUS_SUCCESS
            }
            Err(error) => {
                failure(CALL, error);
                STATUS_INSUFFICIENT_RESOURCES
            }
        }
    })
}

/// Takes the memory away, from the engine too. PASSIVE_LEVEL.
#[unsafe(no_mangle)]
pub extern "C" fn NetDmaHostFree(Host: NETDMA_HOST, VirtualAddress: PVOID) {
    const CALL: &str = "NetDmaHostFree";
    enter(CALL, (), || {
        let Some(open) = known(CALL, Host) else { return };
        if passive(CALL, "it waits for the device").is_some() && !open.free(VirtualAddress.addr()) {
            violation(CALL, "allocated before", format_args!("there is no memory at {VirtualAddress:p}"));
        }
    });
}

/// Lets some microseconds pass.
#[unsafe(no_mangle)]
pub extern "C" fn NetDmaHostStall(Host: NETDMA_HOST, Microseconds: ULONG) {
    const CALL: &str = "NetDmaHostStall";
    enter(CALL, (), || {
        if let Some(open) = known(CALL, Host) {
            open.device.pause.sleep(Duration::from_micros(Microseconds.into()));
        }
    });
}

/// Acts as NetDMA's client with the started provider: allocates channels, copies and compares, stops and goes on where
/// that is offered, and frees. STATUS_SUCCESS if every byte was right. PASSIVE_LEVEL.
///
/// # Safety
/// `Run` and `Result` have the sizes that they say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn NetDmaHostRun(
    Host: NETDMA_HOST,
    Run: *const NETDMA_HOST_RUN,
    Result: *mut NETDMA_HOST_RESULT,
) -> NTSTATUS {
    const CALL: &str = "NetDmaHostRun";
    enter(CALL, STATUS_UNSUCCESSFUL, || {
        let Some(open) = known(CALL, Host) else { return STATUS_INVALID_PARAMETER };
        if Run.is_null() || Result.is_null() {
            return invalid(CALL, "Run and Result must not be NULL");
        }
        // SAFETY: the caller's promise; a size is the first word of each.
        let sizes = unsafe { ((*Run).Size as usize, (*Result).Size as usize) };
        if sizes.0 < size_of::<NETDMA_HOST_RUN>() || sizes.1 < size_of::<NETDMA_HOST_RESULT>() {
            return invalid(CALL, format_args!("sizes {sizes:?} are less than the structures'"));
        }
        let Some(level) = passive(CALL, "it waits") else { return STATUS_UNSUCCESSFUL };
        // SAFETY: the caller's promise, and the size was checked.
        let run = unsafe { *Run };
        let plan = Plan {
            channels: run.Channels,
            rounds: run.Rounds,
            descriptors: run.Descriptors,
            bytes: run.Bytes,
        };
        let size = u32::try_from(sizes.1).unwrap_or(u32::MAX);
        let mut done = NETDMA_HOST_RESULT { Size: size, ..NETDMA_HOST_RESULT::default() };
        let ran = client::run(&open, plan, &mut done, &level);
        if let Err(error) = &ran {
            done.Errors += 1;
            failure(CALL, error);
        }
        // SAFETY: the caller's promise, and the size was checked.
        unsafe { Result.write(done) };
        if ran.is_ok() { STATUS_SUCCESS } else { STATUS_UNSUCCESSFUL }
    })
}

/// The calling thread's last error, "" if there was none. Good until its next one.
#[unsafe(no_mangle)]
pub extern "C" fn NetDmaHostLastError() -> *const c_char {
    report::last()
}

/// Calls that broke the contract so far, of all threads.
#[unsafe(no_mangle)]
pub extern "C" fn NetDmaHostViolations() -> ULONG64 {
    report::violations()
}

fn open(place: &str, options: &NETDMA_HOST_OPTIONS, faults: &str) -> Result<Handle, String> {
    let (major, minor) = (options.NdisMajorVersion, options.NdisMinorVersion);
    let ndis = NdisVersion::from_numbers(major, minor)
        .ok_or_else(|| format!("NDIS {major}.{minor}: 6.0, 6.1 and 6.20 are known"))?;
    let revision = match options.NetDmaRevision {
        NETDMA_HOST_VISTA => InterfaceRevision::Vista,
        NETDMA_HOST_VISTA_SP1 => InterfaceRevision::VistaSp1,
        NETDMA_HOST_WINDOWS_7 => InterfaceRevision::Windows7,
        other => return Err(format!("NetDmaRevision {other}: 0, 1 and 2 are known")),
    };
    let chosen = |value: u16| (value != NETDMA_HOST_DEFAULT).then_some(value);
    let channels = chosen(options.Channels).map(u8::try_from).transpose();
    let channels = channels.map_err(|_| format!("{} channels: 1 to 8", options.Channels))?;
    let vectors = chosen(options.Vectors);
    let processors = options.Processors;
    let opened = Host::open(&Options { place, processors, ndis, revision, faults, channels, vectors })?;
    let version = match revision {
        // (ND-V3) An interface of 1.0 does not have the call.
        InterfaceRevision::Vista => 0,
        _ => revision.version().word(),
    };
    INTERFACE_VERSION.store(version, Ordering::Release);
    Ok(HOSTS.insert(Arc::new(opened)))
}

const _: () = assert!(NetDmaVersion::V2_0.word() == 0x0002_0000);

/// The options, or what stands for NULL.
///
/// # Safety
/// `options` is NULL or has the size that it says.
unsafe fn read_options(options: *const NETDMA_HOST_OPTIONS) -> Result<NETDMA_HOST_OPTIONS, String> {
    let size = size_of::<NETDMA_HOST_OPTIONS>();
    if options.is_null() {
        return Ok(NETDMA_HOST_OPTIONS {
            Size: u32::try_from(size).unwrap_or(0),
            Processors: 4,
            NdisMajorVersion: 6,
            NdisMinorVersion: 20,
            NetDmaRevision: NETDMA_HOST_WINDOWS_7,
            Reserved: 0,
            Channels: NETDMA_HOST_DEFAULT,
            Vectors: NETDMA_HOST_DEFAULT,
            Faults: std::ptr::null(),
        });
    }
    // SAFETY: the caller's promise; the size is the first word.
    let found = unsafe { (*options).Size } as usize;
    if found < size {
        return Err(format!("NETDMA_HOST_OPTIONS.Size is {found}, expected {size}"));
    }
    // SAFETY: the caller's promise, and the size was checked.
    Ok(unsafe { *options })
}

pub(crate) fn known(call: &str, handle: NETDMA_HOST) -> Option<Arc<Host>> {
    let known = host(handle);
    if known.is_none() {
        violation(call, "an open host", format_args!("handle {handle:p} names none"));
    }
    known
}

pub(crate) fn invalid(call: &str, what: impl std::fmt::Display) -> NTSTATUS {
    failure(call, what);
    STATUS_INVALID_PARAMETER
}
