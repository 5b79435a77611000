//! The kernel's log, read from `/dev/kmsg` as records.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;

use netdma_vm::message::{KernelLine, Log, ReadLog};

/// A record is at most this long: the kernel says EINVAL when the buffer is too small.
const RECORD_BYTES: usize = 8192;

/// The lines that `request` asks for. Lines that the kernel overwrote meanwhile are gone; the sequence numbers show it.
pub(crate) fn read(request: &ReadLog) -> Log {
    let mut log = Log { lines: Vec::new(), next: request.since };
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open("/dev/kmsg");
    let Ok(mut file) = file else { return log };
    let mut record = vec![0; RECORD_BYTES];
    loop {
        let len = match file.read(&mut record) {
            Ok(len) => len,
            // The record was overwritten while we read; the next read gives the oldest that is left.
            Err(error) if error.kind() == ErrorKind::BrokenPipe || error.kind() == ErrorKind::Interrupted => {
                continue;
            }
            Err(_) => return log,
        };
        let Some(line) = KernelLine::from_kmsg(&String::from_utf8_lossy(&record[..len])) else { continue };
        if line.seq >= log.next {
            log.next = line.seq + 1;
            if line.level <= request.max_level {
                log.lines.push(line);
            }
        }
    }
}

/// The sequence number that the next line will have.
pub(crate) fn mark() -> u64 {
    read(&ReadLog { since: 0, max_level: 0 }).next
}
