//! What happens in the device, for whoever watches it from the bench. Nothing in the device depends on being watched.

use std::sync::{Arc, OnceLock};

use ioat_spec::ChanErr;

/// Something that happened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Happening {
    /// A client of the device was let in.
    ClientConnected,
    /// It is gone, and what it left is cleaned up.
    ClientDisconnected,
    /// A channel halted.
    Halted {
        /// Its number.
        channel: u8,
        /// Why. Empty if every bit was masked.
        chanerr: ChanErr,
        /// The last descriptor that was done; 0 if none.
        completed: u64,
        /// The number of the descriptor that was not done.
        sequence: u64,
    },
    /// A channel that is paused has ended a step.
    Stepped {
        /// Its number.
        channel: u8,
        /// Descriptors that the step did.
        descriptors: u64,
        /// Descriptors that it may still do.
        left: u32,
    },
    /// A reset: of this channel, or of the whole function.
    Reset {
        /// CHANCMD.RESET; none: FLR, DEVICE_RESET, or the end of a client.
        channel: Option<u8>,
    },
}

/// Takes what happens. Called under the device's locks: it must not block, nor call back.
pub trait Observer: Send + Sync {
    /// Takes one.
    fn happened(&self, happening: Happening);
}

/// A place for one observer.
#[derive(Default)]
pub(crate) struct Observed(OnceLock<Arc<dyn Observer>>);

impl Observed {
    /// False if there is an observer already.
    pub(crate) fn set(&self, observer: Arc<dyn Observer>) -> bool {
        self.0.set(observer).is_ok()
    }

    pub(crate) fn tell(&self, happening: Happening) {
        if let Some(observer) = self.0.get() {
            observer.happened(happening);
        }
    }
}
