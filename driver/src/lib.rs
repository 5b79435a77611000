//! A user-space driver for Intel I/OAT over VFIO: NetDMA's provider contract above, NDIS interrupt and DPC
//! semantics in the middle, three small hardware traits below.
//!
//! The library does not know whether its device is virtual.

pub mod hw;

pub mod irql;

pub mod ndis;

pub mod contract;

pub mod ioat;

pub mod client;

pub mod conformance;

#[cfg(feature = "script")]
pub mod script;
