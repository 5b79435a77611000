//! The engine as channels see it.

use proptest::prelude::*;

use super::super::{Access, Action, Described, Faults, Op, Point, Rule};
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

fn rule(text: &str) -> Rule {
    text.parse().unwrap()
}

/// Which of `ops`, from 1, each rule hit, by the order of arming.
fn hits(book: &std::sync::Arc<FaultBook>, ops: &[(Point, Op)]) -> Vec<(usize, Action)> {
    let mut faults = book.faults();
    let asked = (1..).zip(ops);
    asked.filter_map(|(number, (point, op))| Some((number, faults.at(*point, op)?))).collect()
}

fn described(control: u32, source: u64, destination: u64, size: u32) -> Op {
    let described = Described { descriptor: 0x8000, control, source, destination, size };
    Op { address: destination, len: size.into(), described: Some(described), ..op(0) }
}

#[test]
fn each_filter_lets_through_what_it_says_and_nothing_else() {
    let (copy, fill, null) = (0, 1 << 24, 1 << 5);
    let fenced = described(copy | 1 << 4 | 1, 0x1000, 0x2000, 64);
    let plain = described(copy | 1, 0x5000, 0x6000, 4096);
    let pattern = described(fill, 0x1000, 0x7000, 64);
    let nothing = described(null, 0x1000, 0x2000, 64);
    for (filter, expected) in [
        ("src=0x1000..0x1040", vec![1]),
        ("src=0x103f", vec![1]),
        ("dst=0x2000..0x6001", vec![1, 2]),
        ("dst=0x7000..", vec![3]),
        ("desc=0x8000", vec![1, 2, 3, 4]),
        ("desc=0x8040..", vec![]),
        ("addr=0x6fff", vec![2]),
        ("op=copy", vec![1, 2]),
        ("op=fill", vec![3]),
        ("op=null", vec![4]),
        ("op=xor", vec![]),
        ("size=64", vec![1, 3, 4]),
        ("size=65..", vec![2]),
        ("flags=interrupt", vec![1, 2]),
        ("flags=interrupt+fence", vec![1]),
        ("ch=0", vec![1, 2, 3, 4]),
        ("ch=1", vec![]),
        ("op=copy, size=64", vec![1]),
    ] {
        let book = FaultBook::new([rule(&format!("copy[{filter}]: always halt(8)"))]);
        let ops = [fenced, plain, pattern, nothing].map(|op| (Point::Copy, op));
        let numbers: Vec<_> = hits(&book, &ops).into_iter().map(|(number, _)| number).collect();
        assert_eq!(numbers, expected, "{filter}");
        assert_eq!(book.rules()[0].seen, expected.len() as u64, "{filter}: only those are counted");
    }
}

#[test]
fn registers_are_told_by_name_direction_width_and_vector_and_state_by_theirs() {
    let access =
        |channel, address, len, access| Op { channel, address, len, access: Some(access), ..Op::default() };
    let ops = [
        (Point::Register, access(Some(0), 0x88, 4, Access::Read)),
        (Point::Register, access(Some(0), 0x8c, 4, Access::Read)),
        (Point::Register, access(Some(1), 0x108, 8, Access::Read)),
        (Point::Register, access(Some(1), 0x104, 1, Access::Write)),
        (Point::Register, access(None, 0x4, 4, Access::Read)),
        (Point::Config, access(None, 0x180, 4, Access::Read)),
        (Point::Msix, Op { vector: Some(1), ..op(1) }),
        (Point::State, Op { state: Some(ioat_spec::ChannelState::Suspended), ..op(1) }),
    ];
    for (text, expected) in [
        ("register[reg=CHANSTS]: always zeros", vec![1, 2, 3]),
        ("register[reg=CHANSTS, ch=1]: always zeros", vec![3]),
        ("register[reg=CHANSTS, size=4]: always zeros", vec![1, 2]),
        ("register[reg=CHANCMD]: always drop", vec![4]),
        ("register[op=write]: always drop", vec![4]),
        ("register[ch=none]: always zeros", vec![5]),
        ("register[offset=0x80..0x100]: always zeros", vec![1, 2]),
        ("config[reg=CHANERR_INT]: always all-ones", vec![6]),
        ("msix[vector=1]: always drop", vec![7]),
        ("msix[vector=0]: always drop", vec![]),
        ("state[state=suspended]: always drop", vec![8]),
        ("state[state=idle]: always drop", vec![]),
    ] {
        let book = FaultBook::new([rule(text)]);
        let numbers: Vec<_> = hits(&book, &ops).into_iter().map(|(number, _)| number).collect();
        assert_eq!(numbers, expected, "{text}");
    }
}

#[test]
fn triggers_hold_together_and_a_budget_ends() {
    let ops: Vec<_> = (0..12).map(|_| (Point::Msix, op(0))).collect();
    for (triggers, expected) in [
        ("always", (1..=12).collect::<Vec<_>>()),
        ("first(2)", vec![1, 2]),
        ("after(10)", vec![11, 12]),
        ("every(3) after(3)", vec![6, 9, 12]),
        ("every(2) first(7)", vec![2, 4, 6]),
        ("times(3)", vec![1, 2, 3]),
        ("every(5) times(1)", vec![5]),
        ("p(1) times(2)", vec![1, 2]),
    ] {
        let book = FaultBook::new([rule(&format!("msix: {triggers} drop"))]);
        let numbers: Vec<_> = hits(&book, &ops).into_iter().map(|(number, _)| number).collect();
        assert_eq!(numbers, expected, "{triggers}");
        assert_eq!(book.rules()[0].fired, expected.len() as u64);
    }
}

#[test]
fn a_probability_is_a_function_of_seed_rule_and_operation_and_nothing_shifts_it() {
    let ops: Vec<_> = (0..20_000_u32).map(|number| (Point::Copy, op(u8::from(number % 2 == 1)))).collect();
    let run = |rules: &[&str]| {
        let book = FaultBook::new(rules.iter().map(|text| rule(text)));
        let mut faults = book.faults();
        let halts = |verdict| verdict == Some(Action::Halt(1 << 8));
        (1..)
            .zip(&ops)
            .filter(|(_, (point, op))| halts(faults.at(*point, op)))
            .map(|(n, _)| n)
            .collect::<Vec<u32>>()
    };
    let alone = run(&["copy: p(0.1, 7) halt(8)"]);
    assert!((1_800..2_200).contains(&alone.len()), "{}", alone.len());
    assert_eq!(run(&["msix: always drop", "copy: p(0.1, 7) halt(8)", "copy: p(0.5) delay(1ms)"]), alone);
    assert_ne!(run(&["copy: p(0.1, 8) halt(8)"]), alone, "another seed");
    assert_eq!(run(&[&rule("copy: p(0.1) halt(8)").seeded(0).to_string()]), run(&["copy: p(0.1) halt(8)"]));
    // The channels' order is not part of it: each one's own operations are hit.
    let of_zero = |all: &[u32]| {
        all.iter().filter(|number| *number % 2 == 1).map(|number| number / 2).collect::<Vec<_>>()
    };
    let book = FaultBook::new([rule("copy: p(0.1, 7) halt(8)")]);
    let zeros: Vec<_> = (0..10_000).map(|_| (Point::Copy, op(0))).collect();
    let apart: Vec<_> =
        hits(&book, &zeros).into_iter().map(|(number, _)| u32::try_from(number).unwrap() - 1).collect();
    assert_eq!(apart[..], of_zero(&alone)[..]);
}

#[test]
fn what_comes_after_a_rule_begins_with_the_next_operation() {
    let book = FaultBook::new([
        rule("msix[after=lost]: nth(1) duplicate"),
        rule("lost = msix: nth(2) drop"),
        rule("copy[after=lost]: nth(2) halt(8)"),
    ]);
    let mut ops = vec![(Point::Copy, op(0)); 3];
    ops.extend([(Point::Msix, op(0)); 4]);
    ops.extend([(Point::Copy, op(0)); 3]);
    let expected = [(5, Action::Drop), (6, Action::Duplicate), (9, Action::Halt(1 << 8))];
    assert_eq!(hits(&book, &ops), expected);
}

#[test]
fn a_named_rule_rests_until_it_is_armed_and_counts_from_there() {
    let book = FaultBook::new([rule("x = msix[armed=command]: nth(2) drop")]);
    let ops = [(Point::Msix, op(0)); 3];
    assert_eq!(hits(&book, &ops), []);
    assert_eq!((book.arm_named("y"), book.arm_named("x")), (None, Some(1)));
    assert_eq!(hits(&book, &ops), [(2, Action::Drop)]);
    assert_eq!(book.fired()[0].again().to_string(), "msix[ch=0]: nth(5) drop");
}

#[test]
fn a_window_is_of_the_clock_since_its_start_and_without_a_clock_never_open() {
    let clock = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(500_000));
    let book = FaultBook::new([rule("msix[t=1us..2us]: always drop")]);
    let mut faults = book.faults();
    assert_eq!(faults.at(Point::Msix, &op(0)), None);
    let theirs = clock.clone();
    assert!(book.set_clock(std::sync::Arc::new(move || theirs.load(std::sync::atomic::Ordering::Relaxed))));
    let mut at = |ns: u64| {
        clock.store(500_000 + ns, std::sync::atomic::Ordering::Relaxed);
        faults.at(Point::Msix, &op(0)).is_some()
    };
    assert_eq!([at(0), at(999), at(1_000), at(1_999), at(2_000)], [false, false, true, true, false]);
    assert_eq!(book.rules()[0].seen, 2);
}

#[test]
fn clear_leaves_nothing_and_the_census_counts_everything() {
    let book = FaultBook::new([rule("lost = msix: nth(1) drop")]);
    let mut faults = book.faults();
    book.census(true);
    assert!(faults.armed(), "steps are asked too");
    for (point, op) in
        [(Point::Msix, op(1)), (Point::Copy, op(1)), (Point::Copy, op(0)), (Point::Config, Op::default())]
    {
        faults.at(point, &op);
    }
    let counted: Vec<_> = book.operations().into_iter().collect();
    let expected = [
        ((Point::Config, None), 1),
        ((Point::Copy, Some(0)), 1),
        ((Point::Copy, Some(1)), 1),
        ((Point::Msix, Some(1)), 1),
    ];
    assert_eq!(counted, expected);
    book.clear();
    assert!(book.rules().is_empty() && book.fired().is_empty() && book.operations().is_empty());
    book.arm(rule("msix[after=lost]: nth(1) drop"));
    assert_eq!(faults.at(Point::Msix, &op(0)), None, "what fired before is forgotten");
    book.census(false);
    book.clear();
    assert!(!faults.armed() && book.operations().is_empty());
}

proptest! {
    /// Whatever fired in a run of several rules: its `again`, armed from the start, hits that operation alone.
    #[test]
    fn what_fired_is_hit_again_alone(
        texts in proptest::collection::vec(proptest::sample::select(RULES), 1..5),
        ops in proptest::collection::vec((0..4_usize, proptest::option::of(0..3_u8), 0..3_u64), 1..60),
    ) {
        let ops: Vec<_> = ops.into_iter().map(|(point, channel, address)| {
            let point = [Point::Register, Point::Copy, Point::Msix, Point::Config][point];
            let access = Some(if address == 0 { Access::Write } else { Access::Read });
            let channel = if point.channels() == super::super::Channels::None { None } else { channel };
            let channel = if point.channels() == super::super::Channels::All { channel.or(Some(0)) } else { channel };
            (point, Op { channel, address: 0x80 * address, len: 4, access, ..Op::default() })
        }).collect();
        let mut texts = texts;
        texts.dedup();
        let book = FaultBook::new(texts.iter().map(|text| rule(text)));
        let all = hits(&book, &ops);
        prop_assert_eq!(all.len(), book.fired().len());
        for (hit, fired) in all.into_iter().zip(book.fired()) {
            let alone = FaultBook::new([fired.again()]);
            prop_assert_eq!(hits(&alone, &ops), [hit], "{} for {:?}", fired.again(), fired);
        }
    }
}

const RULES: &[&str] = &[
    "register: every(2) zeros",
    "register[ch=1, op=read]: always all-ones",
    "first = register[op=write]: nth(3) drop",
    "copy[after=first]: first(4) halt(8)",
    "copy[addr=0..0x80]: p(0.4, 3) corrupt(0)",
    "msix[ch=2]: after(1) times(2) drop",
    "config: p(0.3) set(0, 1)",
];
