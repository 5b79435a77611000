//! VERSION: what the client proposes, and what holds for the session.

use serde_json::{Map, Value, json};

use super::backend::Errno;
use super::wire::{MAX_DATA_BYTES, MAX_MESSAGE_FDS};

/// The only major version there is.
const MAJOR: u16 = 0;
/// The newest minor version that we know.
const MINOR: u16 = 1;
/// Longer version data is refused before it is parsed. QEMU's is 194 bytes.
const MAX_VERSION_DATA_BYTES: usize = 16 * 1024;
/// The page sizes that DMA maps may have: every multiple of 4 KiB.
const PGSIZES: u64 = 4096;

/// What both sides agreed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Agreement {
    /// Minor version of the reply.
    pub(crate) minor: u16,
    /// The most data of one access: the smaller of both sides' limits.
    pub(crate) max_data_bytes: u32,
    /// Version data of the reply, with its NUL.
    pub(crate) reply_data: Vec<u8>,
}

/// Judges a VERSION request. The reply names only capabilities that the client proposed too: it has to be a subset.
pub(crate) fn negotiate(major: u16, minor: u16, data: &[u8]) -> Result<Agreement, Errno> {
    if major != MAJOR {
        return Err(Errno::EINVAL);
    }
    let proposed = proposed_capabilities(data)?;
    let number = |key: &str| match proposed.get(key) {
        None => Ok(None),
        Some(value) => value.as_u64().map(Some).ok_or(Errno::EINVAL),
    };

    let mut ours = Map::new();
    if number("max_msg_fds")?.is_some() {
        ours.insert("max_msg_fds".to_owned(), json!(MAX_MESSAGE_FDS));
    }
    let mut max_data_bytes = MAX_DATA_BYTES;
    if let Some(theirs) = number("max_data_xfer_size")? {
        if theirs == 0 {
            return Err(Errno::EINVAL);
        }
        max_data_bytes = u32::try_from(theirs).unwrap_or(u32::MAX).min(MAX_DATA_BYTES);
        ours.insert("max_data_xfer_size".to_owned(), json!(MAX_DATA_BYTES));
    }
    if number("pgsizes")?.is_some() {
        ours.insert("pgsizes".to_owned(), json!(PGSIZES));
    }

    let mut reply_data = json!({ "capabilities": ours }).to_string().into_bytes();
    reply_data.push(0);
    Ok(Agreement { minor: minor.min(MINOR), max_data_bytes, reply_data })
}

/// The `capabilities` object of the version data; empty if the client said nothing.
fn proposed_capabilities(data: &[u8]) -> Result<Map<String, Value>, Errno> {
    if data.is_empty() {
        return Ok(Map::new());
    }
    if data.len() > MAX_VERSION_DATA_BYTES {
        return Err(Errno::EINVAL);
    }
    let json = data.strip_suffix(&[0]).ok_or(Errno::EINVAL)?;
    // serde_json refuses nesting deeper than 128, so hostile text cannot exhaust the stack.
    let Ok(Value::Object(mut top)) = serde_json::from_slice(json) else {
        return Err(Errno::EINVAL);
    };
    match top.remove("capabilities") {
        None => Ok(Map::new()),
        Some(Value::Object(capabilities)) => Ok(capabilities),
        Some(_) => Err(Errno::EINVAL),
    }
}
