//! `netdma_host.h`: the device's registers.

use netdma::hw::Space;

use crate::boundary::enter;
use crate::host_calls::{invalid, known};
use crate::host_types::NETDMA_HOST;
use crate::report::failure;
use crate::wdm_types::{
    NTSTATUS, STATUS_INVALID_PARAMETER, STATUS_SUCCESS, STATUS_UNSUCCESSFUL, ULONG, ULONG64,
};

/// Reads 1, 2, 4 or 8 bytes of BAR 0. Any level.
///
/// # Safety
/// `Value` is where they go.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn NetDmaHostReadBar(
    Host: NETDMA_HOST,
    Offset: ULONG64,
    Width: ULONG,
    Value: *mut ULONG64,
) -> NTSTATUS {
    // SAFETY: the caller's promise.
    unsafe { read("NetDmaHostReadBar", Space::BAR0, Host, Offset, Width, Value) }
}

/// Writes 1, 2, 4 or 8 bytes of BAR 0. Any level.
#[unsafe(no_mangle)]
pub extern "C" fn NetDmaHostWriteBar(
    Host: NETDMA_HOST,
    Offset: ULONG64,
    Width: ULONG,
    Value: ULONG64,
) -> NTSTATUS {
    write("NetDmaHostWriteBar", Space::BAR0, Host, Offset, Width, Value)
}

/// Reads 1, 2, 4 or 8 bytes of configuration space. Any level.
///
/// # Safety
/// `Value` is where they go.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn NetDmaHostReadConfig(
    Host: NETDMA_HOST,
    Offset: ULONG64,
    Width: ULONG,
    Value: *mut ULONG64,
) -> NTSTATUS {
    // SAFETY: the caller's promise.
    unsafe { read("NetDmaHostReadConfig", Space::Config, Host, Offset, Width, Value) }
}

/// Writes 1, 2, 4 or 8 bytes of configuration space. Any level.
#[unsafe(no_mangle)]
pub extern "C" fn NetDmaHostWriteConfig(
    Host: NETDMA_HOST,
    Offset: ULONG64,
    Width: ULONG,
    Value: ULONG64,
) -> NTSTATUS {
    write("NetDmaHostWriteConfig", Space::Config, Host, Offset, Width, Value)
}

/// # Safety
/// `value` is where the register goes.
unsafe fn read(
    call: &'static str,
    space: Space,
    handle: NETDMA_HOST,
    offset: u64,
    width: u32,
    value: *mut u64,
) -> NTSTATUS {
    enter(call, STATUS_UNSUCCESSFUL, || {
        let Some(open) = known(call, handle) else { return STATUS_INVALID_PARAMETER };
        if value.is_null() || !aligned(offset, width) {
            return invalid(call, format_args!("{width} bytes at {offset:#x}: 1, 2, 4 or 8, aligned"));
        }
        let mut data = [0; 8];
        match open.device.registers.read(space, offset, &mut data[..width as usize]) {
            Ok(()) => {
                // SAFETY: the caller's promise.
                unsafe { value.write(u64::from_le_bytes(data)) };
                STATUS_SUCCESS
            }
            Err(error) => {
                failure(call, error);
                STATUS_UNSUCCESSFUL
            }
        }
    })
}

fn write(
    call: &'static str,
    space: Space,
    handle: NETDMA_HOST,
    offset: u64,
    width: u32,
    value: u64,
) -> NTSTATUS {
    enter(call, STATUS_UNSUCCESSFUL, || {
        let Some(open) = known(call, handle) else { return STATUS_INVALID_PARAMETER };
        if !aligned(offset, width) {
            return invalid(call, format_args!("{width} bytes at {offset:#x}: 1, 2, 4 or 8, aligned"));
        }
        match open.device.registers.write(space, offset, &value.to_le_bytes()[..width as usize]) {
            Ok(()) => STATUS_SUCCESS,
            Err(error) => {
                failure(call, error);
                STATUS_UNSUCCESSFUL
            }
        }
    })
}

fn aligned(offset: u64, width: u32) -> bool {
    matches!(width, 1 | 2 | 4 | 8) && offset % u64::from(width) == 0
}
