//! A request to the guest, and what came back for it so far.

use crate::channel::{Frame, Kind};
use crate::error::VmError;
use crate::message::{Exit, KernelLine, Log};

/// What a command left behind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Output {
    /// Its exit status; 128 + n for signal n; 127 not found.
    pub status: i32,
    /// Its standard output.
    pub stdout: Vec<u8>,
    /// Its standard error.
    pub stderr: Vec<u8>,
    /// What the kernel said at warning or above while it ran.
    pub kernel_warnings: Vec<KernelLine>,
}

/// One of a command's two outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// A command that runs in the guest; [`crate::machine::Machine::wait`] gives its output.
#[derive(Debug, PartialEq, Eq)]
pub struct Running(pub(crate) u32);

/// What came back for a request so far.
#[derive(Debug, Default)]
pub(crate) struct Request {
    pub(crate) output: Output,
    pub(crate) data: Vec<u8>,
    pub(crate) log: Log,
    /// The answer is whole, or the guest refused.
    pub(crate) done: Option<Result<(), String>>,
}

/// Takes a command's output as it comes.
pub(crate) type Sink<'a> = &'a mut dyn FnMut(Stream, &[u8]);

impl Request {
    /// Takes the next frame of the answer.
    pub(crate) fn take(
        &mut self,
        kind: Kind,
        frame: &Frame,
        sink: Option<&mut Sink<'_>>,
    ) -> Result<(), VmError> {
        let bytes = &frame.payload;
        match (kind, sink) {
            (Kind::Stdout, Some(sink)) => sink(Stream::Stdout, bytes),
            (Kind::Stderr, Some(sink)) => sink(Stream::Stderr, bytes),
            (Kind::Stdout, None) => self.output.stdout.extend_from_slice(bytes),
            (Kind::Stderr, None) => self.output.stderr.extend_from_slice(bytes),
            (Kind::Data, _) => self.data.extend_from_slice(bytes),
            (Kind::Log, _) => {
                let log: Log = frame.message()?;
                self.log.lines.extend(log.lines);
                self.log.next = log.next;
            }
            (Kind::Exit, _) => {
                let exit: Exit = frame.message()?;
                self.output.status = exit.status;
                self.output.kernel_warnings = exit.kernel_warnings;
                self.done = Some(Ok(()));
            }
            (Kind::End | Kind::Done, _) => self.done = Some(Ok(())),
            (Kind::Failed, _) => self.done = Some(Err(String::from_utf8_lossy(bytes).into_owned())),
            _ => return Err(VmError::Guest(format!("sent a {kind:?} frame, which only the host sends"))),
        }
        Ok(())
    }
}
