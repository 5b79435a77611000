//! Registers and descriptor formats of Intel I/OAT v3.
#![no_std]
