//! The contract of interrupts, DPCs and NetDMA's two report calls, from outside, clause by clause: a test's
//! name begins with its clause.
#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod rig;

mod interrupt;

mod isr;

mod queue;

mod dpc;

mod synchronize;

mod diagnose;

mod msix_table;

mod raw;

mod netdma;

mod stress;
