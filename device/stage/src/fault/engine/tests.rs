//! The engine as channels see it.

use super::super::{Access, Action, Faults, Op, Point, Rule};
use super::*;

fn op(channel: u8) -> Op {
    Op { channel: Some(channel), ..Op::default() }
}

#[test]
fn a_global_nth_counts_all_channels_and_is_resolved_to_its_channels_own() {
    let book = FaultBook::new(["msix: nth(3) drop".parse().unwrap()]);
    let (mut zero, mut one) = (book.faults(), book.faults());
    assert_eq!(zero.at(Point::Msix, &op(0)), None);
    assert_eq!(one.at(Point::Msix, &op(1)), None);
    assert_eq!(one.at(Point::Copy, &op(1)), None);
    assert_eq!(one.at(Point::Msix, &op(1)), Some(Action::Drop));
    assert_eq!(zero.at(Point::Msix, &op(0)), None);
    let fired = book.fired();
    assert_eq!(fired.len(), 1);
    assert_eq!((fired[0].nth, fired[0].channel_nth, fired[0].op.channel), (3, 2, Some(1)));
}

#[test]
fn a_rule_armed_at_work_counts_from_there_and_ends_when_it_is_disarmed() {
    let book = FaultBook::new([]);
    let mut zero = book.faults();
    assert_eq!(zero.at(Point::Msix, &op(0)), None);
    let id = book.arm("msix: every(2) drop".parse().unwrap());
    let verdicts: Vec<_> = (0..4).map(|_| zero.at(Point::Msix, &op(0))).collect();
    assert_eq!(verdicts, [None, Some(Action::Drop), None, Some(Action::Drop)]);
    assert_eq!((book.rules()[0].id, book.rules()[0].seen, book.rules()[0].fired), (id, 4, 2));
    assert_eq!((book.disarm(id), book.disarm(id)), (true, false));
    assert_eq!(zero.at(Point::Msix, &op(0)), None);
    assert_eq!(zero.at(Point::Msix, &op(0)), None);
}

#[test]
fn what_fired_is_named_so_that_a_rule_armed_at_the_same_point_hits_it_again() {
    let ops = [0, 1, 1, 0, 1, 1].map(op);
    let fire = |rule: Rule| {
        let book = FaultBook::new([]);
        let (mut zero, mut one) = (book.faults(), book.faults());
        let mut ask = |op: &Op| if op.channel == Some(0) { &mut zero } else { &mut one }.at(Point::Msix, op);
        ops[..2].iter().for_each(|op| assert_eq!(ask(op), None));
        book.arm(rule);
        let hit = ops[2..].iter().position(|op| ask(op) == Some(Action::Drop));
        (hit, book.fired())
    };
    let (hit, fired) = fire("msix: nth(3) drop".parse().unwrap());
    assert_eq!((hit, fired[0].nth, fired[0].channel_nth), (Some(2), 3, 2));
    assert_eq!(fired[0].again().to_string(), "msix[ch=1]: nth(2) drop");
    assert_eq!(fire(fired[0].again()).0, Some(2));
}

#[test]
fn a_giver_that_counts_several_channels_tells_them_apart() {
    let book = FaultBook::new(["register: nth(3) all-ones".parse().unwrap()]);
    let mut registers = book.faults();
    [None, Some(1), Some(0)].into_iter().for_each(|channel| {
        registers.at(Point::Register, &Op { channel, access: Some(Access::Read), ..Op::default() });
    });
    assert_eq!(book.fired()[0].again().to_string(), "register[ch=0]: nth(1) all-ones");
}

#[test]
fn a_step_need_ask_only_if_a_rule_is_inside_it() {
    let book = FaultBook::new([]);
    let mut zero = book.faults();
    assert!(!zero.armed());
    book.arm("msix: nth(1) drop".parse().unwrap());
    assert!(!zero.armed());
    let id = book.arm("copy: nth(1) halt(0)".parse().unwrap());
    assert!(zero.armed());
    book.disarm(id);
    assert!(!zero.armed());
}

#[test]
fn a_channel_filter_counts_that_channel_alone() {
    let book = FaultBook::new(["complete[ch=1]: every(2) drop".parse().unwrap()]);
    let (mut zero, mut one) = (book.faults(), book.faults());
    let verdicts: Vec<_> = (0..4)
        .map(|_| {
            assert_eq!(zero.at(Point::Complete, &op(0)), None);
            one.at(Point::Complete, &op(1))
        })
        .collect();
    assert_eq!(verdicts, [None, Some(Action::Drop), None, Some(Action::Drop)]);
}
