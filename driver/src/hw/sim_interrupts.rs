//! Interrupts of the device in this process: what the kernel's VFIO is to a function on a bus.
//!
//! Messages are edges: a count and a bell for each vector, and those between two waits are one wake. The line is a
//! level that masks itself each time that it fires, and is looked at again when it is unmasked.

use std::io;
use std::sync::Arc;

use ioat_stage::sync::Mutex;
use ioat_stage::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use ioat_stage::{Bell, Pause};
use vfio_user_ioat::InterruptSink;

use super::{Fired, HwError, InterruptSource, Routed};

/// Both faces: the device's sink and the driver's source.
pub(super) struct SimInterrupts {
    vectors: Box<[Vector]>,
    line: Mutex<Line>,
    /// The line's wakes. It fires as vector 0, which a device without messages has not.
    line_vector: Vector,
    /// Messages are on.
    enabled: AtomicBool,
    /// The line is on. Written under its lock.
    line_enabled: AtomicBool,
    stopped: AtomicBool,
    pause: Arc<dyn Pause>,
}

#[derive(Default)]
struct Vector {
    fired: AtomicU64,
    bell: Bell,
}

#[derive(Default)]
struct Line {
    /// What the device says.
    asserted: bool,
    /// It has fired, and nobody has unmasked it since.
    masked: bool,
}

impl SimInterrupts {
    pub(super) fn new(vectors: u16, pause: Arc<dyn Pause>) -> Self {
        Self {
            vectors: (0..vectors).map(|_| Vector::default()).collect(),
            line: Mutex::new(Line::default()),
            line_vector: Vector::default(),
            enabled: AtomicBool::new(false),
            line_enabled: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
            pause,
        }
    }

    fn vector(&self, number: u32, what: &'static str) -> Result<&Vector, HwError> {
        if number == 0 && self.line_enabled.load(Ordering::Acquire) {
            return Ok(&self.line_vector);
        }
        let vector = usize::try_from(number).ok().and_then(|number| self.vectors.get(number));
        let source = io::ErrorKind::InvalidInput;
        vector.ok_or_else(|| HwError::Interrupt { vector: number, what, source: source.into() })
    }

    /// Fires the line if it is asserted and nothing is in the way. The change of its state and the decision are one
    /// step under the lock, so that neither an unmasking nor an assertion is missed.
    fn change_line(&self, change: impl FnOnce(&mut Line)) {
        let mut line = self.line.lock();
        change(&mut line);
        if line.asserted && !line.masked && self.line_enabled.load(Ordering::Acquire) {
            line.masked = true;
            self.fire(&self.line_vector);
        }
    }

    fn fire(&self, vector: &Vector) {
        // Counted before the ring, so that whoever it wakes finds it.
        vector.fired.fetch_add(1, Ordering::Release);
        self.pause.ring(&vector.bell);
    }
}

impl InterruptSink for SimInterrupts {
    fn message_enabled(&self) -> bool {
        self.enabled.load(Ordering::Acquire)
    }

    fn signal(&self, vector: u16) {
        if !self.message_enabled() {
            return;
        }
        if let Some(vector) = self.vectors.get(usize::from(vector)) {
            self.fire(vector);
        }
    }

    fn line(&self, asserted: bool) {
        self.change_line(|line| line.asserted = asserted);
    }
}

impl InterruptSource for SimInterrupts {
    fn vectors(&self) -> u32 {
        u32::try_from(self.vectors.len()).unwrap_or(u32::MAX)
    }

    fn enable(&self, count: u32) -> Result<(), HwError> {
        self.disable()?;
        if let Some(last) = count.checked_sub(1) {
            self.vector(last, "enabling a vector that is not there")?;
        }
        // What fired before is nobody's.
        self.vectors.iter().for_each(|vector| vector.fired.store(0, Ordering::Relaxed));
        if count > 0 {
            self.stopped.store(false, Ordering::Release);
        }
        self.enabled.store(count > 0, Ordering::Release);
        Ok(())
    }

    fn disable(&self) -> Result<(), HwError> {
        self.enabled.store(false, Ordering::Release);
        let _line = self.line.lock();
        self.line_enabled.store(false, Ordering::Release);
        Ok(())
    }

    fn wait(&self, vector: u32, pause: &dyn Pause) -> Result<Fired, HwError> {
        let vector = self.vector(vector, "waiting for a vector that is not there")?;
        loop {
            let seen = vector.bell.seen();
            if self.stopped.load(Ordering::Acquire) {
                return Ok(Fired::Stopped);
            }
            match vector.fired.swap(0, Ordering::Acquire) {
                0 => pause.wait(&vector.bell, seen, None),
                times => return Ok(Fired::Times(times)),
            };
        }
    }

    fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        for vector in self.vectors.iter().chain([&self.line_vector]) {
            self.pause.ring(&vector.bell);
        }
    }

    fn route(&self, _: u32, _: u32) -> Routed {
        Routed::NotApplicable
    }

    fn has_line(&self) -> bool {
        true
    }

    fn enable_line(&self) -> Result<(), HwError> {
        self.disable()?;
        self.stopped.store(false, Ordering::Release);
        self.change_line(|line| {
            line.masked = false;
            self.line_vector.fired.store(0, Ordering::Relaxed);
            self.line_enabled.store(true, Ordering::Release);
        });
        Ok(())
    }

    fn unmask_line(&self) -> Result<(), HwError> {
        self.change_line(|line| line.masked = false);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use ioat_stage::ThreadPause;

    use super::*;

    fn fired(source: &SimInterrupts) -> u64 {
        source.line_vector.fired.swap(0, Ordering::AcqRel)
    }

    #[test]
    fn a_line_fires_once_for_each_unmasking_while_it_is_asserted() {
        let source = SimInterrupts::new(0, Arc::new(ThreadPause::new()));
        source.line(true);
        assert_eq!(fired(&source), 0, "not enabled");
        source.enable_line().unwrap();
        assert_eq!(fired(&source), 1, "asserted when it was enabled");
        source.line(false);
        source.line(true);
        assert_eq!(fired(&source), 0, "masked by itself");
        source.unmask_line().unwrap();
        assert_eq!(fired(&source), 1, "looked at again");
        source.line(false);
        source.unmask_line().unwrap();
        assert_eq!(fired(&source), 0, "nothing is asserted");
        source.line(true);
        assert_eq!(fired(&source), 1);
        source.disable().unwrap();
        source.unmask_line().unwrap();
        assert_eq!(fired(&source), 0, "disabled");
    }

    #[test]
    fn messages_and_line_exclude_each_other_and_what_is_not_there_is_refused() {
        let source = SimInterrupts::new(1, Arc::new(ThreadPause::new()));
        source.enable(1).unwrap();
        source.line(true);
        assert_eq!(fired(&source), 0);
        source.enable_line().unwrap();
        assert!(!source.message_enabled());
        assert_eq!(fired(&source), 1);
        source.enable(1).unwrap();
        source.unmask_line().unwrap();
        assert_eq!(fired(&source), 0);
        assert!(matches!(source.enable(2), Err(HwError::Interrupt { vector: 1, .. })));
    }
}
