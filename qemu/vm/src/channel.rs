//! The framing on the virtio-serial port: the same code on both ends.
//!
//! A frame is a 12-byte header and its payload: `"NV"`, the kind (1 byte), zero (1 byte), the request's id (4 bytes,
//! little-endian), the payload's length (4 bytes, little-endian). What the payloads say is in [`crate::message`].

use std::io::{self, ErrorKind, Read, Write};

use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

/// The name of the virtio-serial port, as the guest sees it in `/sys/class/virtio-ports/*/name`.
pub const PORT_NAME: &str = "netdma-vm.0";

/// The longest payload of one frame, in bytes. A longer one is refused before anything is allocated for it.
pub const MAX_PAYLOAD_BYTES: usize = 256 * 1024;

const MAGIC: [u8; 2] = *b"NV";
const HEADER_BYTES: usize = 12;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Guest: booted, modules loaded, devices bound ([`crate::message::Hello`]).
    Hello = 1,
    /// Host: run a command ([`crate::message::Run`]).
    Run = 2,
    /// Guest: bytes of a command's standard output.
    Stdout = 3,
    /// Guest: bytes of a command's standard error.
    Stderr = 4,
    /// Guest: a command ended ([`crate::message::Exit`]).
    Exit = 5,
    /// Host: a file follows in `Data` frames and an `End` ([`crate::message::Put`]).
    Put = 6,
    /// Either: bytes of a file. Host: of the standard input of a command that has one.
    Data = 7,
    /// Either: the file is whole. Host: so is the input.
    End = 8,
    /// Host: send a file ([`crate::message::Get`]).
    Get = 9,
    /// Host: send the kernel's log ([`crate::message::ReadLog`]).
    ReadLog = 10,
    /// Guest: a part of the kernel's log ([`crate::message::Log`]).
    Log = 11,
    /// Host: signal the process group of the command with this id ([`crate::message::Signal`]).
    Signal = 12,
    /// Guest: the request with this id is done.
    Done = 13,
    /// Guest: the request with this id failed; the payload is one line of text. With id 0, the guest itself failed.
    Failed = 14,
    /// Host: sync and power off.
    PowerOff = 15,
    /// Guest: the last frame. A guest that stops without it has panicked.
    Bye = 16,
}

impl Kind {
    const ALL: [Self; 16] = [
        Self::Hello,
        Self::Run,
        Self::Stdout,
        Self::Stderr,
        Self::Exit,
        Self::Put,
        Self::Data,
        Self::End,
        Self::Get,
        Self::ReadLog,
        Self::Log,
        Self::Signal,
        Self::Done,
        Self::Failed,
        Self::PowerOff,
        Self::Bye,
    ];

    fn from_wire(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// What it is.
    pub kind: Kind,
    /// The request that it belongs to; the host numbers requests from 1.
    pub id: u32,
    /// Its payload, at most [`MAX_PAYLOAD_BYTES`].
    pub payload: Vec<u8>,
}

/// Why a frame could not be read or written.
#[derive(Debug, Error)]
pub enum ChannelError {
    /// The bytes are no frame of ours.
    #[error("the guest channel lost its framing: header {0:02x?}")]
    Header([u8; HEADER_BYTES]),
    /// The frame says that it is longer than the limit.
    #[error("a frame of {0} bytes on the guest channel; the limit is {MAX_PAYLOAD_BYTES}")]
    TooLong(usize),
    /// The payload is not what its kind promises.
    #[error("a {kind:?} frame on the guest channel does not say what it should")]
    Payload {
        /// The frame's kind.
        kind: Kind,
        /// What the decoder said.
        source: serde_json::Error,
    },
    /// The port itself failed.
    #[error("the guest channel failed")]
    Io(#[from] io::Error),
}

impl Frame {
    /// A frame with raw bytes.
    pub fn new(kind: Kind, id: u32, payload: impl Into<Vec<u8>>) -> Self {
        Self { kind, id, payload: payload.into() }
    }

    /// A frame whose payload is `message` as JSON.
    pub fn with_message(kind: Kind, id: u32, message: &impl Serialize) -> Result<Self, ChannelError> {
        let payload = serde_json::to_vec(message).map_err(|source| ChannelError::Payload { kind, source })?;
        Ok(Self { kind, id, payload })
    }

    /// The payload read as JSON.
    pub fn message<T: DeserializeOwned>(&self) -> Result<T, ChannelError> {
        serde_json::from_slice(&self.payload)
            .map_err(|source| ChannelError::Payload { kind: self.kind, source })
    }

    /// Writes the frame with one `write_all`, so that two writers under one lock never interleave.
    pub fn write_to(&self, port: &mut impl Write) -> Result<(), ChannelError> {
        if self.payload.len() > MAX_PAYLOAD_BYTES {
            return Err(ChannelError::TooLong(self.payload.len()));
        }
        let len = u32::try_from(self.payload.len()).map_err(|_| ChannelError::TooLong(self.payload.len()))?;
        let mut bytes = Vec::with_capacity(HEADER_BYTES + self.payload.len());
        bytes.extend_from_slice(&MAGIC);
        bytes.push(self.kind as u8);
        bytes.push(0);
        bytes.extend_from_slice(&self.id.to_le_bytes());
        bytes.extend_from_slice(&len.to_le_bytes());
        bytes.extend_from_slice(&self.payload);
        port.write_all(&bytes)?;
        Ok(())
    }

    /// Reads the next frame; `None` when the other end closed between two frames.
    pub fn read_from(port: &mut impl Read) -> Result<Option<Self>, ChannelError> {
        let mut header = [0; HEADER_BYTES];
        if !fill_or_end(port, &mut header)? {
            return Ok(None);
        }
        let [m0, m1, kind, zero, i0, i1, i2, i3, l0, l1, l2, l3] = header;
        let kind = Kind::from_wire(kind).filter(|_| [m0, m1] == MAGIC && zero == 0);
        let kind = kind.ok_or(ChannelError::Header(header))?;
        let len = usize::try_from(u32::from_le_bytes([l0, l1, l2, l3])).unwrap_or(usize::MAX);
        if len > MAX_PAYLOAD_BYTES {
            return Err(ChannelError::TooLong(len));
        }
        let mut payload = vec![0; len];
        port.read_exact(&mut payload)?;
        Ok(Some(Self { kind, id: u32::from_le_bytes([i0, i1, i2, i3]), payload }))
    }
}

/// `false` for an end before the first byte; an end inside the header is an error.
fn fill_or_end(port: &mut impl Read, header: &mut [u8]) -> io::Result<bool> {
    let mut filled = 0;
    while filled < header.len() {
        match port.read(&mut header[filled..]) {
            Ok(0) if filled == 0 => return Ok(false),
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(n) => filled += n,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Gives its bytes one at a time, as a slow port may.
    struct OneByOne<'a>(&'a [u8]);

    impl Read for OneByOne<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let n = buffer.len().min(1);
            self.0.read(&mut buffer[..n])
        }
    }

    proptest! {
        #[test]
        fn frames_come_back_as_they_were_sent(
            frames in proptest::collection::vec((0..16usize, any::<u32>(), proptest::collection::vec(any::<u8>(), 0..600)), 0..8)
        ) {
            let frames: Vec<_> = frames.into_iter().map(|(kind, id, payload)| Frame::new(Kind::ALL[kind], id, payload)).collect();
            let mut wire = Vec::new();
            for frame in &frames {
                frame.write_to(&mut wire).unwrap();
            }
            let mut port = OneByOne(&wire);
            for frame in &frames {
                let read = Frame::read_from(&mut port).unwrap();
                prop_assert_eq!(read.as_ref(), Some(frame));
            }
            prop_assert!(Frame::read_from(&mut port).unwrap().is_none());
        }

        #[test]
        fn any_bytes_are_a_frame_or_an_error_and_never_a_panic(wire in proptest::collection::vec(any::<u8>(), 0..64)) {
            let mut port = wire.as_slice();
            while let Ok(Some(_)) = Frame::read_from(&mut port) {}
        }
    }

    #[test]
    fn a_length_past_the_limit_is_refused_in_both_directions() {
        let frame = Frame::new(Kind::Data, 1, vec![0; MAX_PAYLOAD_BYTES + 1]);
        assert!(matches!(frame.write_to(&mut Vec::new()), Err(ChannelError::TooLong(_))));
        let mut wire = b"NV\x07\x00\x01\x00\x00\x00".to_vec();
        wire.extend_from_slice(&u32::MAX.to_le_bytes());
        assert!(matches!(Frame::read_from(&mut wire.as_slice()), Err(ChannelError::TooLong(_))));
    }

    #[test]
    fn a_frame_cut_short_is_an_error_and_not_an_end() {
        let mut wire = Vec::new();
        Frame::new(Kind::Stdout, 3, *b"hello").write_to(&mut wire).unwrap();
        for cut in 1..wire.len() {
            assert!(Frame::read_from(&mut &wire[..cut]).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn a_foreign_header_is_named() {
        let error = Frame::read_from(&mut &b"login: root\r\n"[..]).unwrap_err();
        assert!(matches!(error, ChannelError::Header(_)));
    }
}
