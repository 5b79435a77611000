//! A bench's hand on a running engine.

use std::sync::Arc;

use ioat_spec::pci::MSIX_PBA_OFFSET;
use ioat_stage::{Faults, Trace};

use super::{Engine, Shared};
use crate::control::{ChannelView, Controls};
use crate::memory::Stats;
use crate::observer::Observer;
use crate::profile::Profile;
use crate::server::{IrqTable, irq};

impl<F, T> Engine<F, T>
where
    F: Faults + 'static,
    T: Trace + 'static,
{
    /// Tells `observer` what happens from now on. False if there is one already.
    pub fn observe(&self, observer: Arc<dyn Observer>) -> bool {
        self.shared.function.unaffiliated.observed.set(observer)
    }

    /// What a bench works it with. `irqs` is the table that its interrupts go to.
    #[must_use]
    pub fn controls(&self, irqs: &Arc<IrqTable>) -> Arc<dyn Controls> {
        Arc::new(Handle { shared: Arc::clone(&self.shared), irqs: Arc::clone(irqs) })
    }
}

struct Handle<F: Faults, T: Trace> {
    shared: Arc<Shared<F, T>>,
    irqs: Arc<IrqTable>,
}

impl<F: Faults, T: Trace> Handle<F, T> {
    fn wake(&self, channel: usize) {
        if let Some(bell) = self.shared.work.get(channel) {
            self.shared.pause.ring(bell);
        }
    }
}

impl<F: Faults, T: Trace> Controls for Handle<F, T> {
    fn profile(&self) -> Profile {
        *self.shared.function.profile()
    }

    fn channel(&self, channel: usize) -> Option<ChannelView> {
        self.shared.function.view(channel)
    }

    fn peek(&self, offset: u64, data: &mut [u8]) {
        // The pending bits are kept by whoever delivers the messages.
        if offset == u64::from(MSIX_PBA_OFFSET) && data.len() == 8 {
            data.copy_from_slice(&self.irqs.pending_word(irq::MSIX, 0).to_le_bytes());
        } else {
            self.shared.function.peek(offset, data);
        }
    }

    fn peek_config(&self, offset: u64, data: &mut [u8]) {
        self.shared.function.peek_config(offset, data);
    }

    fn pause(&self, channel: usize) {
        self.shared.function.pause(channel);
        // A worker that was about to begin looks again; one inside a step rings by itself.
        self.wake(channel);
    }

    fn resume(&self, channel: usize) {
        if self.shared.function.resume(channel) {
            self.wake(channel);
        }
    }

    fn allow(&self, channel: usize, descriptors: u32) -> bool {
        let held = self.shared.function.allow(channel, descriptors);
        self.wake(channel);
        held
    }

    fn reset(&self) {
        // Whoever resets at the bench plugs in what had left the bus.
        for effects in [self.shared.function.put_back(), self.shared.function.reset()] {
            self.shared.apply(effects);
        }
        self.irqs.reset();
    }

    fn maps(&self) -> Stats {
        self.shared.table.stats()
    }

    fn delivery(&self) -> &'static str {
        if self.shared.function.unaffiliated.messages() { "msix" } else { "intx" }
    }
}
