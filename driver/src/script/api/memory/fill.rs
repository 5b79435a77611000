//! What is in memory before the device comes.

use std::rc::Rc;

use rhai::{Engine, INT};

use super::super::super::Session;
use super::super::super::buffer::Buffer;
use super::super::super::failure::{Failure, failed};
use super::super::super::number::{bits, fitting};

/// Bytes that are made at a time.
const PIECE: usize = 1 << 16;

pub(super) fn register(engine: &mut Engine, session: &Rc<Session>) {
    let it = session.clone();
    engine.register_fn("fill", move |buffer: &mut Buffer, byte: INT| {
        let byte = fitting(byte, 1)?.to_le_bytes()[0];
        pieces(&it, buffer, |_, data| data.fill(byte))
    });
    let it = session.clone();
    engine.register_fn("fill_word", move |buffer: &mut Buffer, value: INT| {
        let word = value.to_le_bytes();
        pieces(&it, buffer, |_, data| {
            data.chunks_mut(8).for_each(|place| place.copy_from_slice(&word[..place.len()]))
        })
    });
    let it = session.clone();
    engine.register_fn("fill_pattern", move |buffer: &mut Buffer, kind: &str, seed: INT| {
        pattern(&it, buffer, kind, bits(seed))
    });
}

fn pattern(session: &Session, buffer: &Buffer, kind: &str, seed: u64) -> Result<(), Failure> {
    let iova = buffer.iova();
    match kind {
        "increment" => pieces(session, buffer, |at, data| {
            for (index, byte) in data.iter_mut().enumerate() {
                *byte = seed.wrapping_add(wide(at + index)).to_le_bytes()[0];
            }
        }),
        "address" => pieces(session, buffer, |at, data| {
            words(at, data, |at| iova.wrapping_add(at).wrapping_add(seed));
        }),
        "random" => pieces(session, buffer, |at, data| words(at, data, |at| mixed(seed, at / 8))),
        other => Err(failed(format!("pattern \"{other}\": give \"increment\", \"address\" or \"random\""))),
    }
}

/// Makes the buffer piece by piece. Pieces begin at multiples of their size.
fn pieces(session: &Session, buffer: &Buffer, mut make: impl FnMut(usize, &mut [u8])) -> Result<(), Failure> {
    let mut data = vec![0; PIECE.min(buffer.len())];
    for at in (0..buffer.len()).step_by(PIECE) {
        session.go_on()?;
        let piece = &mut data[..PIECE.min(buffer.len() - at)];
        make(at, piece);
        buffer.write(at, piece)?;
    }
    Ok(())
}

fn words(at: usize, data: &mut [u8], word: impl Fn(u64) -> u64) {
    for (index, place) in data.chunks_mut(8).enumerate() {
        place.copy_from_slice(&word(wide(at + index * 8)).to_le_bytes()[..place.len()]);
    }
}

/// The `index`-th word after `seed`: splitmix64, so that a piece can begin anywhere.
fn mixed(seed: u64, index: u64) -> u64 {
    let mut word = seed.wrapping_add(index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

fn wide(value: usize) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_random_words_are_those_of_splitmix64() {
        // The first outputs of the generator's own program for the seed 1234567.
        assert_eq!(mixed(1_234_567, 0), 6_457_827_717_110_365_317);
        assert_eq!(mixed(1_234_567, 1), 3_203_168_211_198_807_973);
    }
}
