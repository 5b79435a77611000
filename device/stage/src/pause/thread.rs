//! Waiting with real threads: futexes, poll, and the monotonic clock.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

use super::bell::Bell;
use super::{Join, Pause, Placement, Ready, Task, Wake};
use crate::sync::atomic::{AtomicU32, Ordering};

/// [`Pause`] for threads.
#[derive(Clone, Copy, Debug)]
pub struct ThreadPause {
    spins: u32,
}

impl ThreadPause {
    /// Turns of spinning before a wait blocks. A wake-up through the kernel costs tens of microseconds, a turn
    /// about ten nanoseconds; on two shared cores longer spins take the time from the one that would ring.
    const SPINS: u32 = 200;

    /// The usual one.
    #[must_use]
    pub const fn new() -> Self {
        Self { spins: Self::SPINS }
    }

    /// One that spins `spins` turns before it blocks.
    #[must_use]
    pub const fn with_spins(spins: u32) -> Self {
        Self { spins }
    }
}

impl Default for ThreadPause {
    fn default() -> Self {
        Self::new()
    }
}

impl Pause for ThreadPause {
    fn now_ns(&self) -> u64 {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // The time must be comparable between processes (device and driver traces), which `Instant` does not promise.
        // SAFETY: `time` is a valid place for the result for the whole call.
        unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
        let (seconds, nanos) = (u64::try_from(time.tv_sec), u64::try_from(time.tv_nsec));
        seconds.unwrap_or(0).saturating_mul(1_000_000_000).saturating_add(nanos.unwrap_or(0))
    }

    fn sleep(&self, duration: Duration) {
        std::thread::sleep(duration);
    }

    fn relax(&self) {
        crate::sync::spin_loop();
    }

    fn wait(&self, bell: &Bell, seen: u32, deadline_ns: Option<u64>) -> Wake {
        for _ in 0..self.spins {
            if bell.seen() != seen {
                return Wake::Rung;
            }
            self.relax();
        }
        bell.sleepers.fetch_add(1, Ordering::SeqCst);
        let wake = loop {
            if bell.seen() != seen {
                break Wake::Rung;
            }
            let left = match deadline_ns {
                None => None,
                Some(deadline) => match deadline.checked_sub(self.now_ns()) {
                    None | Some(0) => break Wake::TimedOut,
                    Some(left) => Some(Duration::from_nanos(left)),
                },
            };
            futex_wait(&bell.rings, seen, left);
        };
        bell.sleepers.fetch_sub(1, Ordering::SeqCst);
        wake
    }

    fn ring(&self, bell: &Bell) {
        if bell.count_ring() {
            futex_wake_all(&bell.rings);
        }
    }

    fn wait_readable(&self, fds: &[BorrowedFd<'_>], deadline_ns: Option<u64>) -> Ready {
        let mut polled: Vec<libc::pollfd> = fds
            .iter()
            .map(|fd| libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 })
            .collect();
        loop {
            let timeout_ms = match deadline_ns {
                None => -1,
                // Rounded up, so that a wait never ends before its deadline.
                Some(deadline) => i32::try_from(deadline.saturating_sub(self.now_ns()).div_ceil(1_000_000))
                    .unwrap_or(i32::MAX),
            };
            let count = libc::nfds_t::try_from(polled.len()).unwrap_or(0);
            // SAFETY: `polled` is a valid array of `count` entries for the whole call.
            let ready = unsafe { libc::poll(polled.as_mut_ptr(), count, timeout_ms) };
            if let Some(index) = polled.iter().position(|entry| ready > 0 && entry.revents != 0) {
                return Ready::Readable(index);
            }
            if ready == 0 {
                return Ready::TimedOut;
            }
            // EINTR: a signal handler ran; wait for the rest of the time.
        }
    }

    fn spawn(&self, task: Task, body: Box<dyn FnOnce() + Send>) -> io::Result<Box<dyn Join>> {
        let cpu = task.cpu;
        let (placed, placement) = std::sync::mpsc::sync_channel(1);
        let handle = std::thread::Builder::new().name(task.name).spawn(move || {
            // The starter waits for this one message, so sending cannot fail.
            let _ = placed.send(cpu.map_or(Placement::Anywhere, pin));
            body();
        })?;
        let placement = placement.recv().unwrap_or(Placement::Anywhere);
        Ok(Box::new(Thread { handle, placement }))
    }
}

struct Thread {
    handle: std::thread::JoinHandle<()>,
    placement: Placement,
}

impl Join for Thread {
    fn join(self: Box<Self>) -> bool {
        self.handle.join().is_ok()
    }

    fn placement(&self) -> Placement {
        self.placement
    }
}

fn pin(cpu: u32) -> Placement {
    let Ok(index) = usize::try_from(cpu) else { return Placement::Refused(cpu, libc::EINVAL) };
    if index >= libc::CPU_SETSIZE as usize {
        return Placement::Refused(cpu, libc::EINVAL);
    }
    // SAFETY: all-zero bytes are an empty `cpu_set_t`.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: `index` is below CPU_SETSIZE, so the bit is inside the set.
    unsafe { libc::CPU_SET(index, &mut set) };
    // SAFETY: `set` is a valid set of the given size for the whole call; 0 is the calling thread.
    let result = unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set) };
    match result {
        0 => Placement::Pinned(cpu),
        _ => Placement::Refused(cpu, io::Error::last_os_error().raw_os_error().unwrap_or(libc::EPERM)),
    }
}

#[cfg(not(loom))]
fn futex_wait(word: &AtomicU32, expected: u32, timeout: Option<Duration>) {
    let time = timeout.map(|left| libc::timespec {
        tv_sec: libc::time_t::try_from(left.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: libc::c_long::from(i32::try_from(left.subsec_nanos()).unwrap_or(0)),
    });
    let time = time.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: `word` outlives the call and `time` is null or valid. EINTR, EAGAIN and ETIMEDOUT all send the
    // caller back to look at the word, so the result does not matter.
    unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG,
            expected,
            time,
        );
    }
}

#[cfg(not(loom))]
fn futex_wake_all(word: &AtomicU32) {
    // SAFETY: the word outlives the call; waking reads nothing from it.
    unsafe {
        libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG, i32::MAX);
    }
}

// A model has no kernel: waiting is yielding until the word changes.
#[cfg(loom)]
fn futex_wait(_: &AtomicU32, _: u32, _: Option<Duration>) {
    loom::thread::yield_now();
}

#[cfg(loom)]
fn futex_wake_all(_: &AtomicU32) {}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::sync::Arc;

    use super::*;
    use crate::pause::deadline;

    #[test]
    fn a_ring_between_looking_and_waiting_is_not_slept_through() {
        let pause = ThreadPause::with_spins(0);
        let bell = Bell::new();
        let seen = bell.seen();
        pause.ring(&bell);
        assert_eq!(pause.wait(&bell, seen, None), Wake::Rung);
    }

    #[test]
    fn a_wait_without_a_ring_ends_at_its_deadline() {
        let pause = ThreadPause::with_spins(0);
        let bell = Bell::new();
        let until = deadline(&pause, Duration::from_millis(5));
        assert_eq!(pause.wait(&bell, bell.seen(), Some(until)), Wake::TimedOut);
        assert!(pause.now_ns() >= until);
    }

    #[test]
    fn a_blocked_waiter_is_woken() {
        let pause = Arc::new(ThreadPause::with_spins(0));
        let bell = Arc::new(Bell::new());
        let seen = bell.seen();
        let (waiter_pause, waiter_bell) = (pause.clone(), bell.clone());
        let task = Task { name: "waiter".into(), cpu: None };
        let body = Box::new(move || assert_eq!(waiter_pause.wait(&waiter_bell, seen, None), Wake::Rung));
        let waiter = pause.spawn(task, body).unwrap();
        assert_eq!(waiter.placement(), Placement::Anywhere);
        pause.sleep(Duration::from_millis(2));
        pause.ring(&bell);
        assert!(waiter.join());
    }

    #[test]
    fn pinning_to_a_processor_that_is_not_there_is_reported_not_hidden() {
        let pause = ThreadPause::new();
        let task = Task { name: "nowhere".into(), cpu: Some(1023) };
        let task = pause.spawn(task, Box::new(|| {})).unwrap();
        assert!(matches!(task.placement(), Placement::Refused(1023, _)), "{:?}", task.placement());
        assert!(task.join());
    }

    #[test]
    fn wait_readable_names_the_descriptor_that_is_ready() {
        let pause = ThreadPause::new();
        let (quiet, _keep) = std::os::unix::net::UnixStream::pair().unwrap();
        let (loud, mut other) = std::os::unix::net::UnixStream::pair().unwrap();
        let until = Some(deadline(&pause, Duration::from_millis(2)));
        assert_eq!(pause.wait_readable(&[quiet.as_fd(), loud.as_fd()], until), Ready::TimedOut);
        io::Write::write_all(&mut other, b"x").unwrap();
        assert_eq!(pause.wait_readable(&[quiet.as_fd(), loud.as_fd()], None), Ready::Readable(1));
    }
}
