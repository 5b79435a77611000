//! The channel's state machine (conformance items 22 to 39 of the device model).

mod core_support;

use core_support::{
    Begun, Bench, CHANERR_INT, LINUX_CHANCTRL, NOWHERE, RESET, RESUME, RING, SOURCE, SUSPEND, TARGET, WORD,
    cmpl, copy, int, null, pattern, slot,
};
use ioat_spec::ChannelRegister::{ChainAddr, ChanCmd, ChanCtrl, ChanErr, DmaCount};
use ioat_spec::ChannelState::{self, Active, Armed, Halted, Idle, Suspended};
use ioat_spec::Descriptor;
use ioat_stage::{Faults, Stage};
use vfio_user_ioat::Effects;

/// Writes CHANERR back to itself.
fn clear_errors<F: Faults>(bench: &Bench<F>) {
    let errors = bench.chan_err(0);
    let _ = bench.set(0, ChanErr, errors);
}

/// A bench whose channel 0 is in `state`, with two descriptors done before where a chain is there: IDLE at 2 of 2, ACTIVE at 2 of 4,
/// SUSPENDED at 2 of 2. The ring has four NULL descriptors.
fn bench_in(state: ChannelState) -> Bench {
    let mut bench = Bench::new();
    bench.ring(&[null(), null(), null(), null()]);
    bench.put(WORD, &[0xff; 8]);
    if state == Halted {
        return bench;
    }
    bench.arm(0, LINUX_CHANCTRL);
    if state == Armed {
        return bench;
    }
    let _ = bench.doorbell(0, 2);
    bench.drive(0);
    let _ = match state {
        Active => bench.doorbell(0, 4),
        Suspended => bench.command(0, SUSPEND),
        _ => Effects::default(),
    };
    assert_eq!(bench.state(0), state);
    bench
}

/// What software can do to a channel, and what the engine does by itself.
#[derive(Clone, Copy, Debug)]
enum Happening {
    ChainAddr,
    CountOther,
    CountSame,
    Work,
    Suspend,
    Resume,
    Reset,
    TwoCommands,
    MisalignedChain,
    OldCommands,
}

impl Happening {
    const ALL: [Self; 10] = [
        Self::ChainAddr,
        Self::CountOther,
        Self::CountSame,
        Self::Work,
        Self::Suspend,
        Self::Resume,
        Self::Reset,
        Self::TwoCommands,
        Self::MisalignedChain,
        Self::OldCommands,
    ];

    fn happen(self, bench: &mut Bench, done: u16) {
        let _ = match self {
            Self::ChainAddr => bench.set(0, ChainAddr, RING),
            Self::CountOther => bench.doorbell(0, done + 3),
            Self::CountSame => bench.doorbell(0, done),
            Self::Work => {
                bench.drive(0);
                return;
            }
            Self::Suspend => bench.command(0, SUSPEND),
            Self::Resume => bench.command(0, RESUME),
            Self::Reset => bench.command(0, RESET),
            Self::TwoCommands => bench.command(0, RESET | SUSPEND),
            Self::MisalignedChain => bench.set(0, ChainAddr, RING + 1),
            Self::OldCommands => {
                let _ = bench.command(0, 0x01);
                let _ = bench.command(0, 0x02);
                bench.command(0, 0x08)
            }
        };
    }
}

/// The device model's table 3.2, row by row as it is printed there (and 3.3, 3.5 for the last three), not as the code has it.
#[rustfmt::skip]
const TABLE: [(ChannelState, [ChannelState; 10]); 5] = [
    //            CHAINADDR  count!=done  count=done  exhausted  SUSPEND    RESUME     RESET   two     misaligned old
    (Halted,    [ Armed,     Halted,      Halted,     Halted,    Halted,    Halted,    Halted, Halted, Halted,    Halted ]),
    (Armed,     [ Armed,     Active,      Armed,      Armed,     Armed,     Armed,     Halted, Halted, Halted,    Armed ]),
    (Active,    [ Active,    Active,      Idle,       Idle,      Suspended, Active,    Halted, Halted, Active,    Active ]),
    (Idle,      [ Armed,     Active,      Idle,       Idle,      Suspended, Idle,      Halted, Halted, Halted,    Idle ]),
    (Suspended, [ Armed,     Suspended,   Suspended,  Suspended, Suspended, Idle,      Halted, Halted, Halted,    Suspended ]),
];

#[test]
fn every_state_meets_every_event_as_the_table_says() {
    for (from, row) in TABLE {
        for (event, to) in Happening::ALL.into_iter().zip(row) {
            let mut bench = bench_in(from);
            let done = if matches!(from, Halted | Armed) { 0 } else { 2 };
            event.happen(&mut bench, done);
            assert_eq!(bench.state(0), to, "{from:?} + {event:?}");
            assert_eq!(bench.get(0, ChanCmd), 0, "{from:?} + {event:?}");
            let errors = match event {
                Happening::TwoCommands => 1 << 5,
                Happening::MisalignedChain if from != Active => 1 << 4,
                _ => 0,
            };
            assert_eq!(bench.chan_err(0), errors, "{from:?} + {event:?}");
            assert_eq!(bench.config(CHANERR_INT, 4), errors, "{from:?} + {event:?}");
            // No event of these stores a word or raises an interrupt by itself, but for errors.
            assert_eq!(bench.word(), u64::MAX, "{from:?} + {event:?}");
            if errors == 0 {
                assert!(bench.messages().is_empty(), "{from:?} + {event:?}");
            }
        }
    }
}

#[test]
fn m22_m24_after_reset_chansts_reads_exactly_3_from_every_state() {
    for from in [Halted, Armed, Active, Idle, Suspended] {
        let bench = bench_in(from);
        assert_eq!(bench.command(0, RESET).quiesce, 0);
        assert_eq!((bench.status(0), bench.get(0, ChanCmd), bench.get(0, DmaCount)), (3, 0, 0), "{from:?}");
        assert_eq!(bench.word(), u64::MAX);
    }
}

/// Starts a 64-byte copy with word and interrupt, up to its begin.
fn begun() -> (Bench, core_support::Step<ioat_stage::NoFaults>) {
    let mut bench = Bench::new();
    bench.put(SOURCE, &[7; 64]);
    bench.ring(&[int(copy(64))]);
    bench.arm(0, LINUX_CHANCTRL);
    let _ = bench.doorbell(0, 1);
    assert!(matches!(bench.begin(0), Begun::Starting));
    let step = bench.begin(0).step();
    (bench, step)
}

#[test]
fn m23_reset_between_begin_and_run_leaves_no_trace_of_the_old_chain() {
    let (mut bench, mut step) = begun();
    assert_eq!(bench.command(0, RESET).quiesce, 1);
    assert!(bench.function.is_in_flight(0));
    step.run();
    assert!(!bench.finish(step));
    assert!(!bench.function.is_in_flight(0));
    assert_eq!(bench.take(TARGET, 64), [0; 64]);
    assert_eq!((bench.word(), bench.status(0), bench.messages().len()), (0, 3, 0));
}

#[test]
fn m23_reset_between_run_and_finish_publishes_nothing() {
    let (mut bench, mut step) = begun();
    step.run();
    assert_eq!(bench.command(0, RESET).quiesce, 1);
    assert!(!bench.finish(step));
    assert_eq!((bench.status(0), bench.messages().len(), bench.get(0, ChanCtrl)), (3, 0, 0));
}

#[test]
fn a_new_chain_waits_for_the_old_run_and_then_starts_by_itself() {
    let (mut bench, mut old) = begun();
    let _ = bench.command(0, RESET);
    bench.ring(&[cmpl(null()), cmpl(null())]);
    bench.arm(0, LINUX_CHANCTRL);
    let _ = bench.doorbell(0, 2);
    assert_eq!(bench.state(0), Active);
    assert!(matches!(bench.begin(0), Begun::Nothing));
    old.run();
    assert!(bench.finish(old));
    assert_eq!(bench.take(TARGET, 64), [0; 64]);
    assert!(matches!(bench.begin(0), Begun::Starting));
    bench.drive(0);
    assert_eq!(bench.status(0), slot(1) | Idle.code());
}

#[test]
fn m25_m26_chainaddr_reads_exactly_4_and_counts_from_0_again() {
    for from in [Halted, Idle, Suspended] {
        let mut bench = bench_in(from);
        let _ = bench.set(0, ChainAddr, slot(1));
        assert_eq!((bench.status(0), bench.get(0, DmaCount)), (4, 0), "{from:?}");
        let _ = bench.doorbell(0, 1);
        bench.drive(0);
        assert_eq!(bench.status(0), slot(1) | 1, "{from:?}");
    }
}

#[test]
fn m27_chainaddr_leaves_an_error_halt_without_reset() {
    let mut bench = Bench::new();
    bench.ring(&[Descriptor { source: NOWHERE, ..copy(64) }, cmpl(null())]);
    bench.arm(0, LINUX_CHANCTRL);
    let _ = bench.doorbell(0, 1);
    bench.drive(0);
    // While an unmasked error is latched, CHAINADDR does not arm.
    let _ = bench.set(0, ChainAddr, slot(1));
    assert_eq!(bench.status(0), 3);
    clear_errors(&bench);
    let _ = bench.set(0, ChainAddr, slot(1));
    assert_eq!(bench.status(0), 4);
    let _ = bench.doorbell(0, 1);
    bench.drive(0);
    assert_eq!(bench.word(), slot(1) | 1);
}

#[test]
fn m28_m29_the_doorbell_makes_an_armed_channel_active_before_it_is_answered() {
    let bench = bench_in(Armed);
    assert_eq!(bench.doorbell(0, 0).wake, 0);
    assert_eq!(bench.status(0), 4);
    assert_eq!(bench.doorbell(0, 1).wake, 1);
    assert_eq!(bench.state(0), Active);
}

#[test]
fn m30_a_doorbell_starts_nothing_in_halted_and_suspended() {
    for from in [Halted, Suspended] {
        let mut bench = bench_in(from);
        let fetched = bench.events(Stage::Fetch).len();
        assert_eq!(bench.doorbell(0, 4).wake, 0);
        bench.drive(0);
        assert_eq!(bench.events(Stage::Fetch).len(), fetched);
        assert_eq!(bench.get(0, DmaCount), 4);
    }
}

#[test]
fn m31_suspend_in_flight_stops_at_the_next_descriptor() {
    let mut bench = Bench::new();
    bench.put(SOURCE, &[7; 64]);
    bench.ring(&[copy(64), copy(64), copy(64)]);
    bench.arm(0, LINUX_CHANCTRL);
    let _ = bench.doorbell(0, 3);
    assert!(matches!(bench.begin(0), Begun::Starting));
    let mut step = bench.begin(0).step();
    let _ = bench.command(0, SUSPEND);
    // SUSPENDED is reported only when nothing is in flight.
    assert_eq!(bench.state(0), Active);
    step.run();
    assert_eq!(bench.state(0), Active);
    assert!(!bench.finish(step));
    assert_eq!(bench.state(0), Suspended);
    assert!(bench.events(Stage::Fetch).is_empty());
    let _ = bench.command(0, RESUME);
    assert_eq!(bench.state(0), Active);
    bench.drive(0);
    assert_eq!(bench.status(0), slot(2) | 1);
}

#[test]
fn m33_suspend_stores_no_word() {
    let mut bench = bench_in(Idle);
    let _ = bench.command(0, SUSPEND);
    bench.drive(0);
    assert_eq!(bench.word(), u64::MAX);
    assert!(bench.messages().is_empty());
}

#[test]
fn resume_takes_a_suspend_back_that_has_not_happened_yet() {
    let (mut bench, mut step) = begun();
    let _ = bench.command(0, SUSPEND);
    let _ = bench.command(0, RESUME);
    step.run();
    bench.finish(step);
    assert_eq!(bench.status(0), slot(0) | 1);
}

#[test]
fn two_commands_at_once_halt_a_busy_channel_at_the_next_descriptor() {
    let (mut bench, mut step) = begun();
    let _ = bench.command(0, RESET | SUSPEND);
    assert_eq!(bench.state(0), Active);
    step.run();
    bench.finish(step);
    assert_eq!((bench.status(0), bench.chan_err(0), bench.config(CHANERR_INT, 4)), (3, 1 << 5, 1 << 5));
    assert_eq!(bench.messages(), [0]);
}

#[test]
fn m35_dmacount_wraps_over_70_000_descriptors() {
    let mut bench = Bench::new();
    bench.ring(&vec![copy(1); 512]);
    bench.arm(0, LINUX_CHANCTRL);
    let mut total = 0_u32;
    while total < 70_000 {
        total += 500;
        let _ = bench.doorbell(0, u16::try_from(total % 65_536).unwrap());
        bench.drive(0);
        assert_eq!(bench.status(0), slot((total as usize - 1) % 512) | 1);
    }
    assert_eq!(bench.events(Stage::Copy).len(), 70_000);
    assert_eq!(bench.events(Stage::Copy).last().unwrap().sequence, 69_999);
}

#[test]
fn m36_65535_self_linked_descriptors_in_one_doorbell() {
    let mut bench = Bench::new();
    bench.put(SOURCE, &pattern(64, 1));
    bench.ring(&[copy(64)]);
    bench.arm(0, LINUX_CHANCTRL);
    let _ = bench.doorbell(0, 65_535);
    bench.step(0);
    // Every register is answered while 65,279 descriptors are still to come.
    assert_eq!(bench.state(0), Active);
    bench.drive(0);
    assert_eq!(bench.status(0), slot(0) | 1);
    assert_eq!(bench.events(Stage::Copy).len(), 65_535);
}

#[test]
fn m37_the_same_dmacount_again_is_a_no_op() {
    let mut bench = bench_in(Idle);
    let fetched = bench.events(Stage::Fetch).len();
    assert_eq!(bench.doorbell(0, 2).wake, 0);
    bench.drive(0);
    assert_eq!((bench.state(0), bench.events(Stage::Fetch).len()), (Idle, fetched));
}

#[test]
fn m38_a_slot_is_read_only_once_it_is_counted() {
    let mut bench = bench_in(Idle);
    // Slot 2 was a NULL; it becomes a copy before its doorbell.
    bench.put(SOURCE, &[7; 64]);
    bench.ring(&[null(), null(), copy(64), null()]);
    let _ = bench.doorbell(0, 3);
    bench.drive(0);
    assert_eq!(bench.take(TARGET, 64), [7; 64]);
}

#[test]
fn m39_a_ring_in_two_places_is_followed_by_next() {
    let mut bench = Bench::new();
    let far = WORD + 0x1000;
    bench.ring(&[null()]);
    bench.put(slot(0) + 0x18, &far.to_le_bytes());
    bench.put(far, zerocopy::IntoBytes::as_bytes(&Descriptor { next: slot(0), ..null() }));
    bench.arm(0, LINUX_CHANCTRL);
    let _ = bench.doorbell(0, 4);
    bench.drive(0);
    let fetched: Vec<_> = bench.events(Stage::Fetch).iter().map(|event| event.address).collect();
    assert_eq!(fetched, [slot(0), far, slot(0), far]);
}

#[test]
fn the_start_latency_is_asked_for_once_per_start() {
    let mut bench = bench_in(Armed);
    let _ = bench.doorbell(0, 1);
    assert!(matches!(bench.begin(0), Begun::Starting));
    let mut step = bench.begin(0).step();
    step.run();
    assert!(!bench.finish(step));
    // IDLE to ACTIVE needs none.
    let _ = bench.doorbell(0, 2);
    let mut step = bench.begin(0).step();
    step.run();
    assert!(!bench.finish(step));
    // A new chain does.
    let _ = bench.set(0, ChainAddr, RING);
    let _ = bench.doorbell(0, 1);
    assert!(matches!(bench.begin(0), Begun::Starting));
}

#[test]
fn a_step_ends_at_256_descriptors_at_1_mib_and_after_an_interrupt() {
    for (descriptor, count, first) in [(null(), 300, 256), (copy(0x8_0000), 5, 2), (int(null()), 3, 1)] {
        let mut bench = Bench::new();
        bench.ring(&[descriptor]);
        bench.arm(0, LINUX_CHANCTRL);
        let _ = bench.doorbell(0, count);
        assert!(bench.step(0));
        assert_eq!(bench.events(Stage::Fetch).len(), first);
    }
}
