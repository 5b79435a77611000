//! Every row of the catalog that lies inside a step, with each of its samples, at the first, the second and the last operation
//! of a mixed workload: nothing panics, memory that the client did not grant stays as it is, guards are touched only where the
//! row says so, what is done in one step is what is done in many, and the channel works after a reset.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

mod core_support;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use core_support::{
    BASE, Bench, LINUX_CHANCTRL, RESET, SIZE, SOURCE, TARGET, WORD, cmpl, copy, fill, int, memfd, null,
    pattern, slot,
};
use ioat_spec::{ChannelRegister, ChannelState, Control, Descriptor};
use ioat_stage::fault::catalog::{CATALOG, Entry};
use ioat_stage::{FaultBook, Mark, Point, RuleFaults, Stage};
use vfio_user_ioat::memory::{Access, Denied, GuestMemory, Lane, Pin, VolatileSlice, Want};
use vfio_user_ioat::{Begin, Profile};

const IDLE: u64 = ChannelState::Idle.code();
/// What the memory of the targets is full of.
const GUARD: u8 = 0xa5;
const TARGETS: usize = 0x10_0000;
/// Steps after which a channel that is neither done nor stuck is a bug.
const STEPS_MOST: u32 = 10_000;

/// The workload: every kind, in one piece and in several, with and without word and interrupt.
fn workload() -> Vec<Descriptor> {
    let both = Control::new().with_src_page_break(true).with_dst_page_break(true).into_bits();
    let at = |place: u64, descriptor| Descriptor { destination: TARGET + 0x1000 + place, ..descriptor };
    vec![
        cmpl(at(0, copy(64))),
        int(at(0x1000, fill(100, 0x0123_4567_89ab_cdef))),
        cmpl(null()),
        int(at(0x2000, copy(0x1_8003))),
        cmpl(Descriptor { size: 3, control: 0xff00_0001, ..Descriptor::default() }),
        int(Descriptor {
            source: SOURCE + 0xff0,
            destination: TARGET + 0x2_0fe0,
            next_source: SOURCE + 0x5000,
            next_destination: TARGET + 0x2_8000,
            control: both,
            ..copy(0x40)
        }),
        cmpl(at(0x3_0000, copy(0x1000))),
        int(at(0x4_0000, copy(1))),
    ]
}

/// Where the workload writes: the rest of the targets is guards.
fn written(place: usize) -> bool {
    let inside = [
        (0x1000, 64),
        (0x2000, 100),
        (0x3000, 0x1_8003),
        (0x2_0fe0, 32),
        (0x2_8000, 32),
        (0x3_1000, 0x1000),
        (0x4_1000, 1),
    ];
    inside.into_iter().any(|(first, len)| (first..first + len).contains(&place))
}

/// Rows that send data, or the word, to other places in the client's memory.
fn strays(entry: &Entry) -> bool {
    match entry.point {
        Point::Fetch => matches!(entry.action, "corrupt" | "set" | "misaddress" | "stick"),
        Point::Translate => entry.action == "misaddress",
        Point::Write => matches!(entry.action, "misaddress" | "overrun"),
        _ => false,
    }
}

/// A device whose client granted the bench's memory, and more that may only be read.
struct Place {
    bench: Bench<RuleFaults>,
    book: Arc<FaultBook>,
    read_only: File,
}

/// What a workload comes to.
#[derive(PartialEq, Eq, Debug)]
struct Outcome {
    targets: Vec<u8>,
    /// The word, and what is around it.
    words: Vec<u8>,
    status: u64,
    chan_err: u64,
    messages: usize,
    gone: bool,
}

impl Place {
    fn new(rule: Option<&str>) -> Self {
        let book = FaultBook::new(rule.map(|rule| rule.parse().unwrap()));
        let bench = Bench::with(Profile::NETDMA, |_| book.faults());
        let read_only = memfd(0x10_0000);
        for iova in [BASE - 0x1000, BASE + SIZE] {
            let file = Some((read_only.try_clone().unwrap(), 0));
            bench.table.map(iova, 0x1000, Access::READ, file).unwrap();
        }
        Self { bench, book, read_only }
    }

    fn submit(&self) {
        let ring = workload();
        let bench = &self.bench;
        bench.put(SOURCE, &pattern(0x4_0000, 1));
        bench.put(TARGET, &vec![GUARD; TARGETS]);
        bench.put(WORD - 64, &[GUARD; 128]);
        bench.put(WORD, &[0; 8]);
        bench.ring(&ring);
        bench.arm(0, LINUX_CHANCTRL);
        let _ = bench.doorbell(0, u16::try_from(ring.len()).unwrap());
    }

    /// Takes steps until there is nothing to do, then does what was put off.
    fn drive(&mut self, split: bool) {
        let mut steps = 0;
        loop {
            let pin = self.bench.table.reader().pin();
            match self.bench.function.begin(0, Split { pin, yields: split, asked: Cell::new(0) }) {
                Begin::Nothing(_) => break,
                Begin::Starting(_) | Begin::Delayed(..) => {}
                Begin::Run(mut run) => {
                    run.run();
                    let _ = self.bench.function.finish(run);
                    // The driver lets the next interrupt through.
                    let _ = self.bench.set(0, ChannelRegister::ChanCtrl, LINUX_CHANCTRL.into());
                }
            }
            steps += 1;
            assert!(steps < STEPS_MOST, "the channel neither ends nor stalls");
        }
        let memory = self.bench.table.reader().pin();
        for postponed in self.bench.function.take_postponed() {
            let _ = self.bench.function.carry_out(postponed, &memory);
        }
    }

    fn outcome(&self) -> Outcome {
        let bench = &self.bench;
        Outcome {
            targets: bench.take(TARGET, TARGETS),
            words: bench.take(WORD - 64, 128),
            status: bench.status(0),
            chan_err: bench.chan_err(0),
            messages: bench.messages().len(),
            gone: bench.function.is_gone(),
        }
    }

    fn read_only_is_whole(&self) -> bool {
        let mut bytes = vec![0; 0x1000];
        self.read_only.read_exact_at(&mut bytes, 0).unwrap();
        bytes.iter().all(|byte| *byte == 0)
    }

    /// Sets the channel right as a driver would, and runs the workload once more, without faults.
    fn again(&mut self) -> Outcome {
        if self.bench.function.is_gone() {
            let _ = self.bench.function.put_back();
            self.bench.enable();
        }
        self.book.rules().iter().for_each(|rule| assert!(self.book.disarm(rule.id)));
        let errors = self.bench.chan_err(0);
        let _ = self.bench.set(0, ChannelRegister::ChanErr, errors);
        let _ = self.bench.command(0, RESET);
        self.bench.wires.messages.lock().clear();
        self.submit();
        self.drive(false);
        self.outcome()
    }
}

/// A pin that asks for a yield as often as it can be asked and a step still gets on.
struct Split {
    pin: Pin,
    yields: bool,
    asked: Cell<u32>,
}

impl GuestMemory for Split {
    fn resolve(&self, lane: Lane, iova: u64, len: u64, want: Want) -> Result<VolatileSlice<'_>, Denied> {
        self.pin.resolve(lane, iova, len, want)
    }

    fn yield_requested(&self) -> bool {
        self.asked.set(self.asked.get() + 1);
        self.yields && self.asked.get() >= 2
    }

    fn poisoned(&self) -> bool {
        self.pin.poisoned()
    }
}

/// The workload without a fault, and how many operations of each point it has.
fn golden() -> (Outcome, BTreeMap<(Point, Option<u8>), u64>) {
    let mut place = Place::new(None);
    place.book.census(true);
    place.submit();
    place.drive(false);
    let operations = place.book.operations();
    (place.outcome(), operations)
}

fn inside() -> impl Iterator<Item = &'static Entry> {
    CATALOG.iter().filter(|entry| Point::INSIDE.contains(&entry.point))
}

/// Every rule of the sweep, with its row.
fn sweep() -> Vec<(&'static Entry, String)> {
    let (_, operations) = golden();
    let count = |point: Point| operations[&(point, Some(0))];
    let rules = inside().flat_map(|entry| {
        let nths = [1, 2, count(entry.point)];
        let samples = entry.samples.iter();
        samples
            .flat_map(move |sample| nths.map(|nth| (entry, format!("{}: nth({nth}) {sample}", entry.point))))
    });
    rules.collect()
}

#[test]
fn the_workload_has_every_kind_of_operation_and_is_sound_without_a_fault() {
    let (outcome, operations) = golden();
    let last = slot(workload().len() - 1);
    assert_eq!((outcome.status, outcome.chan_err), (last | IDLE, 0));
    for point in Point::INSIDE {
        assert!(operations[&(point, Some(0))] >= 4, "{point}");
    }
    let strayed = outcome.targets.iter().enumerate().find(|(at, byte)| !written(*at) && **byte != GUARD);
    assert_eq!(strayed, None);
}

#[test]
fn every_row_fires_where_it_is_armed_and_leaves_a_channel_that_works_after_a_reset() {
    let (clean, _) = golden();
    for (entry, rule) in sweep() {
        let mut place = Place::new(Some(&rule));
        place.submit();
        place.drive(false);
        let fired = place.book.fired();
        // A word in one piece cannot be torn, and so on: what cannot be carried out is not counted, and so comes later or never.
        assert!(fired.len() <= 1, "{rule}");
        let never = fired.is_empty()
            && entry.action != "corrupt"
            && entry.action != "misaddress"
            && entry.action != "short";
        assert!(!never, "{rule} never fired");
        assert!(place.read_only_is_whole(), "{rule}");
        let outcome = place.outcome();
        let strayed = outcome.targets.iter().enumerate().find(|(at, byte)| !written(*at) && **byte != GUARD);
        assert!(strays(entry) || strayed.is_none(), "{rule}: strayed to {strayed:x?}");
        let beside = (0..128).find(|at| !(64..72).contains(at) && outcome.words[*at] != GUARD);
        assert!(entry.action == "elsewhere" || strays(entry) || beside.is_none(), "{rule}: beside the word");
        assert!(place.again() == clean, "{rule}: the clean work after it");
        assert!(place.read_only_is_whole(), "{rule}");
    }
}

#[test]
fn every_row_does_the_same_in_one_step_and_in_many() {
    for (_, rule) in sweep() {
        let run = |split| {
            let mut place = Place::new(Some(&rule));
            place.submit();
            place.drive(split);
            place.outcome()
        };
        assert!(run(false) == run(true), "{rule}");
    }
}

#[test]
fn every_firing_is_marked_in_the_trace_of_its_stage() {
    for (entry, rule) in sweep() {
        let mut place = Place::new(Some(&rule));
        place.submit();
        place.drive(false);
        let stage = entry.point.stage().unwrap();
        let marked = |stage: Stage| {
            place.bench.events(stage).iter().filter(|event| event.mark == Mark::Faulted).count()
        };
        assert_eq!(marked(stage), place.book.fired().len(), "{rule}");
    }
}

#[test]
fn rules_that_fire_at_every_operation_together_do_not_panic_and_end() {
    let always: Vec<String> = inside()
        .flat_map(|entry| entry.samples.iter().map(|sample| format!("{}: every(1) {sample}", entry.point)))
        .collect();
    for (index, first) in always.iter().enumerate() {
        for second in always.iter().skip(index + 1).step_by(7) {
            let mut place = Place::new(Some(first));
            place.book.arm(second.parse().unwrap());
            place.submit();
            place.drive(index % 2 == 0);
            assert!(place.read_only_is_whole(), "{first} and {second}");
        }
    }
}
