//! The tasks, the clock and the seed: who goes on at every switch.
//!
//! One world per thread at a time. All its tasks are fibers of that thread; exactly one runs, and it goes on until it
//! waits or comes to a point where the seed may choose another. The clock stands still while tasks run, but for a
//! small step per switch; when none can run it jumps to the next deadline.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

use ioat_stage::{Event, Side, Wake};
use netdma::irql::{self, Irql};

use super::fiber::{self, Fiber};
use super::random::Random;
use super::schedule::{Choices, Chooser, Switch, Taken};

/// What the clock gains with each switch.
const SWITCH_NS: u64 = 100;

/// When to give a scenario up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Trace events.
    pub events: u64,
    /// Points at which the seed chose who goes on: what ends a scenario that spins without an event.
    pub switches: u64,
    /// Virtual time.
    pub time_ns: u64,
}

/// An event, when it happened, and on which side.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stamped {
    /// Virtual time.
    pub t_ns: u64,
    /// Whose.
    pub side: Side,
    /// What.
    pub event: Event,
}

/// What is wrong with a run.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wrong {
    /// A byte that is not what it must be.
    Corruption,
    /// Something was completed twice, never, or without being submitted.
    Completion,
    /// Completions out of the order of submission.
    Order,
    /// A DPC that was queued did not run, or the counters do not add up.
    Dpc,
    /// An interrupt that no rule dropped did not lead to its completion.
    LostInterrupt,
    /// Something is still under way at the end.
    Pending,
    /// Memory, a channel or the device was not given back.
    Resource,
    /// An operation failed, or did not, against the scenario's expectation.
    Outcome,
    /// The driver did what the device's lint calls a violation.
    Conduct,
    /// A task panicked.
    Panic,
    /// No task can ever run again.
    Deadlock,
    /// The scenario's limits are exceeded.
    Limit,
}

/// One thing that is wrong.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct Finding {
    /// Its kind.
    pub wrong: Wrong,
    /// What, where, when.
    pub text: String,
}

/// What a world leaves behind.
pub(super) struct Past {
    pub(super) events: Vec<Stamped>,
    pub(super) findings: Vec<Finding>,
    pub(super) switches: u64,
    /// Where somebody went on who would not have without a switch, if that was written down.
    pub(super) taken: Vec<Taken>,
    pub(super) time_ns: u64,
    /// Tasks were left on their stacks, with all that they own.
    pub(super) stuck: bool,
}

enum State {
    Ready,
    Waits { bell: Option<usize>, until: Option<u64>, since: u64 },
    Joins { task: usize, since: u64 },
    Ended { well: bool },
}

struct Task {
    name: String,
    state: State,
    fiber: Option<Fiber>,
    wake: Wake,
    /// Seldom chosen: so a whole class of tasks falls behind in some seeds.
    slow: bool,
}

struct World {
    random: Random,
    chooser: Chooser,
    limits: Limits,
    now_ns: u64,
    tasks: Vec<Task>,
    ready: Vec<usize>,
    current: usize,
    next: Option<usize>,
    /// The earliest deadline, or an earlier time.
    alarm: u64,
    /// Of 256: how often a task goes on at a point where it could be left.
    stay: u64,
    switches: u64,
    events: Vec<Stamped>,
    findings: Vec<Finding>,
    over: bool,
}

thread_local! {
    static WORLD: RefCell<Option<World>> = const { RefCell::new(None) };
    /// The memory of the events of the last world, for the next.
    static SPARE: RefCell<Vec<Stamped>> = const { RefCell::new(Vec::new()) };
}

/// Runs `main` as the first task of a world of its own, until every task has ended or none can go on.
pub(super) fn run(seed: u64, choices: Choices, limits: Limits, main: impl FnOnce() + Send + 'static) -> Past {
    quiet_panics();
    let mut random = Random::new(seed, 0);
    // Some seeds change at nearly every point, some seldom: short races and long absences.
    let stay = [0, 96, 192, 240][random.index(4)];
    let world = World {
        random,
        chooser: Chooser::new(choices),
        limits,
        now_ns: 0,
        tasks: Vec::new(),
        ready: Vec::new(),
        current: 0,
        next: None,
        alarm: u64::MAX,
        stay,
        switches: 0,
        events: SPARE.take(),
        findings: Vec::new(),
        over: false,
    };
    WORLD.with_borrow_mut(|slot| {
        assert!(slot.is_none(), "a simulated task cannot run a simulation");
        *slot = Some(world);
    });
    let started = spawn("main".to_owned(), Box::new(main));
    let level = irql::exchange(Irql::Passive);
    let processor = irql::exchange_processor(None);
    if started.is_ok() {
        while let Some((task, mut fiber)) = with(World::choose) {
            if fiber.resume() {
                with(|world| world.tasks[task].fiber = Some(fiber));
            } else {
                fiber.recycle();
            }
        }
    }
    irql::exchange_processor(processor);
    irql::exchange(level);
    let world = WORLD.with_borrow_mut(Option::take).unwrap_or_else(|| unreachable!("it was set above"));
    world.past()
}

/// Gives the event memory of a past back, for the next world.
pub(super) fn reuse(mut events: Vec<Stamped>) {
    events.clear();
    SPARE.set(events);
}

/// Virtual time.
pub(super) fn now_ns() -> u64 {
    with(|world| world.now_ns)
}

/// Something is wrong.
pub(super) fn find(wrong: Wrong, text: String) {
    with(|world| world.find(wrong, text));
}

/// Takes one event of a stage.
pub(super) fn record(side: Side, event: Event) {
    with(|world| {
        world.events.push(Stamped { t_ns: world.now_ns, side, event });
        if world.events.len() as u64 > world.limits.events {
            world.give_up(format!("more than {} events", world.limits.events));
        }
    });
}

/// Looks at the events so far. Nothing waits in `look`.
pub(super) fn look<R>(look: impl FnOnce(&[Stamped]) -> R) -> R {
    // Lent, so that what looks may ask the world for the time.
    let events = with(|world| std::mem::take(&mut world.events));
    let seen = look(&events);
    with(|world| world.events = events);
    seen
}

/// Starts a task; it runs when the seed chooses it.
pub(super) fn spawn(name: String, body: Box<dyn FnOnce() + Send>) -> std::io::Result<usize> {
    let task = with(|world| world.tasks.len());
    let fiber = Fiber::new(move || {
        let well = catch_unwind(AssertUnwindSafe(body)).is_ok();
        with(|world| world.ended(task, well));
    })?;
    with(|world| {
        let slow = world.random.below(8) == 0;
        let state = State::Ready;
        world.tasks.push(Task { name, state, fiber: Some(fiber), wake: Wake::Rung, slow });
        world.ready.push(task);
    });
    Ok(task)
}

/// A place where another task may come in.
pub(super) fn point() {
    if with(World::stays) {
        return;
    }
    leave();
}

/// Waits for the bell at this address, or until a time, or both; with neither, forever.
pub(super) fn wait(bell: Option<usize>, until: Option<u64>) -> Wake {
    let task = with(|world| {
        let since = world.now_ns;
        if until.is_some_and(|until| until <= since) {
            return None;
        }
        world.alarm = world.alarm.min(until.unwrap_or(u64::MAX));
        world.block(State::Waits { bell, until, since });
        Some(world.current)
    });
    let Some(task) = task else { return Wake::TimedOut };
    leave();
    with(|world| world.tasks[task].wake)
}

/// Wakes who waits for the bell at this address.
pub(super) fn ring(bell: usize) {
    with(|world| {
        for task in 0..world.tasks.len() {
            if matches!(world.tasks[task].state, State::Waits { bell: Some(at), .. } if at == bell) {
                world.wake(task, Wake::Rung);
            }
        }
    });
}

/// Waits for the end of a task. False if it panicked.
pub(super) fn join(task: usize) -> bool {
    loop {
        let ended = with(|world| match world.tasks[task].state {
            State::Ended { well } => Some(well),
            _ => {
                let since = world.now_ns;
                world.block(State::Joins { task, since });
                None
            }
        });
        match ended {
            Some(well) => return well,
            None => leave(),
        }
    }
}

/// Lets the task go that runs; its level and its processor wait with it.
fn leave() {
    let level = irql::exchange(Irql::Passive);
    let processor = irql::exchange_processor(None);
    fiber::let_go();
    irql::exchange_processor(processor);
    irql::exchange(level);
}

fn with<R>(body: impl FnOnce(&mut World) -> R) -> R {
    WORLD.with_borrow_mut(|world| match world {
        Some(world) => body(world),
        None => panic!("the simulator's seam is used outside of a simulation"),
    })
}

impl World {
    /// Who runs next, with its fiber; none when it is over.
    fn choose(&mut self) -> Option<(usize, Fiber)> {
        if self.over {
            return None;
        }
        let task = match self.next.take() {
            Some(task) => task,
            None => {
                self.step()?;
                self.decide(None)
            }
        };
        self.current = task;
        let fiber = self.tasks[task].fiber.take();
        Some((task, fiber.unwrap_or_else(|| unreachable!("who is ready has a stack"))))
    }

    /// At a point: whether the task that is there goes on.
    fn stays(&mut self) -> bool {
        if self.step().is_none() {
            return false;
        }
        let next = self.decide(Some(self.current));
        if next == self.current {
            return true;
        }
        self.next = Some(next);
        false
    }

    /// Who goes on; `here` is at a point and could, none is after a wait.
    fn decide(&mut self, here: Option<usize>) -> usize {
        if self.chooser.is_plain() {
            return self.drawn(here);
        }
        let usual = self.chooser.usual(here, &self.ready);
        let played = self.chooser.plays(self.switches, usual, &self.ready);
        let task = played.unwrap_or_else(|| self.drawn(here));
        let name = |task: usize| self.tasks[task].name.clone();
        let (at, t_ns) = (self.switches, self.now_ns);
        let taken = || {
            let switch = Switch { at, to: task };
            (task != usual).then(|| Taken { switch, t_ns, instead_of: name(usual), name: name(task) })
        };
        self.chooser.note(task, here, taken);
        task
    }

    /// Who goes on by the seed.
    fn drawn(&mut self, here: Option<usize>) -> usize {
        match here {
            Some(here) if self.random.below(256) < self.stay => here,
            _ => self.draw(),
        }
    }

    /// One of those that are ready.
    fn draw(&mut self) -> usize {
        let mut task = self.ready[self.random.index(self.ready.len())];
        if self.tasks[task].slow && self.random.below(16) != 0 {
            task = self.ready[self.random.index(self.ready.len())];
        }
        task
    }

    /// Time goes on, and wakes. None when it is over.
    fn step(&mut self) -> Option<()> {
        self.switches += 1;
        self.now_ns += SWITCH_NS;
        if self.now_ns >= self.alarm {
            self.sound();
        }
        if self.ready.is_empty() {
            if self.alarm == u64::MAX {
                self.nobody();
                return None;
            }
            self.now_ns = self.now_ns.max(self.alarm);
            self.sound();
        }
        if self.now_ns > self.limits.time_ns {
            self.give_up(format!("more than {} ms of virtual time", self.limits.time_ns / 1_000_000));
        } else if self.switches > self.limits.switches {
            self.give_up(format!("more than {} switches", self.limits.switches));
        }
        (!self.over).then_some(())
    }

    /// Wakes whose time has come, and sets the alarm for the next.
    fn sound(&mut self) {
        loop {
            self.alarm = u64::MAX;
            for task in 0..self.tasks.len() {
                if let State::Waits { until: Some(until), .. } = self.tasks[task].state {
                    if until <= self.now_ns {
                        self.wake(task, Wake::TimedOut);
                    } else {
                        self.alarm = self.alarm.min(until);
                    }
                }
            }
            // A bell may have come before a deadline: then the alarm was for nobody.
            if !self.ready.is_empty() || self.alarm == u64::MAX {
                break;
            }
            self.now_ns = self.alarm;
        }
        if self.ready.is_empty() {
            self.nobody();
        }
    }

    fn block(&mut self, state: State) {
        let current = self.current;
        self.tasks[current].state = state;
        self.ready.retain(|task| *task != current);
    }

    fn wake(&mut self, task: usize, wake: Wake) {
        self.tasks[task].state = State::Ready;
        self.tasks[task].wake = wake;
        self.ready.push(task);
    }

    fn ended(&mut self, task: usize, well: bool) {
        self.tasks[task].state = State::Ended { well };
        self.ready.retain(|ready| *ready != task);
        for other in 0..self.tasks.len() {
            if matches!(self.tasks[other].state, State::Joins { task: at, .. } if at == task) {
                self.wake(other, Wake::Rung);
            }
        }
    }

    /// Nobody is ready, and nobody has a deadline.
    fn nobody(&mut self) {
        if self.over {
            return;
        }
        self.over = true;
        let waiting: Vec<_> = self.tasks.iter().filter_map(Task::waiting).collect();
        if !waiting.is_empty() {
            self.find(Wrong::Deadlock, format!("no task can go on: {}", waiting.join("; ")));
        }
    }

    fn give_up(&mut self, text: String) {
        if !self.over {
            self.over = true;
            self.find(Wrong::Limit, text);
        }
    }

    fn find(&mut self, wrong: Wrong, text: String) {
        /// More say nothing more.
        const MOST: usize = 16;
        if self.findings.len() < MOST {
            self.findings.push(Finding { wrong, text: format!("at {} ns: {text}", self.now_ns) });
        }
    }

    fn past(self) -> Past {
        let Self { tasks, events, findings, switches, now_ns, chooser, .. } = self;
        let mut stuck = false;
        for fiber in tasks.into_iter().filter_map(|task| task.fiber) {
            // Unwinding it would run destructors that wait for other tasks, which nobody runs any more; what they
            // would not wait for they would free under the engine. So a stuck world stays where it is, stacks and all.
            std::mem::forget(fiber);
            stuck = true;
        }
        Past { events, findings, switches, taken: chooser.taken(), time_ns: now_ns, stuck }
    }
}

impl Task {
    fn waiting(&self) -> Option<String> {
        let name = &self.name;
        match &self.state {
            State::Waits { bell: Some(_), since, .. } => {
                Some(format!("{name} waits for a ring since {since} ns"))
            }
            State::Waits { since, .. } => Some(format!("{name} sleeps since {since} ns")),
            State::Joins { task, since } => {
                Some(format!("{name} waits for the end of task {task} since {since} ns"))
            }
            State::Ready | State::Ended { .. } => None,
        }
    }
}

/// A panic in a task is a finding, not a text on the screen; elsewhere it is what it always was.
fn quiet_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let inside = WORLD.with(|world| match world.try_borrow_mut() {
                Ok(mut world) => world.as_mut().map(|world| {
                    let name = world.tasks.get(world.current).map_or("?", |task| &task.name).to_owned();
                    world.find(Wrong::Panic, format!("{name}: {info}"));
                }),
                Err(_) => None,
            });
            if inside.is_none() {
                usual(info);
            }
        }));
    });
}
