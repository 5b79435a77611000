//! A vfio-user server that does as the test tells it: right by default, wrong where a twist says so.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;

use vmm_sys_util::sock_ctrl_msg::ScmSocket;

pub(crate) const VERSION: u16 = 1;
pub(crate) const DMA_MAP: u16 = 2;
pub(crate) const DMA_UNMAP: u16 = 3;
pub(crate) const GET_INFO: u16 = 4;
pub(crate) const REGION_INFO: u16 = 5;
pub(crate) const IRQ_INFO: u16 = 7;
pub(crate) const SET_IRQS: u16 = 8;
pub(crate) const REGION_READ: u16 = 9;
pub(crate) const REGION_WRITE: u16 = 10;
pub(crate) const DMA_READ: u16 = 11;
pub(crate) const RESET: u16 = 13;

pub(crate) const NO_REPLY: u32 = 0x10;

/// A message as it came.
pub(crate) struct Message {
    pub(crate) id: u16,
    pub(crate) command: u16,
    pub(crate) flags: u32,
    pub(crate) payload: Vec<u8>,
}

/// What the server does with a message.
pub(crate) enum Answer {
    Payload(Vec<u8>),
    Error(u32),
    Bytes(Vec<u8>),
    /// These bytes, and then the end of the connection.
    Cut(Vec<u8>),
    Close,
    Silence,
}

/// A DMA_MAP.
pub(crate) struct Map {
    pub(crate) address: u64,
    pub(crate) size: u64,
    pub(crate) file: File,
    pub(crate) offset: u64,
    /// What the device may do: 1 to read, 2 to write.
    pub(crate) flags: u32,
}

/// What the server remembers.
pub(crate) struct State {
    pub(crate) bar0: Vec<u8>,
    /// BAR 2, if it has bytes.
    pub(crate) bar2: Vec<u8>,
    /// How many interrupts of INTx, MSI and MSI-X there are.
    pub(crate) irqs: [u32; 3],
    /// Whose events these are: INTx, MSI, or MSI-X.
    pub(crate) events_of: u32,
    pub(crate) config: Vec<u8>,
    pub(crate) maps: Vec<Map>,
    pub(crate) unmaps: Vec<(u64, u64)>,
    /// By vector.
    pub(crate) events: Vec<File>,
    pub(crate) commands: Vec<(u16, u32)>,
    pub(crate) resets: u32,
}

pub(crate) struct Server {
    directory: tempfile::TempDir,
    pub(crate) state: Arc<Mutex<State>>,
}

type Twist = Box<dyn FnMut(&Message) -> Option<Answer> + Send>;

impl Server {
    /// A server without faults.
    pub(crate) fn right() -> Self {
        Self::twisted(|_| None)
    }

    /// A server whose answers `twist` may replace.
    pub(crate) fn twisted(twist: impl FnMut(&Message) -> Option<Answer> + Send + 'static) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(directory.path().join("device.sock")).unwrap();
        let mut config = vec![0; 4096];
        config[..4].copy_from_slice(&[0x86, 0x80, 0x21, 0x20]);
        let bar0 = (0..0x4000_u32).map(|at| u8::try_from(at % 251).unwrap()).collect();
        let (maps, unmaps, events, commands) = (vec![], vec![], vec![], vec![]);
        let (bar2, irqs, events_of) = (vec![], [4; 3], 2);
        let state = State { bar0, bar2, irqs, events_of, config, maps, unmaps, events, commands, resets: 0 };
        let state = Arc::new(Mutex::new(state));
        let (served, twist): (_, Twist) = (state.clone(), Box::new(twist));
        thread::spawn(move || serve(&listener.accept().unwrap().0, &served, twist));
        Self { directory, state }
    }

    /// A server that answers every `command` with `answer`.
    pub(crate) fn answering(command: u16, answer: impl Fn(&Message) -> Answer + Send + 'static) -> Self {
        Self::twisted(move |message| (message.command == command).then(|| answer(message)))
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join("device.sock")
    }

    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }
}

fn serve(mut stream: &UnixStream, state: &Mutex<State>, mut twist: Twist) {
    while let Some((message, file)) = receive(stream) {
        let answer = twist(&message);
        let answer = answer.unwrap_or_else(|| state.lock().unwrap().answer(&message, file));
        let mut last = false;
        let bytes = match answer {
            Answer::Payload(payload) => reply(&message, 1, 0, &payload),
            Answer::Error(errno) => reply(&message, 0x21, errno, &[]),
            Answer::Bytes(bytes) => bytes,
            Answer::Cut(bytes) => {
                last = true;
                bytes
            }
            Answer::Close => return,
            Answer::Silence => continue,
        };
        if message.flags & NO_REPLY == 0 {
            // The client may have gone because of what came before.
            let _ = stream.write_all(&bytes);
        }
        if last {
            return;
        }
    }
}

/// A reply to `message` in bytes.
pub(crate) fn reply(message: &Message, flags: u32, errno: u32, payload: &[u8]) -> Vec<u8> {
    let size = u32::try_from(16 + payload.len()).unwrap();
    frame(message.id, message.command, size, flags, errno, payload)
}

/// Any message in bytes, true or not.
pub(crate) fn frame(id: u16, command: u16, size: u32, flags: u32, errno: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = [id.to_le_bytes(), command.to_le_bytes()].concat();
    for word in [size, flags, errno] {
        bytes.extend(word.to_le_bytes());
    }
    bytes.extend(payload);
    bytes
}

fn receive(mut stream: &UnixStream) -> Option<(Message, Option<File>)> {
    let mut header = [0; 16];
    let (count, file) = stream.recv_with_fd(&mut header).ok()?;
    stream.read_exact(&mut header[count..]).ok()?;
    let half = |at: usize| u16::from_le_bytes([header[at], header[at + 1]]);
    let size = usize::try_from(word(&header, 4)).unwrap();
    let mut payload = vec![0; size - 16];
    stream.read_exact(&mut payload).ok()?;
    Some((Message { id: half(0), command: half(2), flags: word(&header, 8), payload }, file))
}

pub(crate) fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

pub(crate) fn long(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

impl State {
    fn answer(&mut self, message: &Message, file: Option<File>) -> Answer {
        self.commands.push((message.command, message.flags));
        let payload = &message.payload;
        match message.command {
            VERSION => {
                Answer::Payload([&[0, 0, 1, 0], &b"{\"capabilities\":{\"max_msg_fds\":1}}\0"[..]].concat())
            }
            GET_INFO => Answer::Payload(words(&[16, 3, 9, 5])),
            REGION_INFO => self.region_info(word(payload, 8)),
            IRQ_INFO => {
                let index = word(payload, 8);
                let count = self.irqs[usize::try_from(index).unwrap()];
                Answer::Payload(words(&[16, 1, index, count]))
            }
            SET_IRQS => self.set_irqs(payload, file),
            REGION_READ => self.access(payload, false),
            REGION_WRITE => self.access(payload, true),
            DMA_MAP => {
                let (offset, address, size) = (long(payload, 8), long(payload, 16), long(payload, 24));
                let flags = word(payload, 4);
                self.maps.push(Map { address, size, file: file.unwrap(), offset, flags });
                Answer::Payload(vec![])
            }
            DMA_UNMAP => {
                self.unmaps.push((long(payload, 8), long(payload, 16)));
                Answer::Payload(payload.clone())
            }
            RESET => {
                self.resets += 1;
                self.config[4..6].fill(0);
                Answer::Payload(vec![])
            }
            _ => Answer::Error(38),
        }
    }

    fn region_info(&self, index: u32) -> Answer {
        let size = match index {
            0 => self.bar0.len(),
            2 => self.bar2.len(),
            7 => self.config.len(),
            _ => 0,
        };
        Answer::Payload(words(&[32, 3, index, 0, u32::try_from(size).unwrap(), 0, 0, 0]))
    }

    fn set_irqs(&mut self, payload: &[u8], file: Option<File>) -> Answer {
        let (start, count) = (word(payload, 12), word(payload, 16));
        if count == 0 {
            self.events.clear();
        } else {
            self.events_of = word(payload, 8);
            assert_eq!((usize::try_from(start).unwrap(), count), (self.events.len(), 1));
            self.events.push(file.unwrap());
        }
        Answer::Payload(vec![])
    }

    fn access(&mut self, payload: &[u8], write: bool) -> Answer {
        let at = usize::try_from(long(payload, 0)).unwrap();
        let len = usize::try_from(word(payload, 12)).unwrap();
        let space = match word(payload, 8) {
            2 => &mut self.bar2,
            7 => &mut self.config,
            _ => &mut self.bar0,
        };
        let place = &mut space[at..at + len];
        if write {
            place.copy_from_slice(&payload[16..]);
            return Answer::Payload(payload[..16].to_vec());
        }
        Answer::Payload([payload, &*place].concat())
    }

    /// Signals a vector, as often as told.
    pub(crate) fn fire(&self, vector: usize, times: u64) {
        (&self.events[vector]).write_all(&times.to_ne_bytes()).unwrap();
    }
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}
