//! A virtual Intel I/OAT v3 DMA engine: the data path as a sans-IO core, the threads around it, and the
//! vfio-user server in front.
//!
//! The modules are listed in the order of the data path.

pub mod memory;

pub mod server;
