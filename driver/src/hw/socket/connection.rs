//! One connection to a vfio-user server: a request out, its reply in, one at a time.
//!
//! After anything that leaves the byte stream in doubt (silence, a wrong id, an impossible size) the
//! connection is dead for good: a late reply must never be taken for the next one's.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::OnceLock;
use std::time::Duration;

use ioat_stage::Ready;
use ioat_stage::pause::{SharedPause, deadline};
use ioat_stage::sync::Mutex;
use vmm_sys_util::epoll::{ControlOperation, Epoll, EpollEvent, EventSet};
use vmm_sys_util::sock_ctrl_msg::ScmSocket;
use zerocopy::IntoBytes;

use super::super::fd::of_epoll;
use super::super::patience::Patience;
use super::failure::{Death, Failed, errno};
use super::inbox::Inbox;
use super::wire::{Command, ERROR, Header, NO_REPLY, TYPE_COMMAND, TYPE_REPLY};

/// A request: its command, the parts of its payload, and the descriptors beside them.
pub(super) struct Request<'a> {
    pub(super) command: Command,
    pub(super) parts: [&'a [u8]; 2],
    pub(super) fds: &'a [RawFd],
}

impl<'a> Request<'a> {
    pub(super) fn new(command: Command, payload: &'a [u8]) -> Self {
        Self { command, parts: [payload, &[]], fds: &[] }
    }
}

pub(super) struct Connection {
    stream: UnixStream,
    traffic: Mutex<Traffic>,
    death: OnceLock<Death>,
    hangup: Epoll,
    room: Epoll,
    patience: Patience,
    pause: SharedPause,
    timeout: Duration,
}

/// What only one request at a time may touch.
struct Traffic {
    next_id: u16,
    inbox: Inbox,
}

impl Connection {
    pub(super) fn new(stream: UnixStream, pause: SharedPause, timeout: Duration) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        let hangup = watch(&stream, EventSet::READ_HANG_UP)?;
        let room = watch(&stream, EventSet::OUT)?;
        let traffic = Traffic { next_id: 0, inbox: Inbox::new() };
        let traffic = Mutex::new(traffic);
        let (death, patience) = (OnceLock::new(), Patience::default());
        Ok(Self { stream, traffic, death, hangup, room, patience, pause, timeout })
    }

    /// Sends `request`, waits for its reply, and copies the payload to `reply`. Returns the payload's size.
    pub(super) fn request(&self, request: &Request<'_>, reply: &mut [u8]) -> Result<usize, Failed> {
        let mut traffic = self.traffic.lock();
        self.alive()?;
        let until = deadline(&*self.pause, self.timeout);
        let answered = self
            .send(&mut traffic, request, TYPE_COMMAND, until)
            .and_then(|id| self.reply_to(&mut traffic, request.command, id, reply, until));
        answered.map_err(|death| self.bury(death))?
    }

    /// Sends `request` and waits for nothing. The server handles it before any later request.
    pub(super) fn post(&self, request: &Request<'_>) -> Result<(), Failed> {
        let mut traffic = self.traffic.lock();
        self.alive()?;
        let until = deadline(&*self.pause, self.timeout);
        let sent = self.send(&mut traffic, request, TYPE_COMMAND | NO_REPLY, until);
        sent.map(|_| ()).map_err(|death| self.bury(death))
    }

    /// Ends the connection because an answer made no sense.
    pub(super) fn malformed(&self, command: Command, what: String) -> Failed {
        self.bury(Death::Malformed { command, what })
    }

    /// Can be read when the server has hung up, or when this side has; replies do not make it so.
    pub(super) fn hangup(&self) -> BorrowedFd<'_> {
        of_epoll(&self.hangup)
    }

    /// Why the connection is dead, once [`hangup`](Self::hangup) can be read.
    pub(super) fn death(&self) -> Death {
        self.death.get().cloned().unwrap_or(Death::Closed)
    }

    fn alive(&self) -> Result<(), Failed> {
        self.death.get().map_or(Ok(()), |death| Err(Failed::Dead(death.clone())))
    }

    fn bury(&self, death: Death) -> Failed {
        let death = self.death.get_or_init(|| death).clone();
        // Wakes the waiters for interrupts, who watch for a hang-up. It fails only where one has happened.
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
        Failed::Dead(death)
    }

    fn send(
        &self,
        traffic: &mut Traffic,
        request: &Request<'_>,
        flags: u32,
        until: u64,
    ) -> Result<u16, Death> {
        let Request { command, parts: [first, second], fds } = *request;
        let id = traffic.next_id;
        traffic.next_id = id.wrapping_add(1);
        let size = Header::SIZE + first.len() + second.len();
        let size = u32::try_from(size).map_err(|_| Death::System(format!("{command} of {size} bytes")))?;
        let header = Header {
            id: id.into(),
            command: command.number().into(),
            size: size.into(),
            flags: flags.into(),
            errno: 0.into(),
        };
        self.send_all([header.as_bytes(), first, second], fds, command, until)?;
        Ok(id)
    }

    /// The descriptors go with the first byte; a server that reads slowly may take the rest in pieces.
    fn send_all(
        &self,
        mut parts: [&[u8]; 3],
        mut fds: &[RawFd],
        command: Command,
        until: u64,
    ) -> Result<(), Death> {
        while parts.iter().any(|part| !part.is_empty()) {
            match self.stream.send_with_fds(&parts, fds).map_err(io::Error::from) {
                Ok(mut sent) => {
                    fds = &[];
                    for part in &mut parts {
                        let taken = sent.min(part.len());
                        *part = &part[taken..];
                        sent -= taken;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.block(of_epoll(&self.room), command, until)?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// The outer error ends the connection, the inner one is the server's answer.
    fn reply_to(
        &self,
        traffic: &mut Traffic,
        command: Command,
        id: u16,
        reply: &mut [u8],
        until: u64,
    ) -> Result<Result<usize, Failed>, Death> {
        let malformed = |what| Err(Death::Malformed { command, what });
        loop {
            let (header, size) = self.receive(&mut traffic.inbox, command, until)?;
            if header.kind() == TYPE_COMMAND {
                // The server may ask for memory by messages, which a client that shares all of it need not give.
                self.decline(&header, command, until)?;
                traffic.inbox.consume(size);
                // Its messages may not hold up the answer for ever.
                if self.pause.now_ns() > until {
                    return Err(Death::Silent { command, timeout: self.timeout });
                }
                continue;
            }
            if header.kind() != TYPE_REPLY {
                return malformed(format!("message type {}", header.kind()));
            }
            if header.id.get() != id || header.command.get() != command.number() {
                let (got_id, got_command) = (header.id, header.command);
                return malformed(format!("it answers message {got_id} of command {got_command}, not {id}"));
            }
            if header.has(ERROR) {
                traffic.inbox.consume(size);
                return Ok(Err(Failed::Refused { command, errno: errno(&header) }));
            }
            let payload = traffic.inbox.payload(size);
            let Some(place) = reply.get_mut(..payload.len()) else {
                return malformed(format!("{} bytes where at most {} fit", payload.len(), reply.len()));
            };
            place.copy_from_slice(payload);
            let len = payload.len();
            traffic.inbox.consume(size);
            return Ok(Ok(len));
        }
    }

    /// The next whole message; it stays at the front of the inbox until it is consumed.
    fn receive(&self, inbox: &mut Inbox, command: Command, until: u64) -> Result<(Header, usize), Death> {
        let looks = self.patience.looks();
        let (mut left, before) = (looks, self.pause.now_ns());
        loop {
            if let Some(message) = inbox.message(command)? {
                self.patience.took(looks, self.pause.now_ns().saturating_sub(before));
                return Ok(message);
            }
            match inbox.fill(&self.stream) {
                Ok(0) => return Err(Death::Closed),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if left > 0 {
                        left -= 1;
                        self.pause.relax();
                    } else {
                        self.block(self.stream.as_fd(), command, until)?;
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn decline(&self, header: &Header, command: Command, until: u64) -> Result<(), Death> {
        if header.has(NO_REPLY) {
            return Ok(());
        }
        let errno = libc::ENOSYS.unsigned_abs().into();
        let size = u32::try_from(Header::SIZE).unwrap_or(16).into();
        let answer = Header { size, flags: (TYPE_REPLY | ERROR).into(), errno, ..*header };
        self.send_all([answer.as_bytes(), &[], &[]], &[], command, until)
    }

    fn block(&self, fd: BorrowedFd<'_>, command: Command, until: u64) -> Result<(), Death> {
        match self.pause.wait_readable(&[fd], Some(until)) {
            Ready::Readable(_) => Ok(()),
            Ready::TimedOut => Err(Death::Silent { command, timeout: self.timeout }),
        }
    }
}

fn watch(stream: &UnixStream, events: EventSet) -> io::Result<Epoll> {
    let epoll = Epoll::new()?;
    epoll.ctl(ControlOperation::Add, stream.as_raw_fd(), EpollEvent::new(events, 0))?;
    Ok(epoll)
}
