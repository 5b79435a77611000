//! The other end: a small client that waits for its answers.

mod faults;

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Map, Value, json};

pub use self::faults::Accesses;

/// Events that are kept until they are asked for; older ones give way.
const EVENTS: usize = 4096;
/// The longest line that a device may send. Its own longest reply is a list of 4,096 firings.
const LINE_MAX: usize = 16 << 20;

/// A connection to a device's control socket.
#[derive(Debug)]
pub struct Client {
    stream: UnixStream,
    greeting: Value,
    inbox: Vec<u8>,
    /// No line ends before this in `inbox`.
    searched: usize,
    events: VecDeque<Value>,
    last_id: u64,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens there.
    #[error("{}: cannot connect: {source}", path.display())]
    Connect {
        /// The socket's path.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The connection is gone.
    #[error("the device closed the control connection")]
    Closed,
    /// Nothing came in time.
    #[error("the device did not answer in time")]
    Timeout,
    /// The connection failed.
    #[error("the control connection failed: {0}")]
    Io(io::Error),
    /// What came is no line of this protocol.
    #[error("not a control socket of vfio-user-ioat: {0}")]
    Protocol(String),
    /// The device refused the command; nothing is changed.
    #[error("{class}: {desc}")]
    Refused {
        /// The kind, as [`super::Class`] names it.
        class: String,
        /// What is wrong.
        desc: String,
    },
}

impl Client {
    /// How long an answer may take unless [`set_patience`](Self::set_patience) says otherwise: more than any command waits.
    pub const PATIENCE: Duration = Duration::from_secs(20);

    /// Connects, and takes the greeting.
    ///
    /// # Errors
    /// When nobody listens at `path`, or somebody else does.
    pub fn connect(path: &Path) -> Result<Self, ClientError> {
        let stream = UnixStream::connect(path)
            .map_err(|source| ClientError::Connect { path: path.to_owned(), source })?;
        let (inbox, events) = (Vec::new(), VecDeque::new());
        let mut client = Self { stream, greeting: Value::Null, inbox, searched: 0, events, last_id: 0 };
        client.set_patience(Self::PATIENCE)?;
        let first = client.receive()?;
        match first.get("netdma") {
            Some(greeting) => client.greeting = greeting.clone(),
            None => return Err(refusal(&first).unwrap_or_else(|| odd(&first))),
        }
        Ok(client)
    }

    /// What the device said first: `version`, `device`, `capabilities`.
    #[must_use]
    pub fn greeting(&self) -> &Value {
        &self.greeting
    }

    /// How long each wait may last.
    ///
    /// # Errors
    /// When it is zero.
    pub fn set_patience(&mut self, patience: Duration) -> Result<(), ClientError> {
        self.stream.set_read_timeout(Some(patience)).map_err(ClientError::Io)?;
        self.stream.set_write_timeout(Some(patience)).map_err(ClientError::Io)
    }

    /// Has a command carried out. Events that come before its reply are kept for [`next_event`](Self::next_event).
    ///
    /// # Errors
    /// [`ClientError::Refused`] when the device says no; anything else ends the connection's use.
    pub fn execute(&mut self, command: &str, arguments: Map<String, Value>) -> Result<Value, ClientError> {
        self.last_id += 1;
        let id = self.last_id;
        let mut line = json!({ "execute": command, "arguments": arguments, "id": id }).to_string();
        line.push('\n');
        self.stream.write_all(line.as_bytes()).map_err(failed)?;
        loop {
            let mut message = self.receive()?;
            if message.get("event").is_some() {
                self.keep(message);
            } else if message.get("id") != Some(&Value::from(id)) {
                return Err(refusal(&message).unwrap_or_else(|| odd(&message)));
            } else if let Some(value) = message.get_mut("return") {
                return Ok(value.take());
            } else {
                return Err(refusal(&message).unwrap_or_else(|| odd(&message)));
            }
        }
    }

    /// The next event, oldest first; none if none comes within this client's patience.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn next_event(&mut self) -> Result<Option<Value>, ClientError> {
        if let Some(event) = self.events.pop_front() {
            return Ok(Some(event));
        }
        match self.receive() {
            Ok(message) if message.get("event").is_some() => Ok(Some(message)),
            Ok(message) => Err(odd(&message)),
            Err(ClientError::Timeout) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn keep(&mut self, event: Value) {
        if self.events.len() == EVENTS {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }

    fn receive(&mut self) -> Result<Value, ClientError> {
        let line = self.line()?;
        serde_json::from_slice(&line).map_err(|error| ClientError::Protocol(error.to_string()))
    }

    fn line(&mut self) -> Result<Vec<u8>, ClientError> {
        loop {
            if let Some(end) = self.inbox[self.searched..].iter().position(|byte| *byte == b'\n') {
                let line = self.inbox.drain(..=self.searched + end).collect();
                self.searched = 0;
                return Ok(line);
            }
            self.searched = self.inbox.len();
            if self.searched > LINE_MAX {
                return Err(ClientError::Protocol(format!("a line of more than {LINE_MAX} bytes")));
            }
            let mut chunk = [0; 16 * 1024];
            match self.stream.read(&mut chunk) {
                Ok(0) => return Err(ClientError::Closed),
                Ok(count) => self.inbox.extend_from_slice(&chunk[..count]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(failed(error)),
            }
        }
    }
}

/// Arguments from pairs.
#[must_use]
pub fn arguments<const N: usize>(pairs: [(&str, Value); N]) -> Map<String, Value> {
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn failed(error: io::Error) -> ClientError {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => ClientError::Timeout,
        ErrorKind::BrokenPipe | ErrorKind::ConnectionReset => ClientError::Closed,
        _ => ClientError::Io(error),
    }
}

fn refusal(message: &Value) -> Option<ClientError> {
    let error = message.get("error")?;
    let text = |name| error.get(name).and_then(Value::as_str).map(str::to_owned);
    Some(ClientError::Refused { class: text("class")?, desc: text("desc")? })
}

fn odd(message: &Value) -> ClientError {
    ClientError::Protocol(message.to_string().chars().take(80).collect())
}
