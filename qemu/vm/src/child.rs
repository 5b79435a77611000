//! Processes of ours: QEMU and the device programs. They die with us, and are signalled only while they are surely ours.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child as Process, Command, ExitStatus};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::syscall;

/// A child process. Dropping it kills it and waits for its end.
#[derive(Debug)]
pub struct Child {
    pid: u32,
    shared: Arc<Shared>,
}

/// Lock: the process is reaped, and signalled, only under `state`; so a signal never reaches a stranger that got the number.
#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    ended: Condvar,
}

#[derive(Debug)]
enum State {
    Runs(Process),
    Ended(ExitStatus),
}

type Spawn = (Command, Sender<io::Result<Process>>);

impl Child {
    /// Starts `command`. The child gets SIGKILL if this process ends without ending it first; `on_end` is called once, in
    /// a thread of its own, after the child ended.
    pub fn spawn(mut command: Command, on_end: impl FnOnce(ExitStatus) + Send + 'static) -> io::Result<Self> {
        syscall::die_with_parent(&mut command, libc::SIGKILL);
        let process = spawn_from_the_lasting_thread(command)?;
        let pid = process.id();
        let shared = Arc::new(Shared { state: Mutex::new(State::Runs(process)), ended: Condvar::new() });
        let watched = Arc::clone(&shared);
        thread::Builder::new().name(format!("watch-{pid}")).spawn(move || {
            let ended = syscall::wait_without_reaping(pid);
            on_end(watched.reap(ended));
        })?;
        Ok(Self { pid, shared })
    }

    /// Its process number. It stays the child's own until the child was reaped; see [`Child::status`].
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// How it ended, if it has.
    pub fn status(&self) -> Option<ExitStatus> {
        match *self.shared.lock() {
            State::Runs(_) => None,
            State::Ended(status) => Some(status),
        }
    }

    /// Sends a signal, unless the child has ended.
    pub fn signal(&self, signal: i32) -> io::Result<()> {
        match *self.shared.lock() {
            State::Runs(_) => syscall::kill(self.pid, signal),
            State::Ended(_) => Ok(()),
        }
    }

    /// Waits for its end, at most this long.
    pub fn wait(&self, limit: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + limit;
        let mut state = self.shared.lock();
        loop {
            if let State::Ended(status) = *state {
                return Some(status);
            }
            let left = deadline.checked_duration_since(Instant::now())?;
            state = self.shared.ended.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Asks it to end (SIGTERM), and after `grace` makes it end (SIGKILL).
    pub fn end(&self, grace: Duration) -> Option<ExitStatus> {
        // A child that cannot be signalled has ended.
        let _ = self.signal(libc::SIGTERM);
        self.wait(grace).or_else(|| {
            let _ = self.signal(libc::SIGKILL);
            self.wait(Duration::from_secs(10))
        })
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.signal(libc::SIGKILL);
        self.wait(Duration::from_secs(10));
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reap(&self, ended: io::Result<()>) -> ExitStatus {
        let mut state = self.lock();
        let status = match &mut *state {
            State::Runs(process) => ended.and_then(|()| process.wait()),
            State::Ended(status) => Ok(*status),
        };
        // Somebody who ignores SIGCHLD for the whole process takes the status away from us; the child has ended all the same.
        let status = status.unwrap_or_else(|_| ExitStatus::from_raw(0));
        *state = State::Ended(status);
        self.ended.notify_all();
        status
    }
}

/// The death signal comes when the *thread* that forked ends, so one thread that never ends forks for all.
fn spawn_from_the_lasting_thread(command: Command) -> io::Result<Process> {
    static SPAWNER: OnceLock<Sender<Spawn>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (sender, jobs) = channel::<Spawn>();
        thread::spawn(move || {
            for (mut command, reply) in jobs {
                // The asker waits; it can only be gone if it panicked.
                let _ = reply.send(command.spawn());
            }
        });
        sender
    });
    let (reply, answer) = channel();
    spawner.send((command, reply)).map_err(io::Error::other)?;
    answer.recv().map_err(io::Error::other)?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_outlives_the_thread_that_asked_for_it() {
        let asked = thread::spawn(|| {
            let mut sleep = Command::new("sleep");
            sleep.arg("60");
            Child::spawn(sleep, |_| {}).unwrap()
        });
        let child = asked.join().unwrap();
        assert_eq!(child.wait(Duration::from_millis(100)), None);
    }

    #[test]
    fn the_end_is_reported_once_with_its_status() {
        let (sender, ends) = channel();
        let child = Child::spawn(Command::new("false"), move |status| sender.send(status).unwrap()).unwrap();
        assert_eq!(ends.recv_timeout(Duration::from_secs(20)).unwrap().code(), Some(1));
        assert_eq!(child.status().and_then(|status| status.code()), Some(1));
        assert!(ends.recv().is_err());
    }

    #[test]
    fn a_dropped_child_is_gone() {
        let mut sleep = Command::new("sleep");
        sleep.arg("60");
        let child = Child::spawn(sleep, |_| {}).unwrap();
        let process = format!("/proc/{}", child.pid());
        assert!(std::path::Path::new(&process).exists());
        drop(child);
        assert!(!std::path::Path::new(&process).exists());
    }
}
