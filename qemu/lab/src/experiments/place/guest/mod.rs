//! Experiments in a guest, on drivers that nobody here wrote: the guest kernel's own module, a module of the user's, any program on VFIO.
//!
//! One boot serves many experiments. Each is a pass of the work with the rules armed, and then one without them, which must be clean:
//! that shows that the driver came through, and leaves the guest as the next experiment wants it. A guest that died or hangs is
//! booted anew.

mod attempt;
pub mod dmatest;
pub mod kernel_log;
pub mod module;
pub mod open;
mod pace;
mod room;
pub mod subject;

use std::time::Duration;

use ioat_stage::{Action, Point};
use netdma_vm::message::KernelLine;

use self::attempt::Attempt;
use self::kernel_log::Harmless;
use self::pace::Pace;
use self::room::Room;
use self::subject::{Subject, Work};
use super::device_view::without_directions;
use super::{Golden, Infra, Limits, Place};
use crate::experiments::experiment::Experiment;
use crate::experiments::observation::Observation;

pub use self::room::{Furnishing, kernel_of};

/// A pass without any rule may take this long for each step.
const GOLDEN_PATIENCE: Duration = Duration::from_secs(60);

/// A guest with a subject.
#[derive(Debug)]
pub struct GuestPlace {
    room: Room,
    subject: Subject,
    harmless: Harmless,
    /// The driver that the device must be handed to by name.
    hand_to: Option<String>,
    /// A pass without rules was made, and its lines are known.
    learned: bool,
    /// How long the work takes without rules.
    pace: Pace,
}

/// What came of a pass.
struct Passed {
    facts: Observation,
    said: Vec<KernelLine>,
    /// The end of the console of a kernel that died.
    console: Option<String>,
    took: Duration,
    /// The part of it in which the driver had work.
    worked: Duration,
    /// The guest cannot be used any further.
    gone: bool,
}

impl GuestPlace {
    /// A place; nothing is booted yet.
    #[must_use]
    pub fn new(furnishing: Furnishing, subject: Subject) -> Self {
        let room = Room::new(furnished(furnishing, &subject), needs(&subject));
        let (harmless, pace) = (Harmless::default(), Pace::default());
        Self { room, subject, harmless, hand_to: None, learned: false, pace }
    }

    /// How often a guest was booted so far.
    #[must_use]
    pub fn boots(&self) -> u64 {
        self.room.boots
    }

    /// Kernel, QEMU and processor of the guest; boots it if need be.
    ///
    /// # Errors
    /// When it does not boot.
    pub fn summary(&mut self) -> Result<String, Infra> {
        Ok(self.room.guest()?.summary())
    }

    /// The first pass is slower than those that follow. It shows who takes the device, and what the kernel says anyway.
    fn learn(&mut self) -> Result<(), Infra> {
        if self.learned {
            return Ok(());
        }
        let mut passed = self.pass(0, GOLDEN_PATIENCE)?;
        if passed.facts.failures.iter().any(|text| text.ends_with(attempt::NOT_TAKEN)) {
            self.hand_to = self.driver_of_the_module()?;
            passed = self.pass(0, GOLDEN_PATIENCE)?;
        }
        self.harmless.learn(&passed.said);
        self.learned = true;
        Ok(())
    }

    /// The module's first PCI driver, asked while it is loaded.
    fn driver_of_the_module(&mut self) -> Result<Option<String>, Infra> {
        let Some(module) = &self.subject.module else { return Ok(None) };
        let (name, params) = (&module.tested.name, &module.tested.params);
        let path = room::module_path(name);
        let line = format!("insmod {path} {params} && ls /sys/module/{name}/drivers; rmmod {name}");
        let output = self.room.guest()?.run(&["sh", "-c", &line], GOLDEN_PATIENCE);
        let output = output.map_err(|error| Infra(error.into()))?;
        let listed = String::from_utf8_lossy(&output.stdout).into_owned();
        Ok(listed.lines().find_map(|line| line.trim().strip_prefix("pci:")).map(str::to_owned))
    }

    /// One pass of the work through the guest, with whatever rules are armed.
    fn pass(&mut self, seed: u64, limit: Duration) -> Result<Passed, Infra> {
        let guest = self.room.guest()?;
        let mark = guest.mark().map_err(|error| Infra(error.into()))?;
        let mut attempt = Attempt {
            guest,
            subject: &self.subject,
            hand_to: self.hand_to.as_deref(),
            harmless: &self.harmless,
            seed,
            limit,
            mark,
            took: Duration::ZERO,
            worked: Duration::ZERO,
            said: Vec::new(),
            console: None,
            facts: Observation::default(),
        };
        let gone = attempt.run().is_err();
        let Attempt { facts, said, console, took, worked, .. } = attempt;
        if gone {
            log::info!("the guest is given up: {facts:?}");
        }
        Ok(Passed { facts, said, console, took, worked, gone })
    }

    /// The pass after the fault, without any rule: it must be clean, or the driver did not come through.
    fn clean_pass(
        &mut self,
        experiment: &Experiment,
        facts: &mut Observation,
        limit: Duration,
    ) -> Result<(), Infra> {
        let guest = self.room.guest()?;
        guest.device.disarm()?;
        // A reset that sticks, sticks until the function is reset: the device's doing, not the driver's.
        if experiment.rules.iter().any(|rule| matches!(rule.action, Action::Stick)) {
            self.renew()?;
        }
        let clean = self.pass(experiment.seed, limit)?;
        let lists =
            [&clean.facts.crashes, &clean.facts.hangs, &clean.facts.corruptions, &clean.facts.failures];
        let first = lists.into_iter().flatten().next();
        if first.is_none() && !clean.gone {
            self.pace.learn(clean.worked);
        }
        facts.hangs.extend(first.map(|text| format!("not clean again after the fault: {text}")));
        facts.infra.extend(clean.facts.infra);
        if clean.gone || !facts.hangs.is_empty() {
            self.room.give_up();
            return Ok(());
        }
        self.renew()
    }

    /// The device as after power-on, for a driver that is yet to be loaded. Under vfio-pci it stays bound: that resets it whenever
    /// it is opened, and after a reset behind its back it reads zeros from a BAR that it believes to be enabled.
    fn renew(&mut self) -> Result<(), Infra> {
        if self.subject.module.is_none() {
            return Ok(());
        }
        self.room.guest()?.device.reset()
    }

    /// The experiment itself; the guest may be in any state afterwards.
    fn broken_pass(&mut self, experiment: &Experiment, limits: &Limits) -> Result<Observation, Infra> {
        self.room.guest()?.device.begin(&experiment.rules)?;
        let limit = limits.hang.max(self.least_patience());
        let passed = self.pass(experiment.seed, limit)?;
        let mut facts = passed.facts;
        facts.took_ns = u64::try_from(passed.took.as_nanos()).unwrap_or(u64::MAX);
        facts.slow = passed.took > limits.degraded;
        // The device's program outlives a guest that panicked.
        self.room.guest()?.device.end(&mut facts)?;
        facts.recoveries.extend(self.found_by_looking(&facts, experiment, passed.worked));
        let worked_ms = u64::try_from(passed.worked.as_millis()).unwrap_or(u64::MAX);
        facts.device.insert("work-took-ms".to_owned(), worked_ms.into());
        let log = kernel_log::excerpt(&passed.said, passed.console.as_deref(), &self.harmless);
        if !log.is_empty() {
            facts.device.insert("kernel-log".to_owned(), log.into());
        }
        // Nobody can drive a device that left for good; a new guest brings a new one.
        let left =
            experiment.rules.iter().any(|rule| matches!(rule.action, Action::Remove(0) | Action::Kill));
        let over = left
            || passed.gone
            || !(facts.hangs.is_empty() && facts.crashes.is_empty() && facts.infra.is_empty());
        if over {
            self.room.give_up();
            return Ok(facts);
        }
        self.clean_pass(experiment, &mut facts, limit)?;
        Ok(facts)
    }

    /// A driver that lost an interrupt and did all its work found it by looking, which took longer; many say no word of it. That the
    /// message was lost is the device's own word (what fired), that the driver waited is the clock's.
    fn found_by_looking(
        &self,
        facts: &Observation,
        experiment: &Experiment,
        worked: Duration,
    ) -> Option<String> {
        let lost = |rule: &ioat_stage::Rule| rule.point == Point::Msix && rule.action == Action::Drop;
        let fired = !facts.fired.is_empty() && experiment.rules.iter().any(lost);
        let late = fired.then(|| self.pace.late(worked)).flatten()?;
        Some(format!("the work whose interrupt was lost was found {:.1} s later", late.as_secs_f64()))
    }

    /// A step has at least this long before it counts as stuck, however short the golden run: drivers wait for seconds by themselves.
    fn least_patience(&self) -> Duration {
        match self.subject.work {
            // Six tests of three seconds each, all timed out, and the resets between them.
            Work::DmaTest(_) => Duration::from_secs(25),
            // ioatdma's self-test waits three, its watchdog up to two.
            Work::Bind | Work::Command(_) => Duration::from_secs(10),
        }
    }
}

impl Place for GuestPlace {
    fn golden(&mut self, seed: u64) -> Result<Golden, Infra> {
        self.learn()?;
        // Two, because one alone may meet a busy moment of the host; the slower one makes the limits.
        let timed = self.pass(seed, GOLDEN_PATIENCE)?;
        self.room.guest()?.device.begin_census()?;
        let counted = self.pass(seed, GOLDEN_PATIENCE)?;
        let guest = self.room.guest()?;
        let accesses = guest.device.end_accesses()?;
        let mut observation = counted.facts;
        guest.device.end(&mut observation)?;
        self.renew()?;
        if timed.gone || counted.gone {
            self.room.give_up();
        }
        self.pace.learn(timed.worked);
        self.pace.learn(counted.worked);
        let took_ns = u64::try_from(timed.took.max(counted.took).as_nanos()).unwrap_or(u64::MAX);
        observation.took_ns = took_ns;
        Ok(Golden { took_ns, operations: without_directions(&accesses), accesses, observation })
    }

    fn run(&mut self, experiment: &Experiment, limits: &Limits) -> Result<Observation, Infra> {
        self.learn()?;
        let result = self.broken_pass(experiment, limits);
        if result.is_err() {
            self.room.give_up();
        }
        result
    }
}

/// The modules under test, which the guest gets as files.
fn furnished(furnishing: Furnishing, subject: &Subject) -> Furnishing {
    let tested = subject.module.iter().map(|module| module.tested.clone());
    let mut modules: Vec<_> = tested.collect();
    if let Work::DmaTest(test) = &subject.work {
        modules.push(test.module.clone());
    }
    Furnishing { modules, bind: subject.module.is_none(), ..furnishing }
}

/// The modules that are loaded at once and stay.
fn needs(subject: &Subject) -> Vec<netdma_vm::modules::LoadedModule> {
    subject.module.iter().flat_map(|module| module.needs.clone()).collect()
}
