//! Guests: what their kernels say.

pub mod kernel_log;
