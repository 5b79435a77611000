//! The language: what is written is what is read, and what cannot be is said.

use ioat_spec::ChannelState;
use proptest::prelude::*;

use super::catalog::CATALOG;
use super::*;

#[test]
fn every_part_of_a_rule_is_read() {
    let text = "second = copy[after=first, ch=1, dst=0x1000..0x2000, op=fill, size=64, flags=fence+interrupt, t=1ms..2ms]: \
                after(4) every(2) p(0.25, 9) times(3) corrupt(17, 0x80)";
    let rule: Rule = text.parse().unwrap();
    assert_eq!(rule.name.as_deref(), Some("second"));
    assert_eq!((rule.point, rule.channel(), rule.after()), (Point::Copy, Some(1), Some("first")));
    assert_eq!(
        rule.filters,
        [
            Filter::Channel(Some(1)),
            Filter::Destination(Range::new(0x1000, Some(0x2000)).unwrap()),
            Filter::Operation(Operation::Fill),
            Filter::Size(Range::new(64, Some(65)).unwrap()),
            Filter::Flags(Flags::of(1 << 4 | 1).unwrap()),
            Filter::Time(Range::new(1_000_000, Some(2_000_000)).unwrap()),
            Filter::After("first".into()),
        ]
    );
    let chance = Chance::new(250_000_000, Some(9)).unwrap();
    let triggers = [Trigger::Every(2), Trigger::After(4), Trigger::Chance(chance), Trigger::Times(3)];
    assert_eq!(rule.triggers, triggers);
    assert_eq!(rule.action, Action::Corrupt { offset: 17, mask: 0x80 });
}

#[test]
fn the_rules_of_before_are_read_and_written_as_they_were() {
    for (text, action) in [
        ("msix[ch=0]: nth(3) drop", Action::Drop),
        ("complete: every(2) drop", Action::Drop),
        ("complete: nth(1) misaddress(-64)", Action::Misaddress(-64)),
        ("fetch: nth(5) halt(3)", Action::Halt(1 << 3)),
        ("copy: nth(2) corrupt(17, 0x80)", Action::Corrupt { offset: 17, mask: 0x80 }),
        ("register: nth(9) all-ones", Action::AllOnes),
        ("complete: nth(1) early", Action::Early),
    ] {
        let rule: Rule = text.parse().unwrap();
        assert_eq!(rule.action, action, "{text}");
        assert_eq!(rule.to_string(), text);
    }
    assert_eq!("fetch: nth(5) halt(descriptor)".parse::<Rule>().unwrap().action, Action::Halt(1 << 3));
}

#[test]
fn every_example_is_a_rule_with_its_word() {
    for form in FILTERS {
        let rule: Rule = form.example.parse().unwrap();
        assert!(rule.filters.iter().any(|filter| filter.word() == form.word), "{}", form.example);
    }
    for form in TRIGGERS {
        let rule: Rule = form.example.parse().unwrap();
        assert!(rule.triggers.iter().any(|trigger| trigger.word() == form.word), "{}", form.example);
    }
    let context = RuleContext::new(2, 2, RulePlace::Device);
    for form in FILTERS.iter().chain(TRIGGERS).filter(|form| form.word != "after") {
        let rule: Rule = form.example.parse().unwrap();
        assert_eq!(rule.check(&context), Ok(()), "{}", form.example);
    }
}

#[test]
fn every_sample_of_the_catalog_is_a_rule_that_can_fire_where_it_reaches() {
    for entry in CATALOG {
        for sample in entry.samples {
            let action = Action::parse(sample).unwrap();
            let rule = Rule::nth(entry.point, None, 1, action);
            assert_eq!(rule.to_string().parse::<Rule>().as_ref(), Ok(&rule));
            assert_eq!(rule.check(&RuleContext::new(2, 2, RulePlace::Socket)), Ok(()), "{rule}");
        }
    }
}

#[test]
fn a_rule_that_cannot_be_read_says_what_was_expected() {
    for (text, part) in [
        ("", "expected '[NAME =] POINT[FILTER, ...]: TRIGGER [TRIGGER ...] ACTION'"),
        ("msix drop", "there is no ':'"),
        ("msix: drop", "there is no trigger"),
        ("msix:", "there is no action"),
        ("msix[ch=0: nth(1) drop", "between '[' and ']'"),
        ("irq: nth(1) drop", "point 'irq': expected a point: config, register, doorbell"),
        ("a b = msix: nth(1) drop", "name 'a b': expected 1 to 64 letters"),
        ("msix[0]: nth(1) drop", "filter '0': expected a filter: ch=N|none, reg=NAME"),
        ("msix[]: nth(1) drop", "filter '': expected a filter"),
        ("msix[ch=31]: nth(1) drop", "filter 'ch=31': expected 'ch=N' with N from 0 to 30"),
        ("msix[ch=1, ch=2]: nth(1) drop", "filter 'ch=2': expected 'ch' once"),
        ("register[reg=CHANSTATUS]: nth(1) zeros", "a register's name: CHANCNT, XFERCAP"),
        ("write[addr=5..5]: nth(1) drop", "filter 'addr=5..5': expected 'addr=A..B' with A less than B"),
        ("msix[t=1..2]: nth(1) drop", "with times such as 200us"),
        ("copy[op=move]: nth(1) halt(8)", "expected 'op=read|write|copy|fill|null|xor|pq'"),
        ("copy[flags=fence+]: nth(1) halt(8)", "expected 'flags=FLAG[+...]'"),
        ("msix[armed=now]: nth(1) drop", "expected 'armed=command'"),
        ("msix: nth(0) drop", "trigger 'nth(0)': expected 'nth(N)' with a number of at least 1"),
        ("msix: nth(1) nth(2) drop", "trigger 'nth(2)': expected 'nth' once"),
        ("msix: sometimes(1) drop", "trigger 'sometimes(1)': expected a trigger: nth(N), every(K)"),
        ("msix: p(0) drop", "trigger 'p(0)': expected 'p(P[, SEED])' with P above 0"),
        ("msix: p(1.1) drop", "at most 1"),
        ("msix: nth(1) explode", "action 'explode': expected an action: drop, delay(TIME)"),
        ("copy: nth(1) corrupt(0, 0)", "action 'corrupt(0, 0)': expected 'corrupt(OFFSET[, MASK])'"),
        ("copy: nth(1) halt(32)", "expected 'halt(BIT|NAME[+...]|none)'"),
        (
            "msix: nth(1) misaddress(+64)",
            "would never fire: msix cannot misaddress; misaddress works at doorbell, fetch",
        ),
    ] {
        let error = text.parse::<Rule>().unwrap_err().to_string();
        assert!(error.contains(part), "{text}: {error}");
    }
    let long = format!("msix[{}]: nth(1) drop", "x".repeat(10_000)).parse::<Rule>().unwrap_err().to_string();
    assert!(long.len() < 2_000, "{}", long.len());
}

#[test]
fn a_rule_that_can_never_fire_says_why() {
    let refused = |text: &str, context: RuleContext| {
        let rule: Rule = text.parse().unwrap();
        rule.check(&context).unwrap_err().to_string()
    };
    let device = RuleContext::new(2, 2, RulePlace::Device);
    for (text, part) in [
        ("msix[ch=2]: nth(1) drop", "the channels are 0 to 1"),
        ("msix[vector=2]: nth(1) drop", "the vectors are 0 to 1"),
        ("msix: nth(1) vector(2)", "the vectors are 0 to 1"),
        ("config[ch=0]: nth(1) drop", "an operation of config has no such thing"),
        ("fetch[op=fill]: nth(1) drop", "an operation of fetch has no such thing; those of translate, copy"),
        ("config[state=idle]: nth(1) drop", "has no such thing"),
        ("fetch[state=idle]: nth(1) drop", "at fetch a channel is active"),
        ("complete[state=idle]: nth(1) drop", "at complete a channel is active or halted"),
        ("msix[reg=CHANSTS]: nth(1) drop", "has no such thing; those of config, register have"),
        ("config[reg=CHANSTS]: nth(1) drop", "that is a register of register"),
        ("register[reg=CHANERR_INT]: nth(1) drop", "that is a register of config"),
        ("register[reg=DRSCTL]: nth(1) drop", "only an engine of one channel has it"),
        ("register[reg=CHANCNT, ch=0]: nth(1) zeros", "that is no register of a channel"),
        ("register[reg=CHANSTS, ch=none]: nth(1) zeros", "that is a register of a channel"),
        ("register[reg=CHANSTS, offset=0..8]: nth(1) zeros", "are apart"),
        ("register[ch=0, offset=0x100..0x108]: nth(1) zeros", "outside of the channel's window"),
        ("register[offset=0x4000..]: nth(1) zeros", "outside"),
        ("config[offset=0x1000]: nth(1) zeros", "outside of configuration space"),
        ("register[op=write]: nth(1) all-ones", "all-ones works on reads only"),
        ("register[op=read]: nth(1) drop", "drop works on writes only"),
        ("write[op=null]: nth(1) drop", "NULL moves nothing"),
        ("msix[after=x]: nth(1) drop", ""),
        ("msix[armed=command]: nth(1) drop", "no name for the command"),
        ("msix: nth(3) first(2) drop", "no operation's number is one of 'nth(3) first(2)'"),
        ("msix: after(5) first(5) drop", "no operation's number"),
        ("msix: every(4) after(4) first(7) drop", "no operation's number"),
        ("isr: nth(1) drop", "isr is a point of our driver"),
    ] {
        if part.is_empty() {
            let rule: Rule = text.parse().unwrap();
            assert_eq!(rule.check(&device), Ok(()), "alone it says nothing of other rules");
            continue;
        }
        let error = refused(text, device);
        assert!(error.contains("would never fire") && error.contains(part), "{text}: {error}");
    }
    assert!(refused("msix[t=1ms..2ms]: nth(1) drop", device.at(2_000_000)).contains("that window is over"));
    assert!(
        refused("msix[vector=0]: nth(1) drop", RuleContext::new(1, 0, RulePlace::Sim)).contains("the line")
    );
    let guest = RuleContext::new(2, 2, RulePlace::Foreign);
    // The eventfd of another vector reaches the guest as well as that of its own.
    assert_eq!("msix: nth(1) vector(1)".parse::<Rule>().unwrap().check(&guest), Ok(()));
    assert!(refused("pcie: nth(1) request", guest).contains("QEMU never asks"));
    assert!(refused("dpc: nth(1) delay(1ms)", guest).contains("point of our driver"));
    let simulated = RuleContext::new(2, 2, RulePlace::Sim);
    assert!(refused("transport: nth(1) kill", simulated).contains("no connection in the simulator"));
    assert!(
        refused("msix: nth(1) drop", RuleContext::new(2, 2, RulePlace::Driver)).contains("of the device")
    );
    for text in ["msix: every(4) after(4) first(8) drop", "msix: nth(6) after(5) every(3) drop"] {
        assert_eq!(text.parse::<Rule>().unwrap().check(&device), Ok(()), "{text}");
    }
}

#[test]
fn a_sequence_needs_a_name_that_is_there_and_no_circle() {
    let check = |lines: &[&str]| {
        let rules: Vec<Rule> = lines.iter().map(|line| line.parse().unwrap()).collect();
        check_all(&rules, &RuleContext::new(2, 2, RulePlace::Sim)).map_err(|it| (it.index, it.to_string()))
    };
    let (lost, late) = ("lost = msix: nth(1) drop", "late = complete[after=lost]: nth(1) drop");
    assert_eq!(check(&[late, lost]), Ok(()));
    let missing = check(&[lost, "msix[after=last]: nth(1) drop"]).unwrap_err();
    assert!(missing.0 == 1 && missing.1.contains("'after=last': no rule has that name"), "{missing:?}");
    let circle = check(&["lost = msix[after=late]: nth(1) drop", late]).unwrap_err();
    assert!(circle.1.contains("it waits for itself: after late, after lost"), "{circle:?}");
    let behind = check(&["copy[after=lost]: nth(1) halt(8)", "lost = msix[after=late]: nth(1) drop", late]);
    assert!(behind.unwrap_err().1.contains("waits for itself"));
    let own = check(&["lost = msix[after=lost]: nth(1) drop"]).unwrap_err();
    assert!(own.1.contains("it waits for itself"), "{own:?}");
    let twice = check(&[lost, "lost = copy: nth(1) halt(8)"]).unwrap_err();
    assert!(twice.0 == 1 && twice.1.contains("expected a name that no other rule has"), "{twice:?}");
}

/// The engine keeps rules and counts by it.
#[test]
fn a_points_number_is_its_place_in_all() {
    let numbers: Vec<_> = Point::ALL.iter().map(|point| *point as usize).collect();
    assert_eq!(numbers, (0..Point::ALL.len()).collect::<Vec<_>>());
}

#[test]
fn a_seed_is_given_to_those_that_have_none() {
    let seeded = |text: &str| text.parse::<Rule>().unwrap().seeded(5).to_string();
    assert_eq!(seeded("msix: p(0.5) drop"), "msix: p(0.5, 5) drop");
    assert_eq!(seeded("msix: p(.5, 3) drop"), "msix: p(0.5, 3) drop");
    assert_eq!(seeded("msix: nth(1) drop"), "msix: nth(1) drop");
}

#[test]
fn the_rule_of_one_operation_says_which_where_some_have_no_channel() {
    let rule = |point, channel| Rule::nth(point, channel, 4, Action::Drop).to_string();
    assert_eq!(rule(Point::Register, Some(1)), "register[ch=1]: nth(4) drop");
    assert_eq!(rule(Point::Register, None), "register[ch=none]: nth(4) drop");
    assert_eq!(rule(Point::Config, None), "config: nth(4) drop");
    assert_eq!(rule(Point::Msix, None), "msix: nth(4) drop");
}

fn range() -> impl Strategy<Value = Range> {
    let ends =
        prop_oneof![(any::<u64>(), any::<Option<u64>>()), (0..99_u64, proptest::option::of(0..99_u64))];
    ends.prop_filter_map("empty", |(from, until)| Range::new(from, until))
}

fn filter() -> impl Strategy<Value = Filter> {
    let registers: Vec<_> = Register::all().collect();
    let states = [
        ChannelState::Armed,
        ChannelState::Active,
        ChannelState::Idle,
        ChannelState::Suspended,
        ChannelState::Halted,
    ];
    prop_oneof![
        proptest::option::of(0..31_u8).prop_map(Filter::Channel),
        proptest::sample::select(registers).prop_map(Filter::Register),
        range().prop_map(Filter::Offset),
        range().prop_map(Filter::Address),
        range().prop_map(Filter::Source),
        range().prop_map(Filter::Destination),
        range().prop_map(Filter::Descriptor),
        proptest::sample::select(&Operation::ALL).prop_map(|(operation, _)| Filter::Operation(operation)),
        range().prop_map(Filter::Size),
        any::<u32>().prop_filter_map("no flag", Flags::of).prop_map(Filter::Flags),
        any::<u16>().prop_map(Filter::Vector),
        proptest::sample::select(states.to_vec()).prop_map(Filter::State),
        range().prop_map(Filter::Time),
        "[a-zA-Z0-9_-]{1,64}".prop_map(Filter::After),
        Just(Filter::ByCommand),
    ]
}

fn trigger() -> impl Strategy<Value = Trigger> {
    prop_oneof![
        (1..u64::MAX).prop_map(Trigger::Nth),
        (1..u64::MAX).prop_map(Trigger::Every),
        (1..u64::MAX).prop_map(Trigger::First),
        (1..u64::MAX).prop_map(Trigger::After),
        (1..u64::MAX).prop_map(Trigger::Times),
        Just(Trigger::Always),
        (1..=1_000_000_000_u32, any::<Option<u64>>())
            .prop_filter_map("none", |(share, seed)| Chance::new(share, seed).map(Trigger::Chance)),
    ]
}

/// Each word once, in the table's order.
fn once<T>(items: Vec<T>, table: &[Form], word: impl Fn(&T) -> &'static str) -> Vec<T> {
    let mut by_place = std::collections::BTreeMap::new();
    for item in items {
        let place = table.iter().position(|form| form.word == word(&item)).unwrap();
        by_place.insert(place, item);
    }
    by_place.into_values().collect()
}

prop_compose! {
    pub(super) fn any_rule()(
        name in proptest::option::of("[a-zA-Z0-9_-]{1,64}"),
        entry in proptest::sample::select(CATALOG),
        filters in proptest::collection::vec(filter(), 0..6),
        triggers in proptest::collection::vec(trigger(), 1..4),
        sample in any::<proptest::sample::Index>(),
    ) -> Rule {
        Rule {
            name,
            point: entry.point,
            filters: once(filters, FILTERS, Filter::word),
            triggers: once(triggers, TRIGGERS, |trigger| trigger.word()),
            action: Action::parse(entry.samples[sample.index(entry.samples.len())]).unwrap(),
        }
    }
}

proptest! {
    #[test]
    fn what_is_written_is_what_is_read(rule in any_rule()) {
        prop_assert_eq!(rule.to_string().parse::<Rule>(), Ok(rule));
    }

    #[test]
    fn no_rule_makes_the_check_panic(rule in any_rule(), channels in 1..9_u8, vectors in 0..9_u16) {
        let _ = rule.check(&RuleContext::new(channels, vectors, RulePlace::Device).at(7));
    }

    #[test]
    fn no_text_panics(text in "\\PC*") {
        let _ = text.parse::<Rule>();
    }

    #[test]
    fn near_rules_do_not_panic(text in "([a-z ]{0,3}=)?(msix|copy|complete|register)(\\[(ch|t|addr|reg|p|op)=[0-9a-z.]{0,9}(, ch=1)?\\])? ?: ?((nth|every|p|times)\\([0-9., ]{0,25}\\) ){0,3}(drop|halt|corrupt|misaddress)(\\([-+0-9a-fx, ]{0,25}\\))?") {
        let _ = text.parse::<Rule>();
    }
}
