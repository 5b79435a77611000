//! DMA memory: getting it, filling it, looking at it.

mod compare;

mod files;

mod fill;

mod place;

use std::rc::Rc;

use rhai::{Blob, Engine, INT};

use super::super::buffer::Buffer;
use super::super::dump::dump;
use super::super::failure::Failure;
use super::super::number::{count, fitting, int, size};
use super::super::seen::Seen;
use super::super::{Entry, Session};

const GROUP: &str = "DMA";

macro_rules! entries {
    ($($name:literal, $call:literal, $says:literal;)*) => {
        &[$(Entry { name: $name, call: $call, says: $says, group: GROUP },)*]
    };
}

pub(super) const ENTRIES: &[Entry] = entries! {
    "dma", "dma(len) -> Buffer\ndma(len, #{iova: N, access: \"rw\"|\"r\"|\"w\"}) -> Buffer",
        "Zeroed memory that the device can reach, where the map says, with the permission it says.";
    "iova", "buffer.iova -> address", "Where the device sees it.";
    "len", "buffer.len -> bytes", "How long it is, in whole pages.";
    "is_mapped", "buffer.is_mapped -> bool", "Whether the device can reach it.";
    "unmap", "buffer.unmap()", "The device cannot reach it any more; the memory stays.";
    "map", "buffer.map()\nbuffer.map(#{iova: N, access: \"rw\"|\"r\"|\"w\"})",
        "The device can reach it again, at its old address or where the map says.";
    "fill", "buffer.fill(byte)", "Every byte becomes this one.";
    "fill_word", "buffer.fill_word(value)", "Every 8 bytes become this value, least significant byte first.";
    "fill_pattern", "buffer.fill_pattern(\"increment\"|\"address\"|\"random\", seed)",
        "Bytes that count up from the seed; 8-byte words that hold their own address plus the seed; or bytes that look \
         random and are the same for the same seed.";
    "load", "buffer.load(file) -> bytes\nbuffer.load(file, offset) -> bytes",
        "Copies a file into it, from this offset of the buffer, and says how many bytes that were.";
    "save", "buffer.save(file)", "Writes all of it to a file.";
    "read8", "buffer.read8(offset) -> value", "Reads a byte of the buffer.";
    "read16", "buffer.read16(offset) -> value", "Reads 2 bytes of the buffer.";
    "read32", "buffer.read32(offset) -> value", "Reads 4 bytes of the buffer.";
    "read64", "buffer.read64(offset) -> value",
        "Reads 8 bytes of the buffer; aligned, in one access that what the device wrote before is seen after.";
    "write8", "buffer.write8(offset, value)", "Writes a byte of the buffer.";
    "write16", "buffer.write16(offset, value)", "Writes 2 bytes of the buffer.";
    "write32", "buffer.write32(offset, value)", "Writes 4 bytes of the buffer.";
    "write64", "buffer.write64(offset, value)", "Writes 8 bytes of the buffer; aligned, in one access.";
    "bytes", "buffer.bytes(offset, len) -> Blob", "A copy of some of it.";
    "put", "buffer.put(offset, blob)", "Copies a blob into it.";
    "compare", "buffer.compare(other) -> offset\nbuffer.compare(offset, other, other_offset, len) -> offset",
        "The first offset at which the two differ, counted from where the comparison begins, or -1.";
    "expect_same", "buffer.expect_same(other)",
        "Counts a failed expectation if they differ, with the first offset and the bytes there.";
    "checksum", "buffer.checksum() -> value", "The CRC-32 of all of it, as zlib and `crc32` compute it.";
    "hexdump", "buffer.hexdump() -> text\nbuffer.hexdump(offset, len) -> text\nhexdump(blob) -> text",
        "Bytes in hexadecimal and as characters, 16 on a line; a * stands for lines that are like the one above.";
};

pub(super) fn register(engine: &mut Engine, session: &Rc<Session>) {
    engine.register_type_with_name::<Buffer>("Buffer");
    engine.register_fn("to_string", |it: &mut Buffer| it.to_string());
    engine.register_fn("to_debug", |it: &mut Buffer| it.to_string());
    engine.register_get("iova", |it: &mut Buffer| int(it.iova()));
    engine.register_get("len", |it: &mut Buffer| count(it.len()));
    engine.register_get("is_mapped", |it: &mut Buffer| it.is_mapped());
    words(engine, session);
    engine.register_fn("bytes", bytes);
    engine.register_fn("put", |it: &mut Buffer, offset: INT, data: Blob| {
        it.write(size("offset", offset)?, &data)
    });
    engine.register_fn("hexdump", |it: &mut Buffer| dump_of(it, 0, it.len()));
    engine.register_fn("hexdump", |it: &mut Buffer, offset: INT, len: INT| {
        dump_of(it, size("offset", offset)?, size("length", len)?)
    });
    engine.register_fn("hexdump", |data: Blob| dump(0, &data));
    place::register(engine, session);
    fill::register(engine, session);
    files::register(engine, session);
    compare::register(engine, session);
}

macro_rules! widths {
    ($engine:ident, $session:ident, $($read:literal $write:literal $width:literal),*) => {
        $(
            let session = $session.clone();
            $engine.register_fn($read, move |it: &mut Buffer, offset: INT| read(&session, it, offset, $width));
            $engine.register_fn($write, |it: &mut Buffer, offset: INT, value: INT| write(it, offset, $width, value));
        )*
    };
}

fn words(engine: &mut Engine, session: &Rc<Session>) {
    widths!(engine, session, "read8" "write8" 1, "read16" "write16" 2, "read32" "write32" 4, "read64" "write64" 8);
}

fn read(session: &Session, buffer: &Buffer, offset: INT, width: usize) -> Result<INT, Failure> {
    let offset = size("offset", offset)?;
    let value = if width == 8 {
        buffer.load(offset)?
    } else {
        let mut data = [0; 8];
        buffer.read(offset, &mut data[..width])?;
        u64::from_le_bytes(data)
    };
    session.seen.replace(Some(Seen::Memory(buffer.iova(), offset, width, value)));
    Ok(int(value))
}

fn write(buffer: &Buffer, offset: INT, width: usize, value: INT) -> Result<(), Failure> {
    let offset = size("offset", offset)?;
    let value = fitting(value, width)?;
    if width == 8 {
        return buffer.store(offset, value);
    }
    buffer.write(offset, &value.to_le_bytes()[..width])
}

fn bytes(buffer: &mut Buffer, offset: INT, len: INT) -> Result<Blob, Failure> {
    let (offset, len) = (size("offset", offset)?, size("length", len)?);
    // Before the memory for it is asked for.
    buffer.check(offset, len)?;
    let mut data = vec![0; len];
    buffer.read(offset, &mut data)?;
    Ok(data)
}

fn dump_of(buffer: &Buffer, offset: usize, len: usize) -> Result<String, Failure> {
    buffer.check(offset, len)?;
    let mut data = vec![0; len];
    buffer.read(offset, &mut data)?;
    Ok(dump(offset, &data))
}
