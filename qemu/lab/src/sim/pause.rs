//! [`Pause`] for simulated tasks: what waits here lets another task go on.

use std::io;
use std::os::fd::BorrowedFd;
use std::ptr;
use std::time::Duration;

use ioat_stage::pause::Join;
use ioat_stage::{Bell, Event, Pause, Placement, Ready, Side, Stage, Task, Trace, Wake};

use super::world;

/// The seam of the world that the calling thread runs. It has no state of its own.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SimPause;

impl Pause for SimPause {
    fn now_ns(&self) -> u64 {
        world::now_ns()
    }

    fn sleep(&self, duration: Duration) {
        let until = ioat_stage::pause::deadline(self, duration);
        while world::now_ns() < until {
            world::wait(None, Some(until));
        }
    }

    fn relax(&self) {
        world::point();
    }

    fn point(&self) {
        world::point();
    }

    fn wait(&self, bell: &Bell, seen: u32, deadline_ns: Option<u64>) -> Wake {
        if bell.seen() != seen {
            world::point();
            return Wake::Rung;
        }
        world::wait(Some(address(bell)), deadline_ns)
    }

    fn ring(&self, bell: &Bell) {
        // Nobody sleeps on its futex here; the count is what a waiter compares.
        let _ = bell.count_ring();
        world::ring(address(bell));
    }

    /// There are no file descriptors in the simulator: whoever waits for one drives another device.
    ///
    /// # Panics
    /// Always: nothing in here would ever make one readable.
    fn wait_readable(&self, _: &[BorrowedFd<'_>], _: Option<u64>) -> Ready {
        panic!("a simulated task waits for a file descriptor, and there are none in the simulator");
    }

    fn spawn(&self, task: Task, body: Box<dyn FnOnce() + Send>) -> io::Result<Box<dyn Join>> {
        // Virtual processors are where the driver says they are.
        let placement = task.cpu.map_or(Placement::Anywhere, Placement::Pinned);
        let task = world::spawn(task.name, body)?;
        Ok(Box::new(Started { task, placement }))
    }
}

struct Started {
    task: usize,
    placement: Placement,
}

impl Join for Started {
    fn join(self: Box<Self>) -> bool {
        world::join(self.task)
    }

    fn placement(&self) -> Placement {
        self.placement
    }
}

/// A bell's name while somebody waits on it, and so keeps it where it is. It goes nowhere else.
fn address(bell: &Bell) -> usize {
    ptr::from_ref(bell).addr()
}

/// Gives the stages' events of one side to the world, and lets others in where the stage holds no lock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sink(pub(super) Side);

impl Trace for Sink {
    fn event(&self, event: Event) {
        world::record(self.0, event);
        match event.stage {
            // Recorded under the channel's lock.
            Stage::Doorbell | Stage::Msix => {}
            Stage::Fetch | Stage::Translate | Stage::Copy | Stage::Complete => world::point(),
            Stage::Isr | Stage::Queue | Stage::Dpc => world::point(),
        }
    }
}
