//! A script's interrupts: a task for each vector that waits and counts, and what is held back.
//!
//! The counts are software: the device and the bus know nothing of a vector that is held back.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::Duration;

use ioat_stage::pause::{Join, SharedPause, deadline};
use ioat_stage::sync::Mutex;
use ioat_stage::{Bell, Task};

use crate::hw::{Device, Fired, HwError, InterruptKind};

/// What became of one vector's interrupts.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Counts {
    /// All that were delivered.
    pub(super) delivered: u64,
    /// Those of them that a wait has returned.
    pub(super) taken: u64,
    /// Came while the vector was held back, and are not delivered.
    pub(super) held: u64,
    holding: bool,
    /// It fired and was not opened since; of a line.
    masked: bool,
    /// Why nobody counts any more.
    failed: Option<String>,
}

/// What the waiting tasks and the script share.
struct Desk {
    vectors: Mutex<Vec<Counts>>,
    bell: Bell,
    pause: SharedPause,
}

/// The interrupts of a session.
pub(super) struct Interrupts {
    device: Device,
    desk: Arc<Desk>,
    enabled: Cell<Option<(InterruptKind, u32)>>,
    /// The kind that the tasks wait for. A wait may look up its vector only once, so another kind takes new tasks.
    waited: Cell<Option<(InterruptKind, u32)>>,
    tasks: RefCell<Vec<Box<dyn Join>>>,
    /// The driver has them.
    lent: Cell<bool>,
}

impl Interrupts {
    pub(super) fn new(device: &Device) -> Self {
        let (vectors, bell, pause) = (Mutex::new(Vec::new()), Bell::new(), device.pause.clone());
        Self {
            device: device.clone(),
            desk: Arc::new(Desk { vectors, bell, pause }),
            enabled: Cell::new(None),
            waited: Cell::new(None),
            tasks: RefCell::default(),
            lent: Cell::new(false),
        }
    }

    /// What is enabled.
    pub(super) fn enabled(&self) -> Option<(InterruptKind, u32)> {
        self.enabled.get()
    }

    /// Gives them to the driver, whose own tasks wait then. The error says why not.
    pub(super) fn lend(&self) -> Result<(), String> {
        if self.waited.get().is_some() {
            return Err(
                "the script has had interrupts of its own (irq_enable): start a session for the driver"
                    .into(),
            );
        }
        if self.lent.replace(true) {
            return Err("a driver is attached already".into());
        }
        Ok(())
    }

    /// Enables the first `count` vectors of a kind; all counts begin at 0.
    pub(super) fn enable(&self, kind: InterruptKind, count: u32) -> Result<(), String> {
        if self.lent.get() {
            return Err("the driver has the interrupts of this session".into());
        }
        let offered = self.device.interrupts.offers(kind);
        if count == 0 || count > offered {
            return Err(format!("{count} vectors of {kind}: the device offers {offered}"));
        }
        self.disable().map_err(|error| error.to_string())?;
        *self.desk.vectors.lock() = vec![Counts::default(); usize::try_from(count).unwrap_or(0)];
        self.device.interrupts.enable_kind(kind, count).map_err(|error| error.to_string())?;
        self.enabled.set(Some((kind, count)));
        let already = match self.waited.get() {
            Some((waited, already)) if waited == kind => already,
            _ => 0,
        };
        for vector in already..count {
            self.wait_for(vector, kind)?;
        }
        self.waited.set(Some((kind, count.max(already))));
        Ok(())
    }

    /// Disables all.
    pub(super) fn disable(&self) -> Result<(), HwError> {
        if self.enabled.take().is_some() {
            self.device.interrupts.disable()?;
        }
        Ok(())
    }

    /// What became of a vector's interrupts so far. The error names what is enabled.
    pub(super) fn counts(&self, vector: u32) -> Result<Counts, String> {
        self.with(vector, |counts| counts.clone())
    }

    /// Takes what was delivered since the last time.
    pub(super) fn take(&self, vector: u32) -> Result<u64, String> {
        let (new, failed) = self.with(vector, |counts| {
            let new = counts.delivered - counts.taken;
            counts.taken = counts.delivered;
            (new, counts.failed.clone())
        })?;
        match failed {
            Some(failed) if new == 0 => Err(failed),
            _ => Ok(new),
        }
    }

    /// Holds a vector back from now on, or delivers what was held back and holds no more. How many those were.
    pub(super) fn hold(&self, vector: u32, holding: bool) -> Result<u64, String> {
        let released = self.with(vector, |counts| {
            counts.holding = holding;
            if holding {
                return 0;
            }
            counts.delivered += counts.held;
            std::mem::take(&mut counts.held)
        })?;
        self.desk.pause.ring(&self.desk.bell);
        Ok(released)
    }

    /// A line that has fired is masked until it is opened again. One that fired and is not counted yet is left alone:
    /// the device may still assert it, and it would count twice.
    pub(super) fn unmask(&self) -> Result<(), HwError> {
        let line = matches!(self.enabled.get(), Some((InterruptKind::Line, _)));
        let masked = |counts: &mut Counts| std::mem::take(&mut counts.masked);
        let masked = line && self.desk.vectors.lock().first_mut().is_some_and(masked);
        if masked { self.device.interrupts.unmask_line() } else { Ok(()) }
    }

    /// Waits until something happens to any vector, for at most `most`. `look` runs after the bell was read, so that
    /// nothing is slept through.
    pub(super) fn sleep_unless<T>(
        &self,
        most: Duration,
        look: impl FnOnce() -> Result<Option<T>, String>,
    ) -> Result<Option<T>, String> {
        let seen = self.desk.bell.seen();
        let found = look()?;
        if found.is_none() {
            let until = deadline(&*self.desk.pause, most);
            self.desk.pause.wait(&self.desk.bell, seen, Some(until));
        }
        Ok(found)
    }

    /// Drops what is held back, disables all, and ends the tasks, for good.
    pub(super) fn end(&self) -> Result<(), HwError> {
        self.desk.vectors.lock().iter_mut().for_each(|counts| counts.held = 0);
        self.enabled.set(None);
        let disabled = self.device.interrupts.disable();
        self.device.interrupts.stop();
        for task in self.tasks.take() {
            if !task.join() {
                log::error!("a task that waits for interrupts panicked");
            }
        }
        disabled
    }

    fn with<T>(&self, vector: u32, use_it: impl FnOnce(&mut Counts) -> T) -> Result<T, String> {
        let mut vectors = self.desk.vectors.lock();
        let index = usize::try_from(vector).unwrap_or(usize::MAX);
        if self.enabled.get().is_none() && vectors.is_empty() {
            return Err("no interrupt is enabled: call irq_enable first".into());
        }
        let enabled = vectors.len();
        let counts = vectors.get_mut(index);
        counts.map(use_it).ok_or_else(|| format!("vector {vector}: only {enabled} are enabled, from 0"))
    }

    fn wait_for(&self, vector: u32, kind: InterruptKind) -> Result<(), String> {
        let (desk, source) = (self.desk.clone(), self.device.interrupts.clone());
        let body = move || loop {
            match source.wait(vector, &*desk.pause) {
                Ok(Fired::Times(times)) => desk.count(vector, times),
                Ok(Fired::Stopped) => return,
                Err(error) => return desk.fail(vector, &error),
            }
        };
        let task = Task { name: format!("irq-{kind}-{vector}"), cpu: None };
        let task = self.desk.pause.spawn(task, Box::new(body));
        let task = task.map_err(|error| format!("cannot start a task for vector {vector}: {error}"))?;
        self.tasks.borrow_mut().push(task);
        Ok(())
    }
}

impl Desk {
    fn count(&self, vector: u32, times: u64) {
        self.change(vector, |counts| {
            counts.masked = true;
            if counts.holding { counts.held += times } else { counts.delivered += times }
        });
    }

    fn fail(&self, vector: u32, error: &HwError) {
        self.change(vector, |counts| counts.failed = Some(error.to_string()));
    }

    fn change(&self, vector: u32, change: impl FnOnce(&mut Counts)) {
        // A vector that is enabled no more: what still comes of it is nobody's.
        if let Some(counts) = self.vectors.lock().get_mut(usize::try_from(vector).unwrap_or(usize::MAX)) {
            change(counts);
        }
        self.pause.ring(&self.bell);
    }
}
