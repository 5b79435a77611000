//! Events of both sides in memory, with their times, for a script to look at.

use std::collections::VecDeque;
use std::sync::Arc;

use ioat_stage::pause::SharedPause;
use ioat_stage::sync::Mutex;
use ioat_stage::{Event, Side, Trace};

/// One event, when it was and whose.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize)]
pub struct Recorded {
    /// By the clock of the pause that the recording was made with.
    pub t_ns: u64,
    /// Who left it.
    pub side: Side,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// Keeps the newest events of the device and of the driver, in the order in which they came.
pub struct Recording {
    events: Mutex<VecDeque<Recorded>>,
    capacity: usize,
    clock: SharedPause,
}

impl Recording {
    /// One that keeps `capacity` events.
    #[must_use]
    pub fn new(clock: SharedPause, capacity: usize) -> Arc<Self> {
        Arc::new(Self { events: Mutex::new(VecDeque::new()), capacity: capacity.max(1), clock })
    }

    /// Where the events of one side go.
    #[must_use]
    pub fn sink(self: &Arc<Self>, side: Side) -> Arc<dyn Trace> {
        Arc::new(Sink { recording: self.clone(), side })
    }

    /// What is kept, oldest first.
    #[must_use]
    pub fn events(&self) -> Vec<Recorded> {
        self.events.lock().iter().copied().collect()
    }

    /// Forgets all.
    pub fn clear(&self) {
        self.events.lock().clear();
    }
}

struct Sink {
    recording: Arc<Recording>,
    side: Side,
}

impl Trace for Sink {
    fn event(&self, event: Event) {
        let Recording { events, capacity, clock } = &*self.recording;
        let mut events = events.lock();
        if events.len() == *capacity {
            events.pop_front();
        }
        // Stamped under the lock, so that the order is that of the times.
        events.push_back(Recorded { t_ns: clock.now_ns(), side: self.side, event });
    }
}
