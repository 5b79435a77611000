//! A line before it is one: the words that a ring holds.

use super::{Event, Executed, Mark, Side, Stamped, format};
use crate::stage::Stage;

/// With the word that says whose turn it is, a slot is a cache line.
pub(super) const WORDS: usize = 7;

/// `t_ns`, sequence, address, len, the descriptor (or vector and processor), the small fields, generation.
pub(super) type Words = [u64; WORDS];

/// Stands for a descriptor's record where an event has its stage's place.
const EXECUTED: u8 = 0xff;
const HAS_VECTOR: u8 = 1;
const HAS_PROCESSOR: u8 = 2;

/// The words of an event.
#[inline]
pub(super) fn of_event(t_ns: u64, event: &Event) -> Words {
    let Event { stage, channel, generation, sequence, address, len, mark, vector, processor } = *event;
    let has = [vector.map_or(0, |_| HAS_VECTOR), processor.map_or(0, |_| HAS_PROCESSOR)];
    let extra = u64::from(vector.unwrap_or(0)) | u64::from(processor.unwrap_or(0)) << 32;
    [t_ns, sequence, address, len, extra, small(stage as u8, channel, has[0] | has[1], mark), generation.into()]
}

/// The words of a descriptor's record.
#[inline]
pub(super) fn of_executed(t_ns: u64, executed: &Executed) -> Words {
    let Executed { channel, generation, sequence, descriptor, address, len, mark } = *executed;
    [t_ns, sequence, address, len, descriptor, small(EXECUTED, channel, 0, mark), generation.into()]
}

/// When it was.
pub(super) fn time(words: &Words) -> u64 {
    words[0]
}

/// Appends the line that the words stand for.
pub(super) fn write(out: &mut Vec<u8>, side: Side, words: &Words) {
    let [t_ns, sequence, address, len, extra, small, generation] = *words;
    let [kind, channel, has, mark, number @ ..] = small.to_le_bytes();
    let mark = match mark {
        0 => Mark::Ok,
        1 => Mark::Faulted,
        2 => Mark::Held,
        _ => Mark::Error(u32::from_le_bytes(number)),
    };
    let [generation, _] = halves(generation);
    match Stage::ALL.get(usize::from(kind)) {
        Some(&stage) => {
            let [vector, processor] = halves(extra);
            let vector = (has & HAS_VECTOR != 0).then_some(vector);
            let processor = (has & HAS_PROCESSOR != 0).then_some(processor);
            let what = Event { stage, channel, generation, sequence, address, len, mark, vector, processor };
            format::event(out, &Stamped { t_ns, side, what });
        }
        None => {
            let what = Executed { channel, generation, sequence, descriptor: extra, address, len, mark };
            format::executed(out, &Stamped { t_ns, side, what });
        }
    }
}

#[inline]
fn small(kind: u8, channel: u8, has: u8, mark: Mark) -> u64 {
    let (mark, number) = match mark {
        Mark::Ok => (0, 0),
        Mark::Faulted => (1, 0),
        Mark::Held => (2, 0),
        Mark::Error(number) => (3, number),
    };
    u64::from(u32::from_le_bytes([kind, channel, has, mark])) | u64::from(number) << 32
}

/// The low one first.
fn halves(word: u64) -> [u32; 2] {
    let [a, b, c, d, e, f, g, h] = word.to_le_bytes();
    [u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h])]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_went_into_words_comes_out_as_its_line(
            (stage, channel, generation, sequence) in (0_usize..9, any::<u8>(), any::<u32>(), any::<u64>()),
            (address, len, t_ns, number) in (any::<u64>(), any::<u64>(), any::<u64>(), any::<u32>()),
            (vector, processor) in (any::<Option<u32>>(), any::<Option<u32>>()),
        ) {
            for mark in [Mark::Ok, Mark::Faulted, Mark::Held, Mark::Error(number)] {
                let what = Event {
                    stage: Stage::ALL[stage], channel, generation, sequence, address, len, mark, vector, processor,
                };
                let (mut expected, mut out) = (Vec::new(), Vec::new());
                format::event(&mut expected, &Stamped { t_ns, side: Side::Driver, what });
                write(&mut out, Side::Driver, &of_event(t_ns, &what));
                prop_assert_eq!(&out, &expected);
                let what = Executed { channel, generation, sequence, descriptor: address, address, len, mark };
                format::executed(&mut expected, &Stamped { t_ns, side: Side::Device, what });
                write(&mut out, Side::Device, &of_executed(t_ns, &what));
                prop_assert_eq!(&out, &expected);
            }
        }
    }
}
