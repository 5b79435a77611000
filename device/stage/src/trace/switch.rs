//! Turns a trace that is built in on and off, at any time.

use std::sync::OnceLock;

use super::{Detail, Event, Executed, Trace};
use crate::sync::atomic::{AtomicU8, Ordering};

/// A sink behind an atomic [`Detail`]: off, it costs whoever emits one look per step. The sink may come later, for a program
/// that can be told to trace while it runs.
#[derive(Debug)]
pub struct Switch<T> {
    detail: AtomicU8,
    sink: OnceLock<T>,
}

impl<T> Switch<T> {
    /// Off, and without a sink.
    #[must_use]
    pub fn new() -> Self {
        Self { detail: AtomicU8::new(Detail::Off as u8), sink: OnceLock::new() }
    }

    /// Connected to `sink`, and set to `detail`.
    #[must_use]
    pub fn of(sink: T, detail: Detail) -> Self {
        Self { detail: AtomicU8::new(detail as u8), sink: OnceLock::from(sink) }
    }

    /// Gives it its sink.
    ///
    /// # Errors
    /// `sink`, when there is one already.
    pub fn connect(&self, sink: T) -> Result<(), T> {
        self.sink.set(sink)
    }

    /// The sink.
    pub fn sink(&self) -> Option<&T> {
        self.sink.get()
    }

    /// Sets how much is wanted. A step of a channel that has begun goes on as it began; without a sink nothing is taken
    /// whatever is set.
    pub fn set(&self, detail: Detail) {
        self.detail.store(detail as u8, Ordering::Relaxed);
    }

    /// The sink, if it is on.
    fn on(&self) -> Option<&T> {
        if self.wanted() == Detail::Off { None } else { self.sink.get() }
    }

    /// What is set. Relaxed: it orders nothing.
    #[inline]
    fn wanted(&self) -> Detail {
        match self.detail.load(Ordering::Relaxed) {
            0 => Detail::Off,
            1 => Detail::Descriptors,
            _ => Detail::Stages,
        }
    }
}

impl<T> Default for Switch<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Trace> Trace for Switch<T> {
    fn event(&self, event: Event) {
        if let Some(sink) = self.on() {
            sink.event(event);
        }
    }

    fn executed(&self, executed: Executed) {
        // A step that began before it was switched off.
        if let Some(sink) = self.on() {
            sink.executed(executed);
        }
    }

    fn executed_all(&self, all: &[Executed]) {
        if let Some(sink) = self.on() {
            sink.executed_all(all);
        }
    }

    #[inline]
    fn detail(&self) -> Detail {
        match self.wanted() {
            Detail::Off => Detail::Off,
            wanted => self.sink.get().map_or(Detail::Off, |sink| wanted.min(sink.detail())),
        }
    }

    fn flush(&self) {
        if let Some(sink) = self.sink.get() {
            sink.flush();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::trace::Recorder;

    #[test]
    fn a_switch_is_off_until_it_has_a_sink_and_is_set_and_never_wants_more_than_its_sink() {
        let switch = Switch::<Arc<Recorder>>::new();
        switch.set(Detail::Stages);
        assert_eq!(switch.detail(), Detail::Off);
        assert!(switch.connect(Recorder::with_detail(1, Detail::Descriptors)).is_ok());
        assert_eq!(switch.detail(), Detail::Descriptors);
        switch.set(Detail::Off);
        assert_eq!(switch.detail(), Detail::Off);
        assert!(switch.connect(Recorder::new(1)).is_err());
    }
}
