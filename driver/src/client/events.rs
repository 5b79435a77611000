//! Completions as a file descriptor.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::sync::Arc;

use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

use super::Error;
use crate::hw::of_event;

/// Readable whenever something on the channel was finished, or failed, since the last [`Events::clear`].
///
/// Clear first, look for work then ([`Submission::try_poll`](super::Submission::try_poll),
/// [`Completions::try_next`](super::Completions::try_next)), and wait only if there was none: so nothing is missed. A lost
/// interrupt makes no event, so wait with a time limit and look again: the look finds what was lost.
#[derive(Clone)]
pub struct Events(Arc<EventFd>);

pub(super) fn new() -> Result<Events, Error> {
    let event = EventFd::new(EFD_NONBLOCK | libc::EFD_CLOEXEC);
    event.map(|event| Events(Arc::new(event))).map_err(|error| Error::Event(Arc::new(error)))
}

impl Events {
    /// Makes it unreadable, and gives how often it was told since the last time.
    #[must_use]
    pub fn clear(&self) -> u64 {
        // An error means that it is empty.
        self.0.read().unwrap_or(0)
    }

    /// Called in the DPC: it does not block, because a full counter is readable anyway.
    pub(super) fn tell(&self) {
        let _ = self.0.write(1);
    }
}

impl AsFd for Events {
    fn as_fd(&self) -> BorrowedFd<'_> {
        of_event(&self.0)
    }
}

impl AsRawFd for Events {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}
