//! Whether memory is as it should be.

use std::rc::Rc;

use rhai::{Engine, INT, NativeCallContext};

use super::super::super::Session;
use super::super::super::buffer::Buffer;
use super::super::super::failure::Failure;
use super::super::super::judge::Complaint;
use super::super::super::number::{count, size};

/// Bytes that are compared at a time.
const PIECE: usize = 1 << 16;

pub(super) fn register(engine: &mut Engine, session: &Rc<Session>) {
    let it = session.clone();
    engine.register_fn("compare", move |buffer: &mut Buffer, other: Buffer| {
        Ok::<_, Failure>(offset(whole(&it, buffer, &other)?))
    });
    let it = session.clone();
    engine.register_fn(
        "compare",
        move |buffer: &mut Buffer, at: INT, other: Buffer, other_at: INT, len: INT| {
            let (at, other_at) = (size("offset", at)?, size("offset", other_at)?);
            Ok::<_, Failure>(offset(difference(&it, (buffer, at), (&other, other_at), size("length", len)?)?))
        },
    );
    let it = session.clone();
    engine.register_fn(
        "expect_same",
        move |context: NativeCallContext, buffer: &mut Buffer, other: Buffer| {
            expect_same(&it, &context, buffer, &other)
        },
    );
    let it = session.clone();
    engine.register_fn("checksum", move |buffer: &mut Buffer| checksum(&it, buffer));
}

fn offset(found: Option<usize>) -> INT {
    found.map_or(-1, count)
}

fn expect_same(
    session: &Session,
    context: &NativeCallContext<'_>,
    buffer: &Buffer,
    other: &Buffer,
) -> Result<bool, Failure> {
    session.judge.check();
    let Some(at) = whole(session, buffer, other)? else { return Ok(true) };
    let byte = |of: &Buffer| {
        let mut data = [0];
        of.read(at, &mut data).map_or("nothing".into(), |()| format!("{:#04x}", data[0]))
    };
    let text = format!(
        "the buffers differ first at offset {at:#x}: found {}, expected {}",
        byte(buffer),
        byte(other)
    );
    session.complain(Complaint::new(context.call_position(), text));
    Ok(false)
}

/// The first difference; of buffers that are not equally long, at the latest the end of the shorter one.
fn whole(session: &Session, one: &Buffer, other: &Buffer) -> Result<Option<usize>, Failure> {
    let len = one.len().min(other.len());
    let found = difference(session, (one, 0), (other, 0), len)?;
    Ok(found.or_else(|| (one.len() != other.len()).then_some(len)))
}

fn difference(
    session: &Session,
    (one, at): (&Buffer, usize),
    (other, other_at): (&Buffer, usize),
    len: usize,
) -> Result<Option<usize>, Failure> {
    one.check(at, len)?;
    other.check(other_at, len)?;
    let (mut left, mut right) = (vec![0; PIECE.min(len)], vec![0; PIECE.min(len)]);
    for from in (0..len).step_by(PIECE) {
        session.go_on()?;
        let piece = PIECE.min(len - from);
        one.read(at + from, &mut left[..piece])?;
        other.read(other_at + from, &mut right[..piece])?;
        if let Some(index) = (0..piece).find(|index| left[*index] != right[*index]) {
            return Ok(Some(from + index));
        }
    }
    Ok(None)
}

/// CRC-32 as in ISO 3309: the one of zlib, gzip and Ethernet.
fn checksum(session: &Session, buffer: &Buffer) -> Result<INT, Failure> {
    let mut crc = u32::MAX;
    let mut data = vec![0; PIECE.min(buffer.len())];
    for at in (0..buffer.len()).step_by(PIECE) {
        session.go_on()?;
        let piece = PIECE.min(buffer.len() - at);
        buffer.read(at, &mut data[..piece])?;
        crc = data[..piece].iter().fold(crc, |crc, byte| crc_byte(crc, *byte));
    }
    Ok(INT::from(!crc))
}

fn crc_byte(crc: u32, byte: u8) -> u32 {
    (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_the_crc_of_its_check_value() {
        let crc = b"123456789".iter().fold(u32::MAX, |crc, byte| crc_byte(crc, *byte));
        assert_eq!(!crc, 0xcbf4_3926);
    }
}
