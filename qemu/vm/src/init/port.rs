//! The virtio-serial port: found by its name, written by many threads, one whole frame at a time.

use std::fs::{self, File, OpenOptions};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

use netdma_vm::channel::{Frame, Kind, PORT_NAME};
use serde::Serialize;

use crate::syscall;

/// The port appears a little after its driver probed; under a slow emulator that is not at once.
const PORT_LIMIT: Duration = Duration::from_secs(20);
const RETRY: Duration = Duration::from_millis(10);

/// The port's two halves on one open file: the kernel opens a port only once.
pub(crate) struct Port {
    file: File,
    writing: Mutex<()>,
}

impl Port {
    /// Waits for the port to appear and for the harness to listen.
    pub(crate) fn open() -> Result<Self, String> {
        let deadline = Instant::now() + PORT_LIMIT;
        loop {
            if let Some(path) = find() {
                let file = OpenOptions::new().read(true).write(true).open(&path);
                let file = file.map_err(|error| format!("{}: {error}", path.display()))?;
                while !syscall::port_is_connected(&file) {
                    if Instant::now() > deadline {
                        return Err("no harness listens on the guest channel".into());
                    }
                    sleep(RETRY);
                }
                return Ok(Self { file, writing: Mutex::new(()) });
            }
            if Instant::now() > deadline {
                return Err(format!("no virtio-serial port named {PORT_NAME}"));
            }
            sleep(RETRY);
        }
    }

    /// Sends a whole frame. What cannot be sent has nobody to hear it, so a failure is only said on the console.
    pub(crate) fn send(&self, frame: &Frame) {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = frame.write_to(&mut &self.file) {
            eprintln!("netdma-vm-init: {error}");
        }
    }

    pub(crate) fn send_message(&self, kind: Kind, id: u32, message: &impl Serialize) {
        match Frame::with_message(kind, id, message) {
            Ok(frame) => self.send(&frame),
            Err(error) => self.fail(id, &error.to_string()),
        }
    }

    pub(crate) fn fail(&self, id: u32, why: &str) {
        self.send(&Frame::new(Kind::Failed, id, why));
    }

    /// The next frame; `None` when the harness went away.
    pub(crate) fn receive(&self) -> Result<Option<Frame>, String> {
        Frame::read_from(&mut &self.file).map_err(|error| error.to_string())
    }
}

fn find() -> Option<PathBuf> {
    for port in fs::read_dir("/sys/class/virtio-ports").ok()?.flatten() {
        let name = fs::read_to_string(port.path().join("name")).unwrap_or_default();
        let node = PathBuf::from("/dev").join(port.file_name());
        if name.trim() == PORT_NAME && node.exists() {
            return Some(node);
        }
    }
    None
}
