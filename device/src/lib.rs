//! Placeholder, replaced in the next commit.

pub mod memory;
