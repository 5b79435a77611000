//! Linking: each rule of `trace::link` on a trace that was written for it, and what a whole simulated run must come to.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

mod trace_support;

use netdma_lab::trace::way::Point;
use netdma_lab::trace::{Life, Linked, Trace, link, read_text};
use trace_support::{Line, descriptor, device, driver, simulated, text};

fn linked(lines: &[Line]) -> (Trace, Linked) {
    let trace = read_text("t", &text(lines)).unwrap();
    let linked = link(&trace.records);
    (trace, linked)
}

/// When each known point of a life was stamped.
fn times(trace: &Trace, life: &Life) -> Vec<(&'static str, u64)> {
    let known =
        Point::ALL.iter().filter_map(|point| Some((point.name(), trace.records[life.point(*point)?].t_ns)));
    known.collect()
}

/// Two descriptors by one doorbell; only the second asks for a word and a message. The routine asks for its DPC before it
/// ends, and the DPC is done before that, too.
fn batch() -> Vec<Line> {
    let (first, second) = (descriptor(0, 0), descriptor(0, 1));
    vec![
        driver(10, "doorbell", 0, 2).on(0x86, 2),
        device(20, "doorbell", 0, 0).on(0x86, 2),
        device(30, "fetch", 0, 0).on(first, 64),
        device(31, "translate", 0, 0).on(0x9000, 64),
        device(40, "copy", 0, 0).on(0x9000, 64),
        device(45, "fetch", 0, 1).on(second, 64),
        device(46, "translate", 0, 1).on(0xa000, 64),
        device(50, "copy", 0, 1).on(0xa000, 64),
        device(52, "complete", 0, 1).on(second, 8),
        device(55, "msix", 0, 1).at(0, 0),
        driver(70, "queue", 0, 1).on(0b10, 0b10).at(0, 0),
        driver(80, "dpc", 0, 1).on(second, 1).at(0, 1),
        driver(90, "isr", 0, 1).on(second, 0).at(0, 0),
    ]
}

#[test]
fn rules_1_to_7_a_batch_goes_from_its_one_doorbell_to_its_one_dpc() {
    let (trace, linked) = linked(&batch());
    let ends = [("msix", 55), ("isr", 90), ("queue", 70), ("dpc", 80)];
    let [first, second] = &linked.lives[..] else { panic!("{linked:?}") };
    let start = [("written", 10), ("doorbell", 20)];
    assert_eq!(
        times(&trace, first),
        [&start[..], &[("fetch", 30), ("translate", 31), ("copy", 40)], &ends].concat()
    );
    assert_eq!(
        times(&trace, second),
        [&start[..], &[("fetch", 45), ("translate", 46), ("copy", 50), ("complete", 52)], &ends].concat()
    );
    assert_eq!((first.announced, second.announced), (false, true));
    assert_eq!((first.begin, second.begin), (Some(20), Some(40)));
    assert_eq!(linked.unlinked(), 0);
}

#[test]
fn the_times_of_a_life_add_up_to_its_total() {
    let (trace, linked) = linked(&batch());
    let spans: Vec<_> =
        linked.lives[1].spans(&trace.records).iter().map(|span| (span.name, span.ns)).collect();
    assert_eq!(
        spans,
        [
            ("doorbell", 10),
            ("wait", 20),
            ("fetch", 5),
            ("translate", 1),
            ("copy", 4),
            ("complete", 2),
            ("msix", 3),
            // From the message to the routine's request, which is inside it.
            ("isr", 15),
            ("queue", 0),
            ("dpc", 10),
            ("total", 70)
        ]
    );
}

#[test]
fn rule_2_a_doorbell_covers_what_its_count_says_across_the_wrap_of_dmacount() {
    let (trace, linked) = linked(&[
        device(10, "doorbell", 0, 100).on(0x86, 0xffff),
        device(11, "doorbell", 0, 100).on(0x86, 1),
        device(20, "fetch", 0, 100 + 0xfffe).on(64, 64),
        device(21, "fetch", 0, 100 + 0xffff).on(128, 64),
        device(22, "fetch", 0, 100 + 0x1_0000).on(192, 64),
    ]);
    let doorbells: Vec<_> = linked.lives.iter().map(|life| times(&trace, life)[0]).collect();
    assert_eq!(doorbells, [("doorbell", 10), ("doorbell", 11), ("doorbell", 11)]);
}

#[test]
fn rule_4_a_message_that_a_fault_lost_has_no_service_routine_and_its_dpc_is_found_by_what_it_reports() {
    let mut lines = batch();
    lines[9] = lines[9].clone().marked("faulted");
    // The driver found it by itself.
    lines.truncate(10);
    lines.push(driver(500, "queue", 0, 1).on(1, 1).at(0, 0));
    lines.push(driver(510, "dpc", 0, 1).on(descriptor(0, 1), 0).at(0, 0));
    let (trace, linked) = linked(&lines);
    let ends: Vec<_> = times(&trace, &linked.lives[1]).split_off(6);
    assert_eq!(ends, [("msix", 55), ("dpc", 510)]);
    // The request was nobody's service routine's.
    assert_eq!(linked.unlinked(), 1);
}

#[test]
fn rule_5_messages_of_two_channels_that_share_a_vector_melt_into_one_service_routine() {
    let one = |channel: u8, t_ns: u64| {
        let at = descriptor(channel, 0);
        vec![
            device(t_ns, "doorbell", channel, 0).on(0x86, 1),
            device(t_ns + 1, "fetch", channel, 0).on(at, 64),
            device(t_ns + 2, "copy", channel, 0).on(0x9000, 64),
            device(t_ns + 3, "complete", channel, 0).on(at, 8),
            device(t_ns + 4, "msix", channel, 0).at(0, 0),
        ]
    };
    let mut lines = [one(0, 10), one(1, 20)].concat();
    lines.push(driver(40, "isr", 0, 1).on(descriptor(1, 0), 0).at(0, 0));
    let (trace, linked) = linked(&lines);
    for life in &linked.lives {
        assert_eq!(times(&trace, life).last(), Some(&("isr", 40)), "{life:?}");
    }
}

#[test]
fn rule_7_an_address_that_comes_again_is_the_newest_descriptor_there() {
    let at = descriptor(0, 0);
    let lap = |t_ns: u64, sequence: u64| {
        vec![
            device(t_ns, "doorbell", 0, 0).on(0x86, sequence + 1),
            device(t_ns + 1, "fetch", 0, sequence).on(at, 64),
            device(t_ns + 3, "complete", 0, sequence).on(at, 8),
            device(t_ns + 4, "msix", 0, sequence).at(0, 0),
            driver(t_ns + 6, "isr", 0, sequence + 1).on(at, 0).at(0, 0),
            driver(t_ns + 7, "queue", 0, sequence + 1).on(1, 1).at(0, 0),
            driver(t_ns + 8, "dpc", 0, sequence + 1).on(at, 0).at(0, 0),
        ]
    };
    let (trace, linked) = linked(&[lap(100, 0), lap(200, 1)].concat());
    let ends: Vec<_> = linked.lives.iter().map(|life| *times(&trace, life).last().unwrap()).collect();
    assert_eq!(ends, [("dpc", 108), ("dpc", 208)]);
    assert_eq!(linked.unlinked(), 0);
}

#[test]
fn records_of_descriptors_are_linked_where_stages_were_not_recorded() {
    let done = |t_ns: u64, sequence: u64| {
        format!(
            r#"{{"t_ns":{t_ns},"side":"device","channel":0,"generation":3,"sequence":{sequence},"descriptor":{},"address":36864,"len":64,"mark":"ok"}}"#,
            descriptor(0, sequence)
        )
    };
    let around = text(&[
        device(20, "doorbell", 0, 0).on(0x86, 2),
        device(55, "msix", 0, 1).at(0, 0),
        driver(90, "isr", 0, 1).on(descriptor(0, 1), 0).at(0, 0),
        driver(95, "queue", 0, 1).on(1, 1).at(0, 0),
        driver(99, "dpc", 0, 1).on(descriptor(0, 1), 0).at(0, 0),
    ]);
    let trace = read_text("t", &format!("{around}{}\n{}\n", done(40, 0), done(50, 1))).unwrap();
    let linked = link(&trace.records);
    let [first, second] = &linked.lives[..] else { panic!("{linked:?}") };
    let expected = [("doorbell", 20), ("msix", 55), ("isr", 90), ("queue", 95), ("dpc", 99)];
    assert_eq!(times(&trace, first), expected);
    assert_eq!(times(&trace, second), expected);
    let names: Vec<_> = second.spans(&trace.records).iter().map(|span| (span.name, span.ns)).collect();
    assert_eq!(names[..3], [("wait", 20), ("execute", 10), ("msix", 5)]);
}

#[test]
fn a_device_alone_has_lives_and_a_driver_alone_has_only_events() {
    let both = batch();
    let of = |side: &str| both.iter().filter(|line| line.side == side).cloned().collect::<Vec<_>>();
    let (_, device) = linked(&of("device"));
    assert_eq!((device.lives.len(), device.unlinked()), (2, 0));
    let (_, driver) = linked(&of("driver"));
    assert_eq!((driver.lives.len(), driver.unlinked()), (0, 4));
}

#[test]
fn rule_8_a_message_that_is_served_after_its_descriptor_was_reported_is_not_on_the_way() {
    let mut lines = batch();
    // The DPC of some other request reported it already.
    lines.insert(10, driver(57, "dpc", 0, 1).on(descriptor(0, 1), 1).at(0, 1));
    let (trace, linked) = linked(&lines);
    let ends = |life: &Life| times(&trace, life).split_off(life.point(Point::Complete).map_or(5, |_| 6));
    assert_eq!(ends(&linked.lives[0]), [("dpc", 57)]);
    assert_eq!(ends(&linked.lives[1]), [("msix", 55), ("dpc", 57)]);
}

/// Every stamp that a life has is in the order of the path; gives how many have a DPC, of how many.
fn in_order(scenario: &str, seed: u64) -> (usize, usize) {
    let trace = read_text("sim", &simulated(scenario, seed)).unwrap();
    let linked = link(&trace.records);
    let mut reported = 0;
    for life in &linked.lives {
        let way = [Point::Written, Point::Doorbell, Point::Fetch, Point::Copy, Point::Queue, Point::Dpc];
        let stamps = way.map(|point| life.point(point).map(|at| trace.records[at].t_ns));
        assert!(stamps[..4].iter().all(Option::is_some), "{scenario} {seed}: {life:?}");
        assert!(stamps.iter().flatten().is_sorted(), "{scenario} {seed}: {stamps:?} of {life:?}");
        reported += usize::from(stamps[5].is_some());
    }
    // A doorbell may have been for descriptors that were stopped before they were fetched.
    let device = linked.tally.iter().filter(|(side, stage, _)| {
        *side == ioat_stage::Side::Device && *stage != ioat_stage::Stage::Doorbell
    });
    let alone: usize = device.map(|(.., tally)| tally.events - tally.linked).sum();
    assert_eq!(alone, 0, "{scenario} {seed}: {:?}", linked.tally);
    (reported, linked.lives.len())
}

#[test]
fn in_the_simulator_every_descriptor_finds_its_way_to_a_dpc() {
    for seed in 0..20 {
        let (reported, lives) = in_order("default", seed);
        assert!(lives > 20 && reported == lives, "{reported} of {lives}, seed {seed}");
    }
}

/// A DPC of a shared vector or of the line serves several channels, and its event names one of them.
#[test]
fn where_channels_share_an_interrupt_most_descriptors_find_a_dpc_and_none_a_wrong_one() {
    for scenario in ["shared-vector", "line"] {
        let runs: Vec<(usize, usize)> = (0..10).map(|seed| in_order(scenario, seed)).collect();
        let sum = runs.iter().fold((0, 0), |sum, run| (sum.0 + run.0, sum.1 + run.1));
        assert!(sum.0 * 2 > sum.1, "{scenario}: {} of {} descriptors have a DPC", sum.0, sum.1);
    }
}
