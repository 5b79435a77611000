//! `wdm.h`: the calls that ask for the caller's level and processor.

use crate::boundary;
use crate::wdm_types::{KIRQL, ULONG};

/// The caller's level.
#[unsafe(no_mangle)]
pub extern "C" fn KeGetCurrentIrql() -> KIRQL {
    boundary::level()
}

/// The processor whose service routine or DPC calls; 0 for any other thread, which has none.
#[unsafe(no_mangle)]
pub extern "C" fn KeGetCurrentProcessorNumber() -> ULONG {
    boundary::processor()
}
