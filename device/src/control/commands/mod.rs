//! What commands do.

pub(crate) mod device;

pub(crate) mod channels;

pub(crate) mod faults;

pub(crate) mod tracing;

use super::desk::{Answer, Desk};
use super::given::Given;
use super::protocol::Complaint;

/// Carries a command out.
pub(crate) type Run = fn(&Desk, &Given) -> Result<Answer, Complaint>;
