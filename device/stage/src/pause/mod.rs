//! Waiting is a seam: who blocks, sleeps, times out or reads the time does it through [`Pause`].
//!
//! [`ThreadPause`] does it with threads. A simulator does it with coroutines and a clock of its own; the
//! code that waits does not see the difference.

mod bell;
#[expect(unsafe_code, reason = "futex, poll and sched_setaffinity are system calls without a safe face")]
mod thread;

use std::fmt;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::Duration;

pub use bell::Bell;
pub use thread::ThreadPause;

/// Why [`Pause::wait`] came back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wake {
    /// The bell rang since the caller looked.
    Rung,
    /// The deadline passed.
    TimedOut,
}

/// Why [`Pause::wait_readable`] came back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ready {
    /// This entry of the list can be read (or has hung up, which a read will tell).
    Readable(usize),
    /// The deadline passed.
    TimedOut,
}

/// Where a task runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Placement {
    /// Pinned to this CPU, as asked.
    Pinned(u32),
    /// Anywhere: no CPU was asked for.
    Anywhere,
    /// Anywhere: pinning to the CPU was refused with this errno (the CPU does not exist, or is not ours).
    Refused(u32, i32),
}

/// A task to start: its name and the CPU that it wants.
#[derive(Clone, Debug)]
pub struct Task {
    /// Shown by `ps -L` and in logs; 15 bytes are kept.
    pub name: String,
    /// The CPU to pin to.
    pub cpu: Option<u32>,
}

/// A started task.
pub trait Join: Send + Sync {
    /// Waits for its end. True if it returned, false if it panicked.
    fn join(self: Box<Self>) -> bool;

    /// Where it runs.
    fn placement(&self) -> Placement;
}

/// The one way to wait.
///
/// Times are nanoseconds of one monotonic clock per implementation; a deadline is a time of that clock.
pub trait Pause: Send + Sync {
    /// The time now.
    fn now_ns(&self) -> u64;

    /// Lets `duration` pass.
    fn sleep(&self, duration: Duration);

    /// One turn of a short spin.
    fn relax(&self);

    /// A place where another task may come in between. Threads do nothing here, for others come in anywhere; a
    /// simulator lets its seed choose who goes on. Never call it while a lock is held that others spin or block for.
    fn point(&self) {}

    /// Waits until `bell` has rung since the caller read `seen` from [`Bell::seen`], or until `deadline_ns`.
    ///
    /// The order that loses no ring: read `seen`, look for work, and wait with `seen` only if there was none.
    fn wait(&self, bell: &Bell, seen: u32, deadline_ns: Option<u64>) -> Wake;

    /// Wakes whoever waits on `bell`. Neither sleeps nor allocates.
    fn ring(&self, bell: &Bell);

    /// Waits until one of `fds` can be read, or until `deadline_ns`.
    fn wait_readable(&self, fds: &[BorrowedFd<'_>], deadline_ns: Option<u64>) -> Ready;

    /// Starts a task that may wait through this same seam.
    ///
    /// # Errors
    /// When the system gives no thread.
    fn spawn(&self, task: Task, body: Box<dyn FnOnce() + Send>) -> std::io::Result<Box<dyn Join>>;
}

impl fmt::Debug for dyn Pause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pause")
    }
}

/// The deadline `timeout` from now.
#[must_use]
pub fn deadline(pause: &dyn Pause, timeout: Duration) -> u64 {
    pause.now_ns().saturating_add(u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX))
}

/// A shared seam.
pub type SharedPause = Arc<dyn Pause>;
