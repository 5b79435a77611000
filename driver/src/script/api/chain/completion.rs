//! The completion word: where the engine says how far it is (device model 3.7).

use std::rc::Rc;

use ioat_spec::{ChanSts, ChannelState};
use rhai::{Engine, Map};

use super::super::super::Session;
use super::super::super::buffer::Buffer;
use super::super::super::failure::Failure;
use super::super::super::number::int;
use super::super::map::map;
use crate::hw::Placement;

/// Bytes of the word.
const WORD: usize = 8;

pub(super) fn register(engine: &mut Engine, session: &Rc<Session>) {
    let it = session.clone();
    engine.register_fn("completion", move || Buffer::allocate(&it, WORD, Placement::default()));
    engine.register_fn("word", |buffer: &mut Buffer| word(buffer).map(int));
    engine.register_fn("status_of", |buffer: &mut Buffer| word(buffer).map(decoded));
}

fn word(buffer: &Buffer) -> Result<u64, Failure> {
    buffer.load(0)
}

fn decoded(word: u64) -> Map {
    let status = ChanSts::from_bits(word);
    let code = word & ChanSts::STATE_MASK;
    map([
        ("address", int(status.completed()).into()),
        ("status", name(status.state()).into()),
        ("code", int(code).into()),
    ])
}

fn name(state: Option<ChannelState>) -> &'static str {
    match state {
        Some(ChannelState::Active) => "ACTIVE",
        Some(ChannelState::Idle) => "IDLE",
        Some(ChannelState::Suspended) => "SUSPENDED",
        Some(ChannelState::Halted) => "HALTED",
        Some(ChannelState::Armed) => "ARMED",
        None => "UNDEFINED",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_an_address_and_a_state() {
        let shown = decoded(0x1_2345_6041);
        assert_eq!(shown["address"].as_int(), Ok(0x1_2345_6040));
        assert_eq!((shown["status"].to_string(), shown["code"].as_int()), ("IDLE".to_owned(), Ok(1)));
        assert_eq!(decoded(7)["status"].to_string(), "UNDEFINED");
    }
}
