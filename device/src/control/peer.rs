//! One client of the control socket: what it sent and is not carried out yet, what it has not taken yet. Both are bounded.

use std::io::{ErrorKind, Read};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use serde_json::Value;

use super::desk::{Answer, Desk, Waiting};
use super::news::News;
use super::protocol::{self, Class, Complaint, MAX_LINE_BYTES};
use crate::server::socket::{self, Watch};

/// Bytes taken from a socket at once.
const CHUNK: usize = 16 * 1024;
/// Requests carried out before the others have their turn.
const TURN: usize = 16;
/// Untaken bytes from which on a client's requests wait.
const BUSY: usize = 256 * 1024;
/// Untaken bytes from which on it gets no events.
const DEAF: usize = 64 * 1024;

/// A client.
pub(crate) struct Peer {
    stream: UnixStream,
    inbox: Vec<u8>,
    /// The rest of a line that was too long is thrown away.
    skipping: bool,
    outbox: Vec<u8>,
    lost: u64,
    /// The reply that its requests wait behind, and its `id`.
    waiting: Option<(Waiting, Option<Value>)>,
    /// It sends no more.
    ended: bool,
    /// The connection is of no more use.
    dead: bool,
}

impl Peer {
    pub(crate) fn new(stream: UnixStream, greeting: &Value) -> Self {
        let dead = stream.set_nonblocking(true).is_err();
        let outbox = protocol::line(greeting);
        let inbox = Vec::new();
        Self { stream, inbox, skipping: false, outbox, lost: 0, waiting: None, ended: false, dead }
    }

    /// What to wait for.
    pub(crate) fn watch(&self) -> Watch {
        Watch::wanted(&self.stream, self.wants_input(), !self.outbox.is_empty())
    }

    /// When its reply is due at last.
    pub(crate) fn until_ns(&self) -> Option<u64> {
        self.waiting.as_ref().map(|(waiting, _)| waiting.until_ns)
    }

    /// Has something to do without anything that a poll would tell.
    pub(crate) fn is_behind(&self) -> bool {
        self.may_go_on() && self.inbox.contains(&b'\n')
    }

    /// Nothing is left to do for it.
    pub(crate) fn is_over(&self) -> bool {
        let quiet = self.outbox.is_empty() && self.waiting.is_none() && !self.is_behind();
        self.dead || (self.ended && quiet)
    }

    /// Gives it an event, or counts it as lost if it does not read.
    pub(crate) fn offer(&mut self, event: &[u8]) {
        if self.outbox.len() >= DEAF {
            self.lost += 1;
        } else {
            self.outbox.extend_from_slice(event);
        }
    }

    /// Counts events that nobody could keep.
    pub(crate) fn missed(&mut self, count: u64) {
        self.lost += count;
    }

    /// One turn: takes what came, carries out what is whole, sends what it takes.
    pub(crate) fn turn(&mut self, watch: &Watch, desk: &Desk) {
        // It has closed both ways: nobody is there who could take a reply, but requests are carried out.
        let gone = watch.hung_up();
        if watch.ready() && (self.wants_input() || gone) {
            self.receive();
        }
        self.reply_if_due(desk);
        for _ in 0..TURN {
            if !self.may_go_on() || !self.carry_out_next(desk) {
                break;
            }
        }
        self.send();
        // After it has taken something: nothing else would wake the thread for it.
        self.tell_loss(&desk.news);
        self.send();
        self.dead |= gone && !self.is_behind();
    }

    fn wants_input(&self) -> bool {
        !self.ended && self.may_go_on() && self.inbox.len() < MAX_LINE_BYTES
    }

    fn may_go_on(&self) -> bool {
        self.waiting.is_none() && self.outbox.len() < BUSY
    }

    fn receive(&mut self) {
        let mut chunk = [0; CHUNK];
        match (&self.stream).read(&mut chunk) {
            Ok(0) => self.ended = true,
            Ok(count) => self.take(&chunk[..count]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(_) => self.dead = true,
        }
    }

    fn take(&mut self, mut bytes: &[u8]) {
        if self.skipping {
            let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else { return };
            self.skipping = false;
            bytes = &bytes[end + 1..];
        }
        self.inbox.extend_from_slice(bytes);
        if self.inbox.len() >= MAX_LINE_BYTES && !self.inbox.contains(&b'\n') {
            self.inbox = Vec::new();
            self.skipping = true;
            let desc = format!("a line is longer than {MAX_LINE_BYTES} bytes: it is ignored");
            self.reply(Err(Complaint::new(Class::InvalidRequest, desc)), None);
        }
    }

    /// Carries out the next line; false if there is none.
    fn carry_out_next(&mut self, desk: &Desk) -> bool {
        let Some(end) = self.inbox.iter().position(|byte| *byte == b'\n') else { return false };
        let line: Vec<u8> = self.inbox.drain(..=end).collect();
        if line.trim_ascii().is_empty() {
            return true;
        }
        match protocol::read(&line) {
            Err((complaint, id)) => self.reply(Err(complaint), id),
            Ok(mut request) => {
                let id = request.id.take();
                match desk.carry_out(request) {
                    Ok(Answer::Now(value)) => self.reply(Ok(value), id),
                    Ok(Answer::Rest(waiting)) => {
                        self.waiting = Some((waiting, id));
                        self.reply_if_due(desk);
                    }
                    Err(complaint) => self.reply(Err(complaint), id),
                }
            }
        }
        true
    }

    fn reply_if_due(&mut self, desk: &Desk) {
        let Some((waiting, id)) = &self.waiting else { return };
        if let Some(outcome) = desk.due(waiting) {
            let id = id.clone();
            self.waiting = None;
            self.reply(outcome, id);
        }
    }

    fn reply(&mut self, outcome: Result<Value, Complaint>, id: Option<Value>) {
        self.outbox.extend(protocol::reply(outcome, id));
    }

    fn tell_loss(&mut self, news: &News) {
        if self.lost > 0 && self.outbox.len() < DEAF {
            let count = std::mem::take(&mut self.lost);
            self.outbox.extend(news.loss(count));
        }
    }

    fn send(&mut self) {
        if self.outbox.is_empty() || self.dead {
            return;
        }
        match socket::send(self.stream.as_fd(), &self.outbox) {
            Ok(count) => {
                self.outbox.drain(..count);
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(_) => self.dead = true,
        }
    }
}
