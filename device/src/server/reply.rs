//! The last step of a message: the reply, header and data in one buffer, so that one `sendmsg` carries it.

use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::backend::Errno;
use super::wire::{HEADER_BYTES, Header, flag};

/// A reply under construction. The buffer is kept from message to message.
#[derive(Debug, Default)]
pub(crate) struct Reply {
    bytes: Vec<u8>,
}

impl Reply {
    /// Begins an empty reply.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.resize(HEADER_BYTES, 0);
    }

    /// Appends a structure.
    pub(crate) fn put(&mut self, part: &(impl IntoBytes + Immutable)) {
        self.bytes.extend_from_slice(part.as_bytes());
    }

    /// Appends bytes.
    pub(crate) fn put_bytes(&mut self, part: &[u8]) {
        self.bytes.extend_from_slice(part);
    }

    /// Appends `count` zeros and gives them out to be filled. The caller has bounded `count`.
    pub(crate) fn put_zeros(&mut self, count: usize) -> &mut [u8] {
        let start = self.bytes.len();
        self.bytes.resize(start + count, 0);
        &mut self.bytes[start..]
    }

    /// Makes it the success reply to `request`.
    pub(crate) fn success(&mut self, request: &Header) {
        self.finish(request, flag::REPLY, 0);
    }

    /// Makes it an error reply to `request`: a header alone, whatever was put before.
    pub(crate) fn error(&mut self, request: &Header, errno: Errno) {
        self.clear();
        self.finish(request, flag::REPLY | flag::ERROR, errno.get());
    }

    /// The finished reply.
    pub(crate) fn finished(&self) -> &[u8] {
        &self.bytes
    }

    fn finish(&mut self, request: &Header, flags: u32, error: u32) {
        // Replies are bounded by MAX_FRAME_BYTES, far below 4 GiB.
        let size = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
        if let Ok((header, _)) = Header::mut_from_prefix(&mut self.bytes) {
            *header = Header {
                id: request.id,
                command: request.command,
                size: size.into(),
                flags: flags.into(),
                error: error.into(),
            };
        }
    }
}
