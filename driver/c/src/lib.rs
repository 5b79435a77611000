//! The C face of `netdma`: a provider's side of NetDMA, and the interrupt and DPC calls of NDIS, for drivers in C.
//!
//! The headers in `include/` have the prototypes of the reference pages: `wdm.h`, `netdma.h`, `ndis.h`. A fourth,
//! `netdma_host.h`, stands in for the machine: it opens a device, gives registers and DMA memory, and acts as NetDMA's
//! client. cbindgen made them from the `*_types.rs` and `*_calls.rs` files, and a test compares.
//!
//! # What a wrong call does
//!
//! Calls with a status answer the documented one. A void call in a wrong state, at a wrong level, or with a handle that
//! names nothing does nothing, logs the clause, counts it (`NetDmaHostViolations`) and leaves a text
//! (`NetDmaHostLastError`). Handles are numbers in the shape of a pointer, each given out once. A panic of the library
//! never unwinds into C.
//!
//! # What is not there
//!
//! Plug and play: AddDevice, start-device and remove-device are plain calls of the C program. The machine's word size is
//! 64 bits: `ULONG` has 32 bits there too.

mod report;

mod handle;

mod boundary;

#[expect(
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    clippy::cast_possible_wrap,
    reason = "the names of the contract; status words"
)]
pub mod wdm_types;

#[expect(non_camel_case_types, non_snake_case, non_upper_case_globals, reason = "the names of the contract")]
pub mod netdma_types;

#[expect(
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    clippy::cast_possible_wrap,
    reason = "the names of the contract; status words"
)]
pub mod ndis_types;

#[expect(non_camel_case_types, non_snake_case, reason = "as the other headers")]
pub mod host_types;

mod host;

#[expect(unsafe_code, reason = "calls C's functions")]
mod provider;

#[expect(unsafe_code, reason = "calls C's functions")]
mod miniport;

#[expect(unsafe_code, reason = "calls C's functions")]
mod kdpc;

mod client;

mod client_channel;

#[expect(unsafe_code, reason = "reads C's structure")]
mod characteristics;

#[expect(unsafe_code, non_snake_case, reason = "called by C, with C's pointers")]
pub mod netdma_calls;

#[expect(unsafe_code, non_snake_case, reason = "called by C, with C's pointers")]
pub mod ndis_calls;

#[expect(
    unsafe_code,
    non_snake_case,
    non_upper_case_globals,
    reason = "called by C, with C's pointers, and the names of the contract"
)]
pub mod wdm_calls;

#[expect(unsafe_code, non_snake_case, reason = "called by C, with C's pointers")]
pub mod host_calls;

#[expect(unsafe_code, non_snake_case, reason = "called by C, with C's pointers")]
pub mod register_calls;
