//! Runs drivers on the virtual engine, judges them, and reports.
//!
//! It reaches the others through their public faces only: the device as a program, the driver as a program in the
//! guest, the guest through `netdma-vm`.

pub mod programs;

pub mod guests;

pub mod kmod;

pub mod mend;

pub mod ctl;

pub mod selftest;

pub mod sim;

pub mod experiments;

pub mod stock;

pub mod table;

pub mod timeline;

pub mod trace;

pub mod whole_path;
