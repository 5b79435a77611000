//! A running guest: requests go out on the channel, answers and ends come back as events, in one queue.

mod dialogue;

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use crate::accel::Accel;
use crate::boot::Boot;
use crate::channel::{ChannelError, Frame, Kind};
use crate::child::Child;
use crate::device::{Device, last_line};
use crate::error::VmError;
use crate::folder::Folder;
use crate::line::{Line, bdf, copyable};
use crate::message::{Get, Hello, Log, PROTOCOL, Put, ReadLog, Run, Signal};
use crate::request::{Request, Sink};
use crate::stop::Stop;

pub use self::dialogue::Heard;
pub use crate::request::{Output, Running, Stream};

/// How often a wait looks for a request to stop.
const STOP_LOOK: Duration = Duration::from_millis(50);

/// QEMU makes the channel's socket before it does anything slow.
const CHANNEL_LIMIT: Duration = Duration::from_secs(20);

/// A guest that said goodbye has this long to power off; after that QEMU is killed.
const POWER_OFF_LIMIT: Duration = Duration::from_secs(10);

/// Lines of the console in an error.
const CONSOLE_TAIL_LINES: usize = 100;

/// Bytes of a file in one frame.
const CHUNK_BYTES: usize = 64 * 1024;

/// A running guest with its device programs. Dropping it ends them all and removes the run's folder.
#[derive(Debug)]
pub struct Machine {
    channel: UnixStream,
    events: Receiver<Event>,
    requests: HashMap<u32, Request>,
    next_id: u32,
    hello: Option<Hello>,
    ends: Ends,
    limit: Option<Duration>,
    deadline: Option<Instant>,
    stop: Option<&'static Stop>,
    accel: Accel,
    line: Line,
    begun: Instant,
    // Dropped in this order: QEMU, its devices, their folder.
    qemu: Child,
    devices: Vec<Device>,
    folder: Folder,
}

#[derive(Debug)]
enum Event {
    Frame(Frame),
    /// The channel ended; the error if it broke.
    Closed(Option<ChannelError>),
    QemuEnded(ExitStatus),
}

/// What of the guest has ended.
#[derive(Debug, Default)]
struct Ends {
    bye: bool,
    closed: bool,
    broken: Option<ChannelError>,
    qemu: Option<ExitStatus>,
}

impl Machine {
    pub(crate) fn launch(
        boot: &Boot,
        line: Line,
        accel: Accel,
        devices: Vec<Device>,
        folder: Folder,
        begun: Instant,
    ) -> Result<Self, VmError> {
        let (sender, events) = channel();
        let qemu = start_qemu(&line, boot.shell, &folder, sender.clone())?;
        let stream = connect(&folder.channel_socket(), &qemu, &devices, &folder, boot.stop)?;
        let reading = stream.try_clone().map_err(ChannelError::from)?;
        thread::spawn(move || read_frames(reading, &sender));
        Ok(Self {
            channel: stream,
            events,
            requests: HashMap::new(),
            next_id: 1,
            hello: None,
            ends: Ends::default(),
            limit: boot.limit,
            deadline: boot.limit.map(|limit| begun + limit),
            stop: boot.stop,
            accel,
            line,
            begun,
            qemu,
            devices,
            folder,
        })
    }

    /// Waits for the guest's greeting.
    pub fn wait_until_ready(&mut self) -> Result<&Hello, VmError> {
        self.pump("the guest boots", |machine| machine.hello.is_some(), None)?;
        let hello = self.hello.as_ref().ok_or_else(|| VmError::Guest("no greeting".into()))?;
        if hello.protocol != PROTOCOL {
            let why =
                format!("netdma-vm-init is of another version: build it with `{}`", crate::error::INIT_BUILD);
            return Err(VmError::Guest(why));
        }
        Ok(hello)
    }

    /// Runs a command to its end.
    pub fn run(&mut self, argv: &[impl AsRef<str>]) -> Result<Output, VmError> {
        let running = self.spawn(argv)?;
        self.wait(running)
    }

    /// Runs a command to its end and gives its output away as it comes; the result's own outputs are empty.
    pub fn run_streaming(
        &mut self,
        argv: &[impl AsRef<str>],
        sink: &mut dyn FnMut(Stream, &[u8]),
    ) -> Result<Output, VmError> {
        let running = self.spawn(argv)?;
        self.start_clock();
        self.finish(running, Some(sink))
    }

    /// Starts a command; others can be run meanwhile.
    pub fn spawn(&mut self, argv: &[impl AsRef<str>]) -> Result<Running, VmError> {
        let argv = argv.iter().map(|word| word.as_ref().to_owned()).collect();
        let id = self.request(Kind::Run, &Run { argv, env: BTreeMap::new(), input: false })?;
        Ok(Running(id))
    }

    /// Waits for a command's end. After the time limit the command is killed, and the guest can be used further.
    pub fn wait(&mut self, running: Running) -> Result<Output, VmError> {
        self.start_clock();
        self.finish(running, None)
    }

    /// Sends a signal to a command and its children.
    pub fn signal(&mut self, running: &Running, signal: i32) -> Result<(), VmError> {
        self.send(&Frame::with_message(Kind::Signal, running.0, &Signal { signal })?)
    }

    /// Writes a file in the guest; missing folders are made.
    pub fn put(&mut self, path: &str, mode: u32, bytes: &[u8]) -> Result<(), VmError> {
        self.start_clock();
        let id = self.request(Kind::Put, &Put { path: path.into(), mode })?;
        for chunk in bytes.chunks(CHUNK_BYTES) {
            self.send(&Frame::new(Kind::Data, id, chunk))?;
        }
        self.send(&Frame::new(Kind::End, id, []))?;
        self.answer(id, "the guest takes a file", None)?;
        Ok(())
    }

    /// Reads a file of the guest.
    pub fn get(&mut self, path: &str) -> Result<Vec<u8>, VmError> {
        self.start_clock();
        let id = self.request(Kind::Get, &Get { path: path.into() })?;
        Ok(self.answer(id, "the guest sends a file", None)?.data)
    }

    /// The kernel's log from `since` on (0: all that it still has), at `max_level` or graver. The result's `next` is the mark
    /// for the next call.
    pub fn kernel_log(&mut self, since: u64, max_level: u8) -> Result<Log, VmError> {
        self.start_clock();
        let id = self.request(Kind::ReadLog, &ReadLog { since, max_level })?;
        Ok(self.answer(id, "the guest sends its log", None)?.log)
    }

    /// Waits for the end of the shell on the console: its status.
    pub fn wait_for_shell(&mut self) -> Result<i32, VmError> {
        Ok(self.answer(0, "a shell runs on the console", None)?.output.status)
    }

    /// Powers the guest off in order.
    pub fn power_off(mut self) -> Result<(), VmError> {
        self.deadline = Some(Instant::now() + POWER_OFF_LIMIT);
        self.send(&Frame::new(Kind::PowerOff, 0, []))?;
        self.pump("the guest says goodbye", |machine| machine.ends.bye, None)
    }

    /// From now on there is this limit for each request. `None`: no limit.
    pub fn set_limit(&mut self, limit: Option<Duration>) {
        self.limit = limit;
    }

    /// What the guest said when it was ready.
    pub fn hello(&self) -> Option<&Hello> {
        self.hello.as_ref()
    }

    /// The address in the guest of device `index`.
    pub fn bdf(&self, index: usize) -> String {
        bdf(index)
    }

    /// The device programs, in the order of [`Boot::devices`].
    pub fn devices(&self) -> &[Device] {
        &self.devices
    }

    /// QEMU's process.
    pub fn qemu(&self) -> &Child {
        &self.qemu
    }

    /// The folder of this run, with console and logs.
    pub fn folder(&self) -> &Folder {
        &self.folder
    }

    /// When the boot began.
    pub fn begun(&self) -> Instant {
        self.begun
    }

    /// One line: kernel, QEMU, and how the processor runs and why.
    pub fn summary(&self) -> String {
        let qemu = &self.line.qemu;
        format!(
            "kernel {}, QEMU {} from {}, {}",
            self.line.kernel.release, qemu.version, qemu.origin, self.accel
        )
    }

    /// QEMU's command line, as a shell takes it.
    pub fn qemu_line(&self) -> String {
        copyable(&self.line.words())
    }

    /// The end of the guest's console.
    pub fn console_tail(&self) -> String {
        tail(&self.folder.console())
    }

    fn start_clock(&mut self) {
        self.deadline = self.limit.map(|limit| Instant::now() + limit);
    }

    fn request(&mut self, kind: Kind, message: &impl serde::Serialize) -> Result<u32, VmError> {
        let id = self.next_id;
        self.next_id += 1;
        self.requests.insert(id, Request::default());
        self.send(&Frame::with_message(kind, id, message)?)?;
        Ok(id)
    }

    /// A guest that just ended breaks the pipe; the events say why.
    fn send(&mut self, frame: &Frame) -> Result<(), VmError> {
        match frame.write_to(&mut self.channel) {
            Err(ChannelError::Io(_)) => {
                self.pump("QEMU ends", |_| false, None)?;
                Err(VmError::Guest("the channel is gone".into()))
            }
            other => Ok(other?),
        }
    }

    fn finish(&mut self, running: Running, sink: Option<Sink<'_>>) -> Result<Output, VmError> {
        let result = self.answer(running.0, "the command runs", sink);
        if let Err(VmError::TimedOut { .. }) = result {
            let kill = Signal { signal: libc::SIGKILL };
            self.send(&Frame::with_message(Kind::Signal, running.0, &kill)?)?;
        }
        Ok(result?.output)
    }

    fn answer(&mut self, id: u32, doing: &str, sink: Option<Sink<'_>>) -> Result<Request, VmError> {
        self.requests.entry(id).or_default();
        let is_done = |machine: &Self| machine.requests.get(&id).is_none_or(|request| request.done.is_some());
        let pumped = self.pump(doing, is_done, sink.map(|sink| (id, sink)));
        let mut request = self.requests.remove(&id).unwrap_or_default();
        pumped?;
        match request.done.take() {
            Some(Err(why)) => Err(VmError::Guest(why)),
            _ => Ok(request),
        }
    }

    /// Handles events until `done`, the deadline, a request to stop, or the guest's end.
    fn pump(
        &mut self,
        doing: &str,
        done: impl Fn(&Self) -> bool,
        mut sink: Option<(u32, Sink<'_>)>,
    ) -> Result<(), VmError> {
        while !done(self) {
            if self.ends.closed && self.ends.qemu.is_some() {
                return Err(self.why_it_ended());
            }
            if let Some(signal) = self.stop.and_then(Stop::signal) {
                return Err(VmError::Stopped(signal));
            }
            let left = self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                let limit_s = self.limit.unwrap_or(POWER_OFF_LIMIT).as_secs();
                return Err(VmError::TimedOut { limit_s, doing: doing.into() });
            }
            match self.events.recv_timeout(left.unwrap_or(STOP_LOOK).min(STOP_LOOK)) {
                Ok(event) => self.handle(event, &mut sink)?,
                Err(RecvTimeoutError::Timeout) => {}
                // Both senders reported their end before they went.
                Err(RecvTimeoutError::Disconnected) => return Err(self.why_it_ended()),
            }
        }
        Ok(())
    }

    fn handle(&mut self, event: Event, sink: &mut Option<(u32, Sink<'_>)>) -> Result<(), VmError> {
        match event {
            Event::Frame(frame) => self.handle_frame(frame, sink)?,
            Event::QemuEnded(status) => self.ends.qemu = Some(status),
            Event::Closed(broken) => {
                self.ends.closed = true;
                self.ends.broken = broken;
            }
        }
        Ok(())
    }

    fn handle_frame(&mut self, frame: Frame, sink: &mut Option<(u32, Sink<'_>)>) -> Result<(), VmError> {
        match frame.kind {
            Kind::Hello => self.hello = Some(frame.message()?),
            Kind::Bye => self.ends.bye = true,
            Kind::Failed if frame.id == 0 => {
                return Err(VmError::Guest(String::from_utf8_lossy(&frame.payload).into_owned()));
            }
            kind => {
                let sink = sink.as_mut().filter(|(id, _)| *id == frame.id).map(|(_, sink)| sink);
                // A request that nobody waits for any more, or the shell's end before somebody asks for it.
                if frame.id == 0 {
                    self.requests.entry(0).or_default();
                }
                if let Some(request) = self.requests.get_mut(&frame.id) {
                    request.take(kind, &frame, sink)?;
                }
            }
        }
        Ok(())
    }

    /// QEMU ended by itself. With -no-reboot a panic ends it with status 0, and only the goodbye tells it from an orderly end.
    fn why_it_ended(&self) -> VmError {
        if let (false, Some(broken)) = (self.ends.bye, &self.ends.broken) {
            if matches!(broken, ChannelError::Header(_) | ChannelError::TooLong(_)) {
                return VmError::Guest(broken.to_string());
            }
        }
        match self.ends.qemu {
            Some(status) if status.success() && !self.ends.bye => {
                VmError::Panicked { console_tail: self.console_tail() }
            }
            Some(status) if !status.success() => qemu_ended(status, &self.devices, &self.folder),
            _ => VmError::Guest("powered off before it answered".into()),
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if self.ends.bye {
            self.qemu.wait(POWER_OFF_LIMIT);
        }
        // The reader thread ends with the stream; the kill is for a guest that did not power off.
        let _ = self.qemu.signal(libc::SIGKILL);
        self.qemu.wait(POWER_OFF_LIMIT);
        let _ = self.channel.shutdown(Shutdown::Both);
        for device in &self.devices {
            device.end();
        }
    }
}

fn start_qemu(line: &Line, shell: bool, folder: &Folder, sender: Sender<Event>) -> Result<Child, VmError> {
    let words = line.words();
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]);
    let log = folder.qemu_log();
    let named = |source| VmError::Io { path: log.clone(), source };
    let file = File::create(&log).map_err(named)?;
    if shell {
        // It stays in the terminal's foreground group, or it could not read the keys.
        command.stderr(file);
    } else {
        command.stdin(Stdio::null()).stdout(file.try_clone().map_err(named)?).stderr(file).process_group(0);
    }
    // The receiver may be gone when the machine is dropped.
    let on_end = move |status| drop(sender.send(Event::QemuEnded(status)));
    Child::spawn(command, on_end)
        .map_err(|error| VmError::QemuEnded { how: format!("does not start: {error}") })
}

fn connect(
    socket: &Path,
    qemu: &Child,
    devices: &[Device],
    folder: &Folder,
    stop: Option<&Stop>,
) -> Result<UnixStream, VmError> {
    let deadline = Instant::now() + CHANNEL_LIMIT;
    loop {
        match UnixStream::connect(socket) {
            Ok(stream) => return Ok(stream),
            Err(source) if Instant::now() > deadline => {
                return Err(VmError::Io { path: socket.into(), source });
            }
            Err(_) => {}
        }
        if let Some(status) = qemu.status() {
            return Err(qemu_ended(status, devices, folder));
        }
        if let Some(signal) = stop.and_then(Stop::signal) {
            return Err(VmError::Stopped(signal));
        }
        sleep(Duration::from_millis(5));
    }
}

fn read_frames(mut stream: UnixStream, events: &Sender<Event>) {
    let end = loop {
        match Frame::read_from(&mut stream) {
            Ok(Some(frame)) => {
                if events.send(Event::Frame(frame)).is_err() {
                    return;
                }
            }
            Ok(None) => break None,
            Err(error) => break Some(error),
        }
    };
    let _ = events.send(Event::Closed(end));
}

/// A device program that died takes QEMU with it, so it is named first.
fn qemu_ended(status: ExitStatus, devices: &[Device], folder: &Folder) -> VmError {
    let mut how: Vec<_> = devices.iter().filter_map(Device::obituary).collect();
    how.push(format!("{status}{}", last_line(&folder.qemu_log())));
    VmError::QemuEnded { how: how.join("; ") }
}

fn tail(console: &Path) -> String {
    let bytes = fs::read(console).or_else(|error| match error.kind() {
        io::ErrorKind::NotFound => Ok(Vec::new()),
        _ => Err(error),
    });
    let text = String::from_utf8_lossy(&bytes.unwrap_or_default()).replace('\r', "");
    let lines: Vec<_> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(CONSOLE_TAIL_LINES)..].join("\n")
}
