//! Bytes that have come, until they are a whole message.

use std::io::{self, Read};
use std::os::unix::net::UnixStream;

use zerocopy::FromBytes;

use super::failure::Death;
use super::wire::{Command, Header};

/// The longest message that is taken from a server. Nothing that is asked for comes near.
const LONGEST: usize = 16 * 1024;

pub(super) struct Inbox {
    bytes: Box<[u8]>,
    filled: usize,
}

impl Inbox {
    pub(super) fn new() -> Self {
        Self { bytes: vec![0; LONGEST].into(), filled: 0 }
    }

    /// The whole message at the front, if one has come, and its checked size. It stays until it is consumed.
    pub(super) fn message(&self, command: Command) -> Result<Option<(Header, usize)>, Death> {
        let Ok((header, _)) = Header::read_from_prefix(&self.bytes[..self.filled]) else { return Ok(None) };
        let size = usize::try_from(header.size.get()).unwrap_or(usize::MAX);
        if !(Header::SIZE..=self.bytes.len()).contains(&size) {
            let what = format!("a message size of {size} bytes");
            return Err(Death::Malformed { command, what });
        }
        Ok((size <= self.filled).then_some((header, size)))
    }

    /// What follows the header of a message of `size` bytes.
    pub(super) fn payload(&self, size: usize) -> &[u8] {
        &self.bytes[Header::SIZE..size]
    }

    pub(super) fn consume(&mut self, size: usize) {
        self.bytes.copy_within(size..self.filled, 0);
        self.filled -= size;
    }

    /// Takes what the socket holds, without waiting; 0 is its end. Descriptors that a server sends along are
    /// closed by the kernel, because nothing here asks for them.
    pub(super) fn fill(&mut self, mut stream: &UnixStream) -> io::Result<usize> {
        let count = stream.read(&mut self.bytes[self.filled..])?;
        self.filled += count;
        Ok(count)
    }
}
