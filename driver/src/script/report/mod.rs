//! A script's outcome for other programs: KTAP for the kernel's, JUnit XML for those of a CI.

mod junit;

mod ktap;

pub use junit::junit;
pub use ktap::{comment, head, results};
