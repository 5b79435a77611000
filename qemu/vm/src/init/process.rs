//! Commands of the guest: started in process groups of their own, their output forwarded, all children reaped.

use std::collections::HashMap;
use std::fs::OpenOptions;
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{ChildStderr, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use netdma_vm::channel::{Frame, Kind};
use netdma_vm::message::{Exit, GUEST_PATH, LEVEL_WARNING, Plan, ReadLog, Run};

use crate::serve::Server;
use crate::{kmsg, syscall};

/// Bytes of output in one frame.
const CHUNK_BYTES: usize = 32 * 1024;

/// How long a command's output is awaited after its end: a background process of its may hold the pipe for ever.
const DRAIN_LIMIT: Duration = Duration::from_millis(500);

/// Kernel lines in one [`Exit`]: a frame has a limit.
const WARNING_LINES: usize = 200;

/// Runs a command to its end and reports its status and what the kernel said meanwhile.
pub(crate) fn run(server: &'static Server, id: u32, request: &Run, input: Option<Receiver<Vec<u8>>>) {
    let mark = kmsg::mark();
    let status = status_of(server, id, request, input);
    server.end_input(id);
    let log = kmsg::read(&ReadLog { since: mark, max_level: LEVEL_WARNING });
    let kernel_warnings = log.lines.into_iter().take(WARNING_LINES).collect();
    server.port.send_message(Kind::Exit, id, &Exit { status, kernel_warnings });
}

/// A shell on the console; its end is reported as the end of request 0.
pub(crate) fn shell_until_its_end(server: &'static Server) {
    let status = on_console(server.processes, &server.plan, &[]).unwrap_or_else(|why| {
        eprintln!("netdma-vm-init: {why}");
        126
    });
    server.port.send_message(Kind::Exit, 0, &Exit { status, kernel_warnings: Vec::new() });
}

/// Runs a command, or a shell if there is none, on the console, with the console as its controlling terminal.
pub(crate) fn on_console(processes: &Processes, plan: &Plan, argv: &[String]) -> Result<i32, String> {
    let console = || OpenOptions::new().read(true).write(true).open("/dev/ttyS0");
    let shell = ["/bin/sh".to_owned(), "-l".to_owned()];
    let argv = if argv.is_empty() { &shell[..] } else { argv };
    // A session of its own, with standard input as its terminal: job control and Ctrl-C work.
    let session = ["/bin/busybox", "setsid", "-c"].map(str::to_owned);
    let mut command = command(plan, &[&session, argv].concat());
    let prepared = (|| {
        command.stdin(console()?).stdout(console()?).stderr(console()?);
        // No process group: setsid(1) must not be the leader of one, or it forks and we would wait for the wrong process.
        processes.spawn(&mut command)
    })();
    let started = prepared.map_err(|error| format!("{argv:?} on the console: {error}"))?;
    started.status.recv().map_err(|error| error.to_string())
}

fn status_of(server: &'static Server, id: u32, request: &Run, input: Option<Receiver<Vec<u8>>>) -> i32 {
    let mut command = command(&server.plan, &request.argv);
    command.stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() });
    command.envs(&request.env).stdout(Stdio::piped()).stderr(Stdio::piped());
    let started = match server.processes.spawn(command.process_group(0)) {
        Ok(started) => started,
        Err(error) => {
            let word = request.argv.first().map_or("", String::as_str);
            let why = format!("netdma-vm: {word}: {error} (in the guest; --add brings programs)\n");
            server.port.send(&Frame::new(Kind::Stderr, id, why));
            return if error.kind() == ErrorKind::NotFound { 127 } else { 126 };
        }
    };
    server.running().insert(id, started.pid);
    if let (Some(pipe), Some(input)) = (started.stdin, input) {
        feed(pipe, input);
    }
    let (drained, all_drained) = channel();
    forward(server, Kind::Stdout, id, started.stdout, drained.clone());
    forward(server, Kind::Stderr, id, started.stderr, drained);
    let status = started.status.recv().unwrap_or(-1);
    server.running().remove(&id);
    // Two pipes; an error means that both threads are done.
    for _ in 0..2 {
        let _ = all_drained.recv_timeout(DRAIN_LIMIT);
    }
    status
}

/// Writes what comes to a command's standard input, in a thread that ends with the input or with the command.
fn feed(mut pipe: ChildStdin, input: Receiver<Vec<u8>>) {
    thread::spawn(move || {
        for bytes in input {
            if pipe.write_all(&bytes).is_err() {
                break;
            }
        }
    });
}

/// Copies a pipe into frames, in a thread that ends with the pipe.
fn forward(
    server: &'static Server,
    kind: Kind,
    id: u32,
    pipe: Option<impl Read + Send + 'static>,
    drained: Sender<()>,
) {
    let Some(mut pipe) = pipe else { return };
    thread::spawn(move || {
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            match pipe.read(&mut chunk) {
                Ok(len) if len > 0 => server.port.send(&Frame::new(kind, id, &chunk[..len])),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                _ => break,
            }
        }
        // The command's thread may have stopped waiting.
        let _ = drained.send(());
    });
}

fn command(plan: &Plan, argv: &[String]) -> Command {
    let mut command = Command::new(argv.first().map_or("", String::as_str));
    command.args(argv.iter().skip(1)).current_dir("/root").env_clear();
    command.env("PATH", GUEST_PATH).env("HOME", "/root").env("TERM", "linux").envs(&plan.env);
    command
}

/// The children that somebody waits for.
///
/// Lock: `waiting` is held across a spawn, so a child that ends at once is registered before it is reaped; and the reaper
/// takes it before it reaps, so it never steals the child of a spawn that fails (std waits for that one itself).
#[derive(Default)]
pub(crate) struct Processes {
    waiting: Mutex<HashMap<i32, Sender<i32>>>,
    spawned: Condvar,
}

/// A started process.
struct Started {
    pid: i32,
    status: Receiver<i32>,
    stdin: Option<ChildStdin>,
    stdout: Option<ChildStdout>,
    stderr: Option<ChildStderr>,
}

impl Processes {
    /// Starts the reaper. It lives as long as the guest.
    pub(crate) fn reaping() -> &'static Self {
        let processes: &'static Self = Box::leak(Box::default());
        thread::spawn(|| processes.reap_forever());
        processes
    }

    fn spawn(&self, command: &mut Command) -> io::Result<Started> {
        let mut waiting = self.lock();
        let mut child = command.spawn()?;
        let pid = i32::try_from(child.id()).map_err(io::Error::other)?;
        let (sender, status) = channel();
        waiting.insert(pid, sender);
        self.spawned.notify_one();
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        Ok(Started { pid, status, stdin, stdout, stderr })
    }

    fn reap_forever(&self) {
        loop {
            let Some(pid) = syscall::peek_ended_child() else {
                self.wait_for_a_spawn();
                continue;
            };
            let mut waiting = self.lock();
            if let Some(status) = syscall::reap(pid) {
                if let Some(sender) = waiting.remove(&pid) {
                    // The waiter may have left; the child is reaped all the same.
                    let _ = sender.send(status);
                }
            }
        }
    }

    /// Without a child there is nothing to wait for until the next spawn.
    fn wait_for_a_spawn(&self) {
        let waiting = self.lock();
        if waiting.is_empty() {
            drop(self.spawned.wait(waiting).unwrap_or_else(PoisonError::into_inner));
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<i32, Sender<i32>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
