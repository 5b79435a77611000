//! A program as its user has it: a process, what it says, and how it ends. None outlives its test.

use std::io::Read;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Far above anything that a test expects: whoever still runs then hangs, and is killed.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A process that was started.
pub struct Running {
    shared: Arc<Shared>,
    pid: u32,
    readers: Vec<JoinHandle<()>>,
}

/// How a process ended.
#[derive(Debug)]
pub struct Ran {
    /// Its exit code; none after a signal.
    pub code: Option<i32>,
    /// Its standard output.
    pub out: String,
    /// Its standard error.
    pub err: String,
    /// From the call that waited until the end.
    pub waited: Duration,
}

struct Shared {
    child: Mutex<Child>,
    said: Mutex<Said>,
    news: Condvar,
}

#[derive(Default)]
struct Said {
    out: Vec<u8>,
    err: Vec<u8>,
    over: bool,
}

/// Runs a command to its end.
///
/// # Panics
/// When it does not start, or runs longer than [`PATIENCE`].
pub fn run(command: &mut Command) -> Ran {
    Running::start(command).wait()
}

/// Waits for a condition that no event announces.
///
/// # Panics
/// When it does not come to hold within [`PATIENCE`].
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "{what}: not after {PATIENCE:?}");
        thread::sleep(Duration::from_millis(2));
    }
}

impl Running {
    /// Starts it with its outputs read here; standard input is as the command says.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(command: &mut Command) -> Self {
        let command = command.env_remove("RUST_LOG").stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let (out, err) = (child.stdout.take().expect("piped"), child.stderr.take().expect("piped"));
        let pid = child.id();
        let shared = Arc::new(Shared { child: child.into(), said: Mutex::default(), news: Condvar::new() });
        let readers = vec![
            read(out, shared.clone(), |said| &mut said.out),
            read(err, shared.clone(), |said| &mut said.err),
        ];
        let watched = shared.clone();
        // Some clients wait for a reply without a limit: then the end of a process that hangs is what ends the test.
        thread::spawn(move || watched.kill_after(PATIENCE));
        Self { shared, pid, readers }
    }

    /// Its process number.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Waits until standard error has this text.
    ///
    /// # Panics
    /// When the process ends before it says so.
    pub fn says(&self, text: &str) {
        let mut said = self.shared.said.lock().expect("no panic inside");
        while !String::from_utf8_lossy(&said.err).contains(text) {
            let err = String::from_utf8_lossy(&said.err).into_owned();
            assert!(self.end().is_none(), "it ended without {text:?} and said:\n{err}");
            said = self.shared.news.wait_timeout(said, Duration::from_millis(50)).expect("no panic inside").0;
        }
    }

    /// Whether it has ended, and how.
    ///
    /// # Panics
    /// When the system does not tell.
    #[must_use]
    pub fn end(&self) -> Option<ExitStatus> {
        self.shared.child.lock().expect("no panic inside").try_wait().expect("our own child")
    }

    /// Sends a signal by its name, as `TERM`.
    ///
    /// # Panics
    /// When it cannot be sent.
    pub fn signal(&self, name: &str) {
        let script = format!("kill -{name} {}", self.pid);
        let sent = Command::new("sh").args(["-c", &script]).status().expect("sh");
        assert!(sent.success(), "{script}");
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it had to be killed because it did not end.
    #[must_use]
    pub fn wait(mut self) -> Ran {
        let begun = Instant::now();
        let mut status = None;
        while status.is_none() && begun.elapsed() < PATIENCE {
            status = self.end();
            thread::sleep(Duration::from_millis(1));
        }
        let waited = begun.elapsed();
        let Some(status) = status else { panic!("it did not end within {PATIENCE:?}") };
        for reader in self.readers.drain(..) {
            reader.join().expect("a reader");
        }
        let said = self.shared.said.lock().expect("no panic inside");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ran { code: status.code(), out: text(&said.out), err: text(&said.err), waited }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shared.said.lock().expect("no panic inside").over = true;
        self.shared.news.notify_all();
        self.shared.kill();
    }
}

impl Shared {
    fn kill(&self) {
        let mut child = self.child.lock().expect("no panic inside");
        // Both fail only if it has ended and was waited for.
        let _ = child.kill();
        let _ = child.wait();
    }

    fn kill_after(&self, limit: Duration) {
        let said = self.said.lock().expect("no panic inside");
        let (said, waited) =
            self.news.wait_timeout_while(said, limit, |said| !said.over).expect("no panic inside");
        drop(said);
        if waited.timed_out() {
            self.kill();
        }
    }
}

fn read(
    mut from: impl Read + Send + 'static,
    to: Arc<Shared>,
    part: fn(&mut Said) -> &mut Vec<u8>,
) -> JoinHandle<()> {
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        loop {
            match from.read(&mut buffer) {
                Ok(0) | Err(_) => return,
                Ok(len) => {
                    part(&mut to.said.lock().expect("no panic inside")).extend_from_slice(&buffer[..len]);
                    to.news.notify_all();
                }
            }
        }
    })
}
