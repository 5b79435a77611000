//! The harness's requests: one match, and a thread for each that takes time.

use std::collections::HashMap;
use std::fs::{self, File};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use netdma_vm::channel::{Frame, Kind};
use netdma_vm::message::{Hello, Log, Mode, PROTOCOL, Plan, ReadLog, Run, Signal};
use serde::de::DeserializeOwned;

use crate::port::Port;
use crate::process::Processes;
use crate::{file, kmsg, process, syscall};

/// Kernel lines in one frame: a frame has a limit.
const LOG_LINES: usize = 200;

/// What the threads share. It lives as long as the guest, so they borrow it for ever.
pub(crate) struct Server {
    pub(crate) port: Port,
    pub(crate) processes: &'static Processes,
    pub(crate) plan: Plan,
    /// Process groups of running commands, by request.
    running: Mutex<HashMap<u32, i32>>,
    /// Standard inputs of running commands, by request.
    inputs: Mutex<HashMap<u32, Sender<Vec<u8>>>>,
}

/// Serves the harness until it asks to power off or goes away. A guest that could not be prepared says so and ends.
pub(crate) fn harness(plan: Plan, prepared: Result<(), String>) -> Result<(), String> {
    let port = Port::open()?;
    if let Err(why) = prepared {
        port.fail(0, &why);
        port.send(&Frame::new(Kind::Bye, 0, []));
        return Err(why);
    }
    port.send_message(Kind::Hello, 0, &hello());
    let server = Server {
        port,
        processes: Processes::reaping(),
        plan,
        running: Mutex::default(),
        inputs: Mutex::default(),
    };
    let server: &'static Server = Box::leak(Box::new(server));
    if server.plan.mode == Mode::Shell {
        thread::spawn(move || process::shell_until_its_end(server));
    }
    server.serve()?;
    server.port.send(&Frame::new(Kind::Bye, 0, []));
    Ok(())
}

impl Server {
    fn serve(&'static self) -> Result<(), String> {
        let mut files: HashMap<u32, File> = HashMap::new();
        while let Some(frame) = self.port.receive()? {
            let id = frame.id;
            let answer = match frame.kind {
                Kind::Run => self.run(&frame),
                Kind::Get => self.in_thread(frame, file::send),
                Kind::ReadLog => self.in_thread(frame, Self::read_log),
                Kind::Put => file::open(&frame, &mut files),
                Kind::Data if self.takes_input(&frame) => Ok(()),
                Kind::Data => file::append(&frame, &mut files),
                Kind::End if self.end_input(id) => Ok(()),
                Kind::End => self.finish_file(id, &mut files),
                Kind::Signal => self.signal(&frame),
                Kind::PowerOff => return Ok(()),
                other => Err(format!("the guest takes no {other:?} frame")),
            };
            if let Err(why) = answer {
                files.remove(&id);
                self.port.fail(id, &why);
            }
        }
        Ok(())
    }

    /// The input is there before the command, so that nothing is lost that comes close behind the request.
    fn run(&'static self, frame: &Frame) -> Result<(), String> {
        let (id, request) = (frame.id, message::<Run>(frame)?);
        let input = request.input.then(|| {
            let (sender, input) = channel();
            self.inputs().insert(id, sender);
            input
        });
        thread::spawn(move || process::run(self, id, &request, input));
        Ok(())
    }

    /// True if the frame is input for a command. A command that has stopped reading loses it, as with a pipe.
    fn takes_input(&self, frame: &Frame) -> bool {
        let inputs = self.inputs();
        inputs.get(&frame.id).is_some_and(|input| {
            let _ = input.send(frame.payload.clone());
            true
        })
    }

    /// The command reads the end of its input; true if it had one.
    pub(crate) fn end_input(&self, id: u32) -> bool {
        self.inputs().remove(&id).is_some()
    }

    fn inputs(&self) -> MutexGuard<'_, HashMap<u32, Sender<Vec<u8>>>> {
        self.inputs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A slow request must not hold up the signal that ends it.
    fn in_thread(
        &'static self,
        frame: Frame,
        work: fn(&'static Self, &Frame) -> Result<(), String>,
    ) -> Result<(), String> {
        thread::spawn(move || {
            if let Err(why) = work(self, &frame) {
                self.port.fail(frame.id, &why);
            }
        });
        Ok(())
    }

    fn read_log(&'static self, frame: &Frame) -> Result<(), String> {
        let log = kmsg::read(&message::<ReadLog>(frame)?);
        for lines in log.lines.chunks(LOG_LINES) {
            self.port.send_message(Kind::Log, frame.id, &Log { lines: lines.to_vec(), next: log.next });
        }
        self.port.send_message(Kind::Log, frame.id, &Log { lines: Vec::new(), next: log.next });
        self.port.send(&Frame::new(Kind::End, frame.id, []));
        Ok(())
    }

    /// The rest of a file that failed arrives after its failure was told; its end is no second failure.
    fn finish_file(&self, id: u32, files: &mut HashMap<u32, File>) -> Result<(), String> {
        if files.remove(&id).is_some() {
            self.port.send(&Frame::new(Kind::Done, id, []));
        }
        Ok(())
    }

    /// A command that ended meanwhile needs no signal.
    fn signal(&self, frame: &Frame) -> Result<(), String> {
        let request: Signal = message(frame)?;
        match self.running().get(&frame.id) {
            Some(&pid) => syscall::signal_group(pid, request.signal).map_err(|error| error.to_string()),
            None => Ok(()),
        }
    }

    /// The process groups of running commands.
    pub(crate) fn running(&self) -> MutexGuard<'_, HashMap<u32, i32>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A frame's payload, or a line for the harness.
pub(crate) fn message<T: DeserializeOwned>(frame: &Frame) -> Result<T, String> {
    frame.message().map_err(|error| error.to_string())
}

fn hello() -> Hello {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned();
    // "12.34 ...": the kernel gives hundredths.
    let uptime = fs::read_to_string("/proc/uptime").unwrap_or_default();
    let hundredths = uptime.split(' ').next().unwrap_or_default().replace('.', "");
    let uptime_ms = hundredths.parse::<u64>().unwrap_or_default().saturating_mul(10);
    Hello { protocol: PROTOCOL, release, uptime_ms, log_mark: kmsg::mark() }
}
