//! What Intel's I/OAT v3 DMA engine looks like to software: names, offsets, bits and formats.
//!
//! Device and driver both read this crate, so it holds facts and no policy: nothing here decides what
//! happens when a register is written. The words are those of the datasheets and of the drivers that
//! exist; where those disagree, the item says so.
//!
//! Reading order: who the device is ([`pci`]), where its registers are ([`register`]), what their bits
//! mean ([`general`], [`channel`], [`chanerr`]), and what a descriptor is ([`descriptor`]).
#![no_std]

pub mod pci;

pub mod register;

pub mod general;

pub mod channel;

pub mod chanerr;

pub mod descriptor;

pub use chanerr::ChanErr;
pub use channel::{ChanCmd, ChanCtrl, ChanSts, ChannelState, DcaCtrl};
pub use descriptor::{Control, Descriptor, Opcode};
pub use general::{CbVer, DmaCapability, IntrCtrl};
pub use register::{ChannelRegister, GeneralRegister, Located, locate};
