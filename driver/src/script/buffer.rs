//! A script's DMA buffer.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use super::Session;
use super::failure::{Failure, failed, of_hw};
use crate::hw::{DmaBuffer, HwError, Placement};

/// Memory that the device can reach while it is mapped. Copies of it are the same memory.
#[derive(Clone)]
pub(super) struct Buffer(Rc<Held>);

struct Held {
    memory: RefCell<Arc<DmaBuffer>>,
}

impl Buffer {
    /// Allocates and maps; the session unmaps it at the latest when it is wound up.
    pub(super) fn allocate(session: &Session, len: usize, placement: Placement) -> Result<Self, Failure> {
        let memory = session.device.memory.allocate_at(len, placement);
        let memory = memory.map_err(|error| of_hw(session, &error))?;
        let held = Held { memory: RefCell::new(Arc::new(memory)) };
        let buffer = Self(Rc::new(held));
        session.buffers.keep(buffer.clone());
        Ok(buffer)
    }

    /// The memory, for the driver: while somebody holds it, it cannot be unmapped.
    pub(super) fn memory(&self) -> Arc<DmaBuffer> {
        self.0.memory.borrow().clone()
    }

    /// Where the device sees it, or last saw it.
    pub(super) fn iova(&self) -> u64 {
        self.0.memory.borrow().iova()
    }

    /// Bytes.
    pub(super) fn len(&self) -> usize {
        self.0.memory.borrow().len()
    }

    /// The device can reach it.
    pub(super) fn is_mapped(&self) -> bool {
        self.0.memory.borrow().is_granted()
    }

    /// The device cannot reach it any more.
    pub(super) fn unmap(&self, session: &Session) -> Result<(), Failure> {
        self.change(|memory| memory.withdraw().map_err(|error| of_hw(session, &error)))
    }

    /// The device can reach it again.
    pub(super) fn map(&self, session: &Session, placement: Placement) -> Result<(), Failure> {
        self.change(|memory| memory.grant(placement).map_err(|error| of_hw(session, &error)))
    }

    fn change<T>(&self, change: impl FnOnce(&mut DmaBuffer) -> Result<T, Failure>) -> Result<T, Failure> {
        let mut memory = self.0.memory.borrow_mut();
        let memory = Arc::get_mut(&mut memory);
        change(memory.ok_or_else(|| failed("the driver works on this buffer: wait until it is done"))?)
    }

    /// Copies bytes out.
    pub(super) fn read(&self, offset: usize, data: &mut [u8]) -> Result<(), Failure> {
        self.check(offset, data.len())?;
        self.0.memory.borrow().read(offset, data).map_err(|error| failed(error.to_string()))
    }

    /// Copies bytes in.
    pub(super) fn write(&self, offset: usize, data: &[u8]) -> Result<(), Failure> {
        self.check(offset, data.len())?;
        self.0.memory.borrow().write(offset, data).map_err(|error| failed(error.to_string()))
    }

    /// Loads a word in one access, if it is aligned.
    pub(super) fn load(&self, offset: usize) -> Result<u64, Failure> {
        if offset % 8 == 0 {
            self.check(offset, 8)?;
            return self.0.memory.borrow().load_u64(offset).map_err(|error| failed(error.to_string()));
        }
        let mut data = [0; 8];
        self.read(offset, &mut data)?;
        Ok(u64::from_le_bytes(data))
    }

    /// Stores a word in one access, if it is aligned.
    pub(super) fn store(&self, offset: usize, value: u64) -> Result<(), Failure> {
        if offset % 8 == 0 {
            self.check(offset, 8)?;
            return self
                .0
                .memory
                .borrow()
                .store_u64(offset, value)
                .map_err(|error| failed(error.to_string()));
        }
        self.write(offset, &value.to_le_bytes())
    }

    /// Checks that a range lies inside.
    pub(super) fn check(&self, offset: usize, len: usize) -> Result<(), Failure> {
        match offset.checked_add(len) {
            Some(end) if end <= self.len() => Ok(()),
            _ => Err(failed(format!(
                "{len} bytes at offset {offset:#x} are not all inside this buffer of {:#x} bytes",
                self.len()
            ))),
        }
    }

    /// Only the session names it any more.
    fn is_forgotten(&self) -> bool {
        Rc::strong_count(&self.0) == 1
    }
}

/// As the shell shows it.
impl fmt::Display for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unmapped = if self.is_mapped() { "" } else { ", not mapped" };
        write!(f, "buffer of {} bytes at {:#x}{unmapped}", self.len(), self.iova())
    }
}

/// All buffers of a session.
///
/// A script's variable may go away while the device still works on its memory (a case that failed, say). So the
/// session keeps every buffer until it is wound up, or until there is much that nobody names any more.
#[derive(Default)]
pub(super) struct Buffers(RefCell<Vec<Buffer>>);

impl Buffers {
    /// Bytes of forgotten buffers that are kept.
    const FORGOTTEN: usize = 64 << 20;

    fn keep(&self, buffer: Buffer) {
        let mut all = self.0.borrow_mut();
        all.push(buffer);
        let forgotten: usize = all.iter().filter(|buffer| buffer.is_forgotten()).map(Buffer::len).sum();
        if forgotten > Self::FORGOTTEN {
            all.retain(|buffer| !buffer.is_forgotten());
        }
    }

    /// Unmaps all, for good. What cannot be unmapped is returned in words.
    pub(super) fn end(&self) -> Vec<String> {
        let mut left = Vec::new();
        for buffer in self.0.take() {
            let mut memory = buffer.0.memory.borrow_mut();
            let iova = memory.iova();
            let result = match Arc::get_mut(&mut memory).map(DmaBuffer::withdraw) {
                Some(Ok(()) | Err(HwError::Gone(_))) => continue,
                Some(Err(error)) => error.to_string(),
                None => "the driver still has it".into(),
            };
            left.push(format!("the buffer at {iova:#x} is still mapped: {result}"));
        }
        left
    }
}
