//! What a fault makes of a client's message: asked of the backend once the message was received whole.

use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use ioat_stage::{Access, Action};
use vmm_sys_util::eventfd::EventFd;
use zerocopy::FromBytes;

use super::backend::Errno;
use super::session::End;
use super::socket::{self, Watch};
use super::wire::{Header, RegionAccessBody, command, flag};
use crate::deviation::Patch;

/// A message of the client, as far as a fault rule can tell it from others.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Message {
    /// A number of [`command`].
    pub command: u16,
    /// The region that REGION_READ and REGION_WRITE name.
    pub region: Option<u32>,
    /// REGION_READ reads; REGION_WRITE and REGION_WRITE_MULTI write; the others are neither.
    pub access: Option<Access>,
    /// Bytes, with the header.
    pub size: u32,
    /// The client waits for a reply.
    pub answered: bool,
}

impl Message {
    pub(crate) fn new(header: &Header, payload: &[u8]) -> Self {
        let command = header.command.get();
        let access = match command {
            command::REGION_READ => Some(Access::Read),
            command::REGION_WRITE | command::REGION_WRITE_MULTI => Some(Access::Write),
            _ => None,
        };
        let names_region = matches!(command, command::REGION_READ | command::REGION_WRITE);
        let region = RegionAccessBody::read_from_prefix(payload).ok().filter(|_| names_region);
        Self {
            command,
            region: region.map(|(body, _)| body.region.get()),
            access,
            size: header.size.get(),
            answered: header.flags.get() & flag::NO_REPLY == 0,
        }
    }

    /// As `addr=` of a rule matches it: the command's number, and 256 times the number of the region, if it names one.
    #[must_use]
    pub fn address(&self) -> u64 {
        u64::from(self.region.unwrap_or(0)) << 8 | u64::from(self.command)
    }
}

/// A deviation, sorted by when it takes effect.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Deviation {
    #[default]
    None,
    /// Not carried out: the reply, if one is due, says this.
    Refuse(Errno),
    /// Not carried out, and there is no reply.
    Ignore,
    /// Carried out, but there is no reply.
    Mute,
    /// Carried out, and answered after this time.
    Slow(Duration),
    /// Carried out, and the reply is altered on its way.
    Alter(Patch),
    /// Carried out, and the connection ends after so many bytes of the reply.
    Cut(usize),
    /// The connection ends.
    End,
    /// The program ends.
    Kill,
}

impl Deviation {
    pub(crate) fn of(action: Option<Action>, message: &Message) -> Self {
        match action {
            Some(Action::Delay(ns)) => Self::Slow(Duration::from_nanos(ns)),
            // What is posted has no reply to lose.
            Some(Action::Drop) if !message.answered => Self::Ignore,
            Some(Action::Drop) => Self::Mute,
            Some(Action::Fail(errno)) => Self::Refuse(Errno::new(i32::try_from(errno).unwrap_or(libc::EIO))),
            Some(Action::Short(bytes)) => Self::Cut(usize::try_from(bytes).unwrap_or(usize::MAX)),
            Some(Action::Disconnect) => Self::End,
            Some(Action::Kill) => Self::Kill,
            verdict => Patch::of(verdict).map_or(Self::None, Self::Alter),
        }
    }

    /// The reply as it goes out; none of it, if it does not. The flag: the connection ends after it.
    pub(crate) fn reply(self, reply: &[u8]) -> (Vec<u8>, bool) {
        let mut reply = reply.to_vec();
        match self {
            Self::Mute => reply.clear(),
            Self::Alter(patch) => {
                let size = reply.len() as u64;
                patch.apply(&mut reply, 0, size);
            }
            // At least one byte is missing: else nothing would be cut.
            Self::Cut(bytes) => reply.truncate(bytes.min(reply.len().saturating_sub(1))),
            _ => {}
        }
        (reply, matches!(self, Self::Cut(_)))
    }
}

/// Lets `time` pass, unless the session has to end meanwhile.
pub(crate) fn dawdle(stream: &UnixStream, stop: &EventFd, time: Duration) -> Result<(), End> {
    let start = Instant::now();
    loop {
        let left = time.saturating_sub(start.elapsed());
        if left.is_zero() {
            return Ok(());
        }
        // What the client sends meanwhile can wait; that it is gone cannot.
        let mut watches = [Watch::wanted(stream, false, false), Watch::readable(stop)];
        socket::wait(&mut watches, Some(left))?;
        if watches[1].ready() {
            return Err(End::Stopped);
        }
        if watches[0].hung_up() {
            return Err(End::ClientLeft);
        }
    }
}
