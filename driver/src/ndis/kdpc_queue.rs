//! Kernel DPCs in the queues of the processors: insert, remove, and the end of an object.

use std::sync::Arc;

use super::kdpc::NoSuchProcessorNumber;
use super::kdpc_object::KdpcObject;
use super::queue::{DpcQueues, Entry};
use crate::contract::{CpuNumber, ProcessorNumber};

/// The arguments of an insert (SystemArgument1 and 2).
pub type KdpcArguments = (u64, u64);

/// A kernel DPC in a queue. Its arguments are those of the insert that put it there (KD-2).
pub(super) struct QueuedKdpc {
    pub(super) object: Arc<KdpcObject>,
    pub(super) arguments: KdpcArguments,
}

/// A kernel DPC that was taken off its queue.
pub struct RunningKdpc {
    object: Arc<KdpcObject>,
    arguments: KdpcArguments,
}

impl RunningKdpc {
    /// Which.
    #[must_use]
    pub fn object(&self) -> &Arc<KdpcObject> {
        &self.object
    }

    /// What it was inserted with.
    #[must_use]
    pub fn arguments(&self) -> KdpcArguments {
        self.arguments
    }
}

impl From<QueuedKdpc> for RunningKdpc {
    fn from(queued: QueuedKdpc) -> Self {
        // Under the queue's lock, as for NDIS DPCs (KD-3).
        queued.object.unmark();
        Self { object: queued.object, arguments: queued.arguments }
    }
}

impl<O> DpcQueues<O> {
    /// Queues `object` on its target, or on `current` if it has none (KD-1, KD-6). Gives the processor whose worker
    /// must look at its queue; none if it was already queued, or can be no more: then nothing changed (KD-2). Its
    /// slot was reserved, so this neither sleeps nor allocates.
    pub fn insert(
        &self,
        object: &Arc<KdpcObject>,
        current: CpuNumber,
        arguments: KdpcArguments,
    ) -> Option<CpuNumber> {
        // A current processor that does not exist is another engine's: then as for an ordinary thread.
        let current = self.layout().index(current).unwrap_or(0);
        let index = object.target().unwrap_or(current);
        let processor = self.processor(index)?;
        let importance = object.importance();
        if !object.mark(index) {
            processor.count_refused();
            return None;
        }
        let entry = Entry::Kernel(QueuedKdpc { object: object.clone(), arguments });
        let mut fifo = processor.fifo.lock();
        // As for NDIS DPCs: closing takes this lock after it has set the flag.
        if object.is_closed() || !fifo.push(entry, importance, index == current) {
            return None;
        }
        drop(fifo);
        processor.count_queued();
        Some(self.layout().number(index))
    }

    /// Later inserts of `object` go to this processor (KD-6).
    ///
    /// # Errors
    /// When there is no such processor; nothing has changed (KD-7).
    pub fn set_target(
        &self,
        object: &KdpcObject,
        number: ProcessorNumber,
    ) -> Result<(), NoSuchProcessorNumber> {
        // A number that is no processor's must not be taken for that of another group.
        let exists = u32::from(number.number) < CpuNumber::GROUP_SIZE;
        let index = exists.then(|| self.layout().index(number.into())).flatten();
        object.set_target(index.ok_or(NoSuchProcessorNumber(number))?);
        Ok(())
    }

    /// Takes `object` off its queue. False if it is in none: it may run, or never have been queued (KD-11).
    pub fn remove(&self, object: &Arc<KdpcObject>) -> bool {
        // Should this be out of date when the lock is held, then the object was in no queue in between, and the
        // answer "in none" is of that moment.
        let Some(processor) = self.processor(object.queue()) else { return false };
        let mut fifo = processor.fifo.lock();
        let entry = fifo.take(|entry| entry.is_kernel(object));
        if entry.is_some() {
            object.unmark();
        }
        drop(fifo);
        entry.is_some()
    }

    /// Refuses every later insert of `object`, takes it off its queue, and gives its slots back.
    pub fn close_kernel(&self, object: &Arc<KdpcObject>) {
        object.close();
        // An insert may be under way to any queue.
        self.release(1, |entry| entry.is_kernel(object));
    }
}
