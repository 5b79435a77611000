//! One connection, from its first byte to its end: frames in, replies out, in order.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use vmm_sys_util::eventfd::EventFd;
use zerocopy::FromBytes;

use super::backend::{Backend, Errno};
use super::deviation::{Deviation, Message, dawdle};
use super::dispatch::Dispatch;
use super::reply::Reply;
use super::request::{Refusal, decode};
use super::serve::Options;
use super::socket::{self, Watch};
use super::wire::{HEADER_BYTES, Header, MAX_FRAME_BYTES, MAX_MESSAGE_FDS, flag};

/// How many receives may follow each other without a look at the stop signal and the clock.
const RECEIVES_PER_CHECK: u32 = 64;
/// How many refusals of one client are logged as warnings; a guest can repeat them at will.
const LOUD_REFUSALS: u32 = 8;

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum End {
    #[error("the client left")]
    ClientLeft,
    #[error("the server is to stop")]
    Stopped,
    #[error("the client sent no VERSION within {0:?}")]
    Silent(Duration),
    #[error("the client took no reply for {0:?}")]
    Deaf(Duration),
    #[error("the client sent a message that leaves no way to go on")]
    Hopeless,
    #[error("a fault rule ended the connection")]
    Faulted,
    #[error("the socket failed: {0}")]
    Socket(#[from] io::Error),
}

pub(crate) struct Session<'a> {
    stream: &'a UnixStream,
    stop: &'a EventFd,
    options: &'a Options,
    dispatch: Dispatch<'a>,
    inbox: Vec<u8>,
    reply: Reply,
    /// What a fault makes of the message that is served.
    deviation: Deviation,
    watches: Vec<Watch>,
    handshake_until: Instant,
    receives: u32,
    refusals: u32,
    /// The wait before the last message was so short that spinning would have bridged it.
    brisk: bool,
}

/// What came with the bytes of one message.
#[derive(Default)]
struct Attached {
    fds: Vec<OwnedFd>,
    /// More than allowed, not where they belong, or cut off: all are closed, and the message is refused.
    spoiled: bool,
}

/// Which part of a message is received.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Header,
    Payload,
}

impl Attached {
    /// Judges what came with some bytes of `part`. Descriptors belong to a message's first byte.
    fn check(&mut self, part: Part, truncated: bool) {
        let misplaced = part == Part::Payload && !self.fds.is_empty();
        if truncated || misplaced || self.fds.len() > MAX_MESSAGE_FDS {
            self.fds.clear();
            self.spoiled = true;
        }
    }
}

impl<'a> Session<'a> {
    pub(crate) fn new(
        stream: &'a UnixStream,
        backend: &'a dyn Backend,
        stop: &'a EventFd,
        options: &'a Options,
    ) -> Session<'a> {
        Session {
            stream,
            stop,
            options,
            dispatch: Dispatch::new(backend),
            inbox: Vec::new(),
            reply: Reply::default(),
            deviation: Deviation::None,
            watches: Vec::new(),
            handshake_until: Instant::now() + options.handshake_timeout,
            receives: 0,
            refusals: 0,
            brisk: false,
        }
    }

    /// Serves until the end. Says why it ended, and whether the client had ever negotiated.
    pub(crate) fn run(mut self) -> (End, bool) {
        loop {
            if let Err(end) = self.one_message() {
                return (end, self.dispatch.negotiated());
            }
        }
    }

    fn one_message(&mut self) -> Result<(), End> {
        let mut header = [0; HEADER_BYTES];
        let mut attached = Attached::default();
        self.fill(&mut header, Part::Header, &mut attached)?;
        let header = Header::read_from_bytes(&header).map_err(|_| End::Hopeless)?;

        let size = header.size.get() as usize;
        let mut inbox = std::mem::take(&mut self.inbox);
        let Some(payload_bytes) = size.checked_sub(HEADER_BYTES).filter(|_| size <= MAX_FRAME_BYTES) else {
            // Where the next message begins is unknown now.
            self.deviation = Deviation::None;
            return self.refuse(&header, Refusal::AnswerAndClose(Errno::EINVAL));
        };
        inbox.resize(payload_bytes, 0);
        let mut late = Attached::default();
        self.fill(&mut inbox, Part::Payload, &mut late)?;
        attached.spoiled |= late.spoiled;

        self.deviation = self.dispatch.deviation(&Message::new(&header, &inbox));
        let result = match self.deviation {
            Deviation::End => return Err(End::Faulted),
            Deviation::Kill => {
                self.dispatch.kill();
                return Err(End::Faulted);
            }
            Deviation::Ignore => Err(Refusal::Ignore),
            Deviation::Refuse(errno) => Err(self.refusal(errno)),
            _ => self.carry_out(&header, &inbox, attached),
        };
        self.inbox = inbox;
        match result {
            Ok(()) if header.flags.get() & flag::NO_REPLY != 0 => self.after(),
            Ok(()) => {
                self.reply.success(&header);
                self.answer()
            }
            Err(refusal) => self.refuse(&header, refusal),
        }
    }

    /// A request that is not carried out.
    fn refusal(&self, errno: Errno) -> Refusal {
        if self.dispatch.negotiated() { Refusal::Answer(errno) } else { Refusal::AnswerAndClose(errno) }
    }

    /// Sends the reply, as a fault has it.
    fn answer(&mut self) -> Result<(), End> {
        let timeout = self.options.send_timeout;
        if self.deviation == Deviation::None {
            return deliver(self.stream, self.stop, timeout, self.reply.finished());
        }
        if let Deviation::Slow(time) = self.deviation {
            dawdle(self.stream, self.stop, time)?;
        }
        let (reply, last) = self.deviation.reply(self.reply.finished());
        deliver(self.stream, self.stop, timeout, &reply)?;
        if last { Err(End::Faulted) } else { Ok(()) }
    }

    /// What a fault does after a message that has no reply.
    fn after(&mut self) -> Result<(), End> {
        match self.deviation {
            Deviation::Slow(time) => dawdle(self.stream, self.stop, time),
            Deviation::Cut(_) => Err(End::Faulted),
            _ => Ok(()),
        }
    }

    fn carry_out(&mut self, header: &Header, payload: &[u8], attached: Attached) -> Result<(), Refusal> {
        let Attached { fds, spoiled } = attached;
        self.reply.clear();
        let outcome = match decode(header, payload, fds.len()) {
            Ok(_) if spoiled => Err(Refusal::Answer(Errno::EINVAL)),
            Ok(request) => self.dispatch.run(request, fds, &mut self.reply),
            Err(refusal) => Err(refusal),
        };
        match outcome {
            // VERSION comes first, and well-formed.
            Err(Refusal::Answer(_)) if !self.dispatch.negotiated() => {
                Err(Refusal::AnswerAndClose(Errno::EINVAL))
            }
            outcome => outcome,
        }
    }

    fn refuse(&mut self, header: &Header, refusal: Refusal) -> Result<(), End> {
        let level = if self.refusals < LOUD_REFUSALS { log::Level::Warn } else { log::Level::Debug };
        self.refusals = self.refusals.saturating_add(1);
        let (command, size) = (header.command.get(), header.size.get());
        log::log!(level, "refused command {command} of {size} bytes: {refusal:?}");
        match refusal {
            Refusal::Ignore => return Ok(()),
            _ if header.flags.get() & flag::NO_REPLY != 0 => {}
            Refusal::Answer(errno) | Refusal::AnswerAndClose(errno) => {
                self.reply.error(header, errno);
                self.answer()?;
            }
        }
        if matches!(refusal, Refusal::AnswerAndClose(_)) { Err(End::Hopeless) } else { Ok(()) }
    }

    /// Receives until `buffer` is full, however the bytes are cut.
    fn fill(&mut self, buffer: &mut [u8], part: Part, attached: &mut Attached) -> Result<(), End> {
        let mut filled = 0;
        let mut waiting_since = None;
        while filled < buffer.len() {
            self.receives = self.receives.wrapping_add(1);
            if self.receives % RECEIVES_PER_CHECK == 0 {
                self.wait_readable(Some(Duration::ZERO))?;
            }
            match socket::receive(self.stream.as_fd(), &mut buffer[filled..], &mut attached.fds) {
                Ok(received) => {
                    attached.check(part, received.truncated);
                    if received.bytes == 0 {
                        return Err(End::ClientLeft);
                    }
                    filled += received.bytes;
                    let waited = waiting_since.take().map(|since: Instant| since.elapsed());
                    // A payload comes together with its header, and says nothing about the next message.
                    if part == Part::Header {
                        self.brisk = waited.is_none_or(|time| time <= self.options.spin * 2);
                    }
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::Interrupted => {}
                    io::ErrorKind::WouldBlock => {
                        let since = *waiting_since.get_or_insert_with(Instant::now);
                        if self.brisk && since.elapsed() < self.options.spin {
                            // On one core with the client, it must run for its message to come.
                            std::thread::yield_now();
                        } else {
                            self.wait_readable(None)?;
                        }
                    }
                    io::ErrorKind::ConnectionReset => return Err(End::ClientLeft),
                    _ => return Err(End::Socket(error)),
                },
            }
        }
        Ok(())
    }

    /// Sleeps until the client says something, `timeout` is over, or the session has to end. Unmasks on the way.
    fn wait_readable(&mut self, mut timeout: Option<Duration>) -> Result<(), End> {
        if !self.dispatch.negotiated() {
            let left = self.handshake_until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(End::Silent(self.options.handshake_timeout));
            }
            timeout = Some(timeout.unwrap_or(left));
        }
        self.watches.clear();
        self.watches.push(Watch::readable(self.stream));
        self.watches.push(Watch::readable(self.stop));
        self.watches.extend(self.dispatch.resamples().map(Watch::readable));
        socket::wait(&mut self.watches, timeout)?;
        if self.watches[1].ready() {
            return Err(End::Stopped);
        }
        for (nth, watch) in self.watches.iter().skip(2).enumerate() {
            if watch.ready() {
                self.dispatch.resample(nth);
            }
        }
        Ok(())
    }
}

/// Sends a whole reply: one `sendmsg`, unless the client is so far behind that the kernel takes only a part.
fn deliver(stream: &UnixStream, stop: &EventFd, timeout: Duration, reply: &[u8]) -> Result<(), End> {
    let mut rest = reply;
    let mut until = None;
    while !rest.is_empty() {
        match socket::send(stream.as_fd(), rest) {
            Ok(sent) => rest = &rest[sent..],
            Err(error) => match error.kind() {
                io::ErrorKind::Interrupted => {}
                io::ErrorKind::WouldBlock => {
                    let until = *until.get_or_insert_with(|| Instant::now() + timeout);
                    let left = until.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return Err(End::Deaf(timeout));
                    }
                    let mut watches = [Watch::writable(stream), Watch::readable(stop)];
                    socket::wait(&mut watches, Some(left))?;
                    if watches[1].ready() {
                        return Err(End::Stopped);
                    }
                }
                io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => return Err(End::ClientLeft),
                _ => return Err(End::Socket(error)),
            },
        }
    }
    Ok(())
}
