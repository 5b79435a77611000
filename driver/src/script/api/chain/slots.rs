//! The chain itself: descriptors side by side in one DMA buffer.

use std::fmt;
use std::rc::Rc;

use ioat_spec::descriptor::DESCRIPTOR_SIZE;
use ioat_spec::{Control, Descriptor, Opcode};
use rhai::{Dynamic, INT, Map};
use zerocopy::IntoBytes;

use super::super::super::Session;
use super::super::super::buffer::Buffer;
use super::super::super::failure::{Failure, failed};
use super::super::super::number::{bits, count as counted, int};
use super::field::{Field, decode, operation};
use super::{asked, show, thrown};
use crate::hw::Placement;

/// Most descriptors of one chain: DMACOUNT tells no more apart.
const MOST: INT = 1 << 16;

/// Descriptors in DMA memory. Clones are the same ones.
#[derive(Clone)]
pub(in super::super) struct Chain {
    memory: Buffer,
    count: usize,
}

impl Chain {
    pub(super) fn new(session: &Rc<Session>, count: INT, ring: bool) -> Result<Self, Failure> {
        if !(1..=MOST).contains(&count) {
            return Err(failed(format!(
                "a chain of {count} descriptors: give 1 to {MOST}, what DMACOUNT can count"
            )));
        }
        let count = usize::try_from(count).unwrap_or(0);
        let chain =
            Self { memory: Buffer::allocate(session, count * DESCRIPTOR_SIZE, Placement::default())?, count };
        for slot in 0..count {
            let next = match slot + 1 {
                next if next < count => chain.at(next),
                _ if ring => chain.at(0),
                _ => 0,
            };
            chain.store(slot, &Descriptor { next, ..Descriptor::default() })?;
        }
        Ok(chain)
    }

    pub(super) fn count(&self) -> INT {
        counted(self.count)
    }

    /// Where descriptor `i` is for the device.
    pub(super) fn address(&self, i: INT) -> Result<INT, Failure> {
        self.slot(i).map(|slot| int(self.at(slot)))
    }

    pub(super) fn copy(
        &self,
        i: INT,
        from: &Dynamic,
        to: &Dynamic,
        bytes: INT,
        control: &Map,
    ) -> Result<(), Failure> {
        let (source, destination) = (address("the source", from)?, address("the destination", to)?);
        self.make(i, bytes, Control::new(), source, destination, control)
    }

    pub(super) fn null(&self, i: INT, control: &Map) -> Result<(), Failure> {
        // The size is not 0 by convention: old engines took that for an error (device model 4.4).
        self.make(i, 1, Control::new().with_null(true), 0, 0, control)
    }

    pub(super) fn fill(
        &self,
        i: INT,
        to: &Dynamic,
        bytes: INT,
        pattern: INT,
        control: &Map,
    ) -> Result<(), Failure> {
        let fill = Control::new().with_opcode(Opcode::Fill as u8);
        self.make(i, bytes, fill, bits(pattern), address("the destination", to)?, control)
    }

    pub(super) fn get(&self, i: INT, field: &str) -> Result<INT, Failure> {
        let field = Field::by_name(field).map_err(thrown)?;
        self.load(self.slot(i)?).map(|descriptor| int(field.get(&descriptor)))
    }

    pub(super) fn put(&self, i: INT, field: &str, value: &Dynamic) -> Result<(), Failure> {
        let (slot, field) = (self.slot(i)?, Field::by_name(field).map_err(thrown)?);
        let value = match value.read_lock::<rhai::ImmutableString>() {
            Some(word) if field.name == "OPCODE" => operation(&word).map_err(thrown)?,
            _ => match value.as_bool() {
                Ok(on) => on.into(),
                Err(_) => address(field.name, value)?,
            },
        };
        let mut descriptor = self.load(slot)?;
        field.put(&mut descriptor, value).map_err(thrown)?;
        // The field's own word and no other: the engine may be reading next door.
        let word = field.bytes();
        self.write(slot * DESCRIPTOR_SIZE + word.start, &descriptor.as_bytes()[word])
    }

    pub(super) fn link(&self, i: INT, to: &Dynamic) -> Result<(), Failure> {
        let next = match to.as_int() {
            Ok(j) if (0..self.count()).contains(&j) => self.address(j)?,
            Ok(address) => address,
            Err(_) if to.is_unit() => 0,
            Err(_) => match to.read_lock::<Self>() {
                Some(other) => other.address(0)?,
                None => int(address("the next descriptor", to)?),
            },
        };
        self.put(i, "NEXT", &next.into())
    }

    pub(super) fn show(&self, i: INT) -> Result<String, Failure> {
        let slot = self.slot(i)?;
        Ok(format!("[{slot}] {:#x}: {}", self.at(slot), show::line(&self.load(slot)?)))
    }

    pub(super) fn show_all(&self) -> Result<String, Failure> {
        let lines = (0..self.count()).map(|i| self.show(i));
        Ok(lines.collect::<Result<Vec<_>, _>>()?.join("\n"))
    }

    pub(super) fn hexdump(&self, i: INT) -> Result<String, Failure> {
        let slot = self.slot(i)?;
        let descriptor = self.load(slot)?;
        Ok(show::hexdump(self.at(slot), descriptor.as_bytes()))
    }

    fn make(
        &self,
        i: INT,
        bytes: INT,
        operation: Control,
        source: u64,
        destination: u64,
        control: &Map,
    ) -> Result<(), Failure> {
        let slot = self.slot(i)?;
        let size = u32::try_from(bytes);
        let size = size.map_err(|_| failed(format!("{bytes} bytes: SIZE takes 0 to {:#x}", u32::MAX)))?;
        let control = operation.into_bits() | asked(control)?;
        let before = self.load(slot)?;
        self.store(
            slot,
            &Descriptor { size, control, source, destination, next_source: 0, next_destination: 0, ..before },
        )
    }

    fn slot(&self, i: INT) -> Result<usize, Failure> {
        let slot = usize::try_from(i).ok().filter(|slot| *slot < self.count);
        slot.ok_or_else(|| failed(format!("descriptor {i}: the chain has 0 to {}", self.count - 1)))
    }

    fn at(&self, slot: usize) -> u64 {
        self.memory.iova() + (slot * DESCRIPTOR_SIZE) as u64
    }

    fn load(&self, slot: usize) -> Result<Descriptor, Failure> {
        let mut bytes = [0; DESCRIPTOR_SIZE];
        self.memory.read(slot * DESCRIPTOR_SIZE, &mut bytes)?;
        Ok(decode(&bytes))
    }

    fn store(&self, slot: usize, descriptor: &Descriptor) -> Result<(), Failure> {
        self.write(slot * DESCRIPTOR_SIZE, descriptor.as_bytes())
    }

    fn write(&self, offset: usize, bytes: &[u8]) -> Result<(), Failure> {
        self.memory.write(offset, bytes)
    }
}

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "chain of {} descriptors at {:#x}", self.count, self.at(0))
    }
}

/// An address: a number, or where a buffer or a chain is for the device.
pub(super) fn address(what: &str, value: &Dynamic) -> Result<u64, Failure> {
    if let Ok(number) = value.as_int() {
        return Ok(bits(number));
    }
    if let Some(buffer) = value.read_lock::<Buffer>() {
        return Ok(buffer.iova());
    }
    match value.read_lock::<Chain>() {
        Some(chain) => Ok(chain.at(0)),
        None => Err(failed(format!("{what}: give an address or a buffer, not {}", value.type_name()))),
    }
}
