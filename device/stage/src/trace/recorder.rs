//! The sink that keeps the newest events in memory: for tests and scripts.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{Detail, Event, Executed, Trace};
use crate::sync::Mutex;

/// Keeps the newest events in memory, and the newest records of descriptors.
pub struct Recorder {
    events: Mutex<VecDeque<Event>>,
    executed: Mutex<VecDeque<Executed>>,
    capacity: usize,
    detail: Detail,
}

impl Recorder {
    /// A recorder of the newest `capacity` events.
    #[must_use]
    pub fn new(capacity: usize) -> Arc<Self> {
        Self::with_detail(capacity, Detail::Stages)
    }

    /// A recorder of so much detail, and of the newest `capacity` events and as many records of descriptors.
    #[must_use]
    pub fn with_detail(capacity: usize, detail: Detail) -> Arc<Self> {
        Arc::new(Self { events: Mutex::default(), executed: Mutex::default(), capacity, detail })
    }

    /// The events kept so far, oldest first.
    #[must_use]
    pub fn events(&self) -> Vec<Event> {
        self.events.lock().iter().copied().collect()
    }

    /// The records of descriptors kept so far, oldest first.
    #[must_use]
    pub fn descriptors(&self) -> Vec<Executed> {
        self.executed.lock().iter().copied().collect()
    }

    fn keep<E>(&self, kept: &Mutex<VecDeque<E>>, one: E) {
        let mut kept = kept.lock();
        if kept.len() == self.capacity {
            kept.pop_front();
        }
        kept.push_back(one);
    }
}

impl Trace for Recorder {
    fn event(&self, event: Event) {
        self.keep(&self.events, event);
    }

    fn executed(&self, executed: Executed) {
        self.keep(&self.executed, executed);
    }

    fn detail(&self) -> Detail {
        self.detail
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stage::Stage;
    use crate::trace::Mark;

    #[test]
    fn the_recorder_keeps_the_newest() {
        let recorder = Recorder::new(2);
        for sequence in 0..3 {
            recorder.event(Event {
                stage: Stage::Copy,
                channel: 1,
                generation: 2,
                sequence,
                address: 0x1000,
                len: 64,
                mark: Mark::Ok,
                vector: None,
                processor: None,
            });
        }
        assert_eq!(recorder.events().iter().map(|e| e.sequence).collect::<Vec<_>>(), [1, 2]);
    }
}
