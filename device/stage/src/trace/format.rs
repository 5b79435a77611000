//! Lines by hand, into a buffer that is reused: a tenth of what serde takes, and the same bytes.

use super::{Event, Executed, Lost, Mark, Side, Stamped};

/// The two digits of every number below 100.
const PAIRS: &[u8; 200] = b"0001020304050607080910111213141516171819202122232425262728293031323334353637383940414243444546474849\
5051525354555657585960616263646566676869707172737475767778798081828384858687888990919293949596979899";
/// Digits of `u64::MAX`.
const DIGITS: usize = 20;

/// Appends the line of an event.
pub(super) fn event(out: &mut Vec<u8>, line: &Stamped<Event>) {
    let Event { stage, channel, generation, sequence, address, len, mark, vector, processor } = line.what;
    begin(out, line.t_ns, line.side);
    text(out, ",\"stage\":\"");
    text(out, stage.name());
    field(out, "\",\"channel\":", channel.into());
    field(out, ",\"generation\":", generation.into());
    field(out, ",\"sequence\":", sequence);
    field(out, ",\"address\":", address);
    field(out, ",\"len\":", len);
    self::mark(out, mark);
    if let Some(vector) = vector {
        field(out, ",\"vector\":", vector.into());
    }
    if let Some(processor) = processor {
        field(out, ",\"processor\":", processor.into());
    }
    text(out, "}\n");
}

/// Appends the line of a descriptor's record.
pub(super) fn executed(out: &mut Vec<u8>, line: &Stamped<Executed>) {
    let Executed { channel, generation, sequence, descriptor, address, len, mark } = line.what;
    begin(out, line.t_ns, line.side);
    field(out, ",\"channel\":", channel.into());
    field(out, ",\"generation\":", generation.into());
    field(out, ",\"sequence\":", sequence);
    field(out, ",\"descriptor\":", descriptor);
    field(out, ",\"address\":", address);
    field(out, ",\"len\":", len);
    self::mark(out, mark);
    text(out, "}\n");
}

/// Appends the line of a gap.
pub(super) fn lost(out: &mut Vec<u8>, line: &Stamped<Lost>) {
    begin(out, line.t_ns, line.side);
    field(out, ",\"lost\":", line.what.lost);
    text(out, "}\n");
}

fn begin(out: &mut Vec<u8>, t_ns: u64, side: Side) {
    field(out, "{\"t_ns\":", t_ns);
    text(out, ",\"side\":\"");
    text(out, side.name());
    text(out, "\"");
}

fn mark(out: &mut Vec<u8>, mark: Mark) {
    match mark {
        Mark::Ok => text(out, ",\"mark\":\"ok\""),
        Mark::Faulted => text(out, ",\"mark\":\"faulted\""),
        Mark::Held => text(out, ",\"mark\":\"held\""),
        Mark::Error(number) => {
            field(out, ",\"mark\":{\"error\":", number.into());
            text(out, "}");
        }
    }
}

fn field(out: &mut Vec<u8>, name: &str, value: u64) {
    text(out, name);
    number(out, value);
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
}

/// Two digits at a time, from the last one on.
fn number(out: &mut Vec<u8>, mut value: u64) {
    let mut digits = [b'0'; DIGITS];
    let mut first = DIGITS;
    while value >= 10 {
        first -= 2;
        #[expect(clippy::cast_possible_truncation, reason = "below 200")]
        let pair = (value % 100 * 2) as usize;
        digits[first..first + 2].copy_from_slice(&PAIRS[pair..pair + 2]);
        value /= 100;
    }
    if value > 0 || first == DIGITS {
        first -= 1;
        digits[first] = b'0' + value.to_le_bytes()[0];
    }
    out.extend_from_slice(&digits[first..]);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::stage::Stage;

    fn marks() -> impl Strategy<Value = Mark> {
        prop_oneof![Just(Mark::Ok), Just(Mark::Faulted), Just(Mark::Held), any::<u32>().prop_map(Mark::Error)]
    }

    /// As many digits as may be, not only twenty.
    fn numbers() -> impl Strategy<Value = u64> {
        (any::<u64>(), 0_u32..64).prop_map(|(value, shift)| value >> shift)
    }

    fn serde(line: &impl serde::Serialize) -> String {
        serde_json::to_string(line).unwrap() + "\n"
    }

    proptest! {
        #[test]
        fn an_event_by_hand_is_what_serde_writes(
            (stage, channel, generation, sequence) in (0_usize..9, any::<u8>(), any::<u32>(), numbers()),
            (address, len, t_ns, mark) in (numbers(), numbers(), numbers(), marks()),
            (vector, processor) in (any::<Option<u32>>(), any::<Option<u32>>()),
        ) {
            let stage = Stage::ALL[stage];
            let what = Event { stage, channel, generation, sequence, address, len, mark, vector, processor };
            let line = Stamped { t_ns, side: Side::Driver, what };
            let mut out = Vec::new();
            event(&mut out, &line);
            prop_assert_eq!(String::from_utf8(out).unwrap(), serde(&line));
        }

        #[test]
        fn a_record_and_a_gap_by_hand_are_what_serde_writes(
            (channel, generation, sequence, descriptor) in (any::<u8>(), any::<u32>(), numbers(), numbers()),
            (address, len, t_ns, mark) in (numbers(), numbers(), numbers(), marks()),
        ) {
            let what = Executed { channel, generation, sequence, descriptor, address, len, mark };
            let line = Stamped { t_ns, side: Side::Device, what };
            let gap = Stamped { t_ns, side: Side::Device, what: Lost { lost: len } };
            let mut out = Vec::new();
            executed(&mut out, &line);
            lost(&mut out, &gap);
            prop_assert_eq!(String::from_utf8(out).unwrap(), serde(&line) + &serde(&gap));
        }
    }
}
