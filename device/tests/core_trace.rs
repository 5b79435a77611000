//! What a trace of the device core holds in each detail, and what a switch in the middle of work does.
#![expect(clippy::unwrap_used, reason = "what fails here fails its test")]

mod core_support;

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use core_support::{
    BASE, Bench, COMMAND, LINUX_CHANCTRL, NOWHERE, RING, SIZE, TARGET, Wires, cmpl, copy, int, memfd, null,
    slot, with,
};
use ioat_spec::ChannelRegister::{ChainAddr, ChanErrMsk, DmaCount};
use ioat_spec::register::channel_base;
use ioat_spec::{ChanErr, ChannelRegister, Control, Descriptor};
use ioat_stage::trace::{Header, Line};
use ioat_stage::{
    Detail, Event, Executed, Faults, Mark, NoFaults, Recorder, Side, Stage, Switch, ThreadPause, Trace,
    TraceCounts, TraceWriter,
};
use vfio_user_ioat::lint::LintBook;
use vfio_user_ioat::memory::{Access, DmaTable};
use vfio_user_ioat::{Begin, Finished, Function, Profile};
use zerocopy::IntoBytes;

/// A bench whose trace is a recorder of this detail.
fn recorded(detail: Detail) -> Bench {
    Bench::recorded(Profile::SKX, |_| NoFaults, Recorder::with_detail(1 << 20, detail))
}

fn faulty(rule: &str) -> Bench<ioat_stage::RuleFaults> {
    let book = ioat_stage::FaultBook::new([rule.parse().unwrap()]);
    Bench::recorded(Profile::SKX, |_| book.faults(), Recorder::with_detail(1 << 20, Detail::Descriptors))
}

fn run<F: Faults>(bench: &mut Bench<F>, descriptors: &[Descriptor]) {
    bench.ring(descriptors);
    bench.arm(0, LINUX_CHANCTRL);
    let _ = bench.doorbell(0, u16::try_from(descriptors.len()).unwrap());
    bench.drive(0);
}

/// The record of slot `index` of the first chain.
fn record(index: usize, address: u64, len: u64, mark: Mark) -> Executed {
    let sequence = index as u64;
    Executed { channel: 0, generation: 1, sequence, descriptor: slot(index), address, len, mark }
}

/// A ring that uses every way through a run: small, of several pieces, nothing to move, with interrupts.
fn mixed() -> [Descriptor; 6] {
    [copy(64), cmpl(copy(200_000)), null(), int(copy(4096)), cmpl(copy(1)), int(null())]
}

#[test]
fn descriptors_leaves_one_record_for_each_and_only_the_events_of_doorbells_and_messages() {
    let mut bench = recorded(Detail::Descriptors);
    run(&mut bench, &mixed());
    let expected = [
        record(0, TARGET, 64, Mark::Ok),
        record(1, TARGET, 200_000, Mark::Ok),
        record(2, 0, 1, Mark::Ok),
        record(3, TARGET, 4096, Mark::Ok),
        record(4, TARGET, 1, Mark::Ok),
        record(5, 0, 1, Mark::Ok),
    ];
    assert_eq!(bench.trace.descriptors(), expected);
    let events: Vec<_> =
        bench.trace.events().iter().map(|event| (event.stage, event.sequence, event.mark)).collect();
    // The second interrupt is held back, for nobody re-arms.
    assert_eq!(
        events,
        [(Stage::Doorbell, 0, Mark::Ok), (Stage::Msix, 3, Mark::Ok), (Stage::Msix, 5, Mark::Held)]
    );
}

#[test]
fn stages_leaves_every_stage_of_each_in_path_order_and_no_record() {
    let mut bench = recorded(Detail::Stages);
    run(&mut bench, &mixed());
    assert_eq!(bench.trace.descriptors(), []);
    let of = |sequence| {
        let events = bench.trace.events().into_iter();
        events
            .filter(move |event| event.stage != Stage::Doorbell && event.sequence == sequence)
            .map(|event| event.stage)
    };
    use Stage::{Complete, Copy, Fetch, Msix, Translate};
    let plain = [Fetch, Translate, Copy];
    let words = [0, 1, 0, 2, 1, 2];
    for (sequence, more) in (0..).zip(words) {
        let expected: Vec<_> = plain.into_iter().chain([Complete, Msix].into_iter().take(more)).collect();
        assert_eq!(of(sequence).collect::<Vec<_>>(), expected, "descriptor {sequence}");
    }
}

#[test]
fn off_leaves_nothing_of_stages_2_to_5() {
    let mut bench = recorded(Detail::Off);
    run(&mut bench, &mixed());
    assert_eq!(bench.trace.descriptors(), []);
    let path = |event: &Event| !matches!(event.stage, Stage::Doorbell | Stage::Msix);
    assert_eq!(bench.trace.events().iter().filter(|event| path(event)).count(), 0);
}

#[test]
fn the_same_work_leaves_the_same_trace_in_both_details() {
    for detail in [Detail::Descriptors, Detail::Stages] {
        let trace = |()| {
            let mut bench = recorded(detail);
            run(&mut bench, &mixed());
            (bench.trace.events(), bench.trace.descriptors())
        };
        assert_eq!(trace(()), trace(()), "{detail}");
    }
}

#[test]
fn small_descriptors_that_share_a_time_are_all_there_and_in_order() {
    let mut bench = recorded(Detail::Descriptors);
    let mut descriptors = [copy(64); 600];
    descriptors[599] = int(copy(64));
    run(&mut bench, &descriptors);
    let numbers: Vec<_> = bench.trace.descriptors().iter().map(|one| one.sequence).collect();
    assert_eq!(numbers, (0..600).collect::<Vec<_>>());
}

#[test]
fn a_descriptor_that_fails_has_a_record_with_its_error() {
    for (descriptor, address, len, chanerr) in [
        (copy(0), TARGET, 0, ChanErr::LENGTH),
        (Descriptor { source: NOWHERE, ..copy(64) }, TARGET, 64, ChanErr::SOURCE_ADDRESS),
        (Descriptor { destination: NOWHERE, ..copy(64) }, NOWHERE, 64, ChanErr::DESTINATION_ADDRESS),
        // The second piece is not there: the first one was copied.
        (
            Descriptor { source: BASE + SIZE - (64 << 10), ..copy(128 << 10) },
            TARGET,
            128 << 10,
            ChanErr::SOURCE_ADDRESS,
        ),
        (with(copy(64), Control::new().with_opcode(0x7f)), TARGET, 64, ChanErr::CONTROL),
    ] {
        let mut bench = recorded(Detail::Descriptors);
        run(&mut bench, &[copy(64), descriptor, copy(64)]);
        let mark = Mark::Error(chanerr.into_bits());
        let expected = [record(0, TARGET, 64, Mark::Ok), record(1, address, len, mark)];
        assert_eq!(bench.trace.descriptors(), expected, "{chanerr:?}");
    }
}

#[test]
fn a_descriptor_that_cannot_be_read_has_a_record_too() {
    let mut bench = recorded(Detail::Descriptors);
    bench.put(slot(0), Descriptor { next: NOWHERE & !63, ..copy(64) }.as_bytes());
    bench.arm(0, LINUX_CHANCTRL);
    let _ = bench.doorbell(0, 2);
    bench.drive(0);
    let mark = Mark::Error(ChanErr::NEXT_DESCRIPTOR_ADDRESS.into_bits());
    let unread = Executed { descriptor: NOWHERE & !63, ..record(1, 0, 0, mark) };
    assert_eq!(bench.trace.descriptors(), [record(0, TARGET, 64, Mark::Ok), unread]);
}

#[test]
fn an_error_that_is_masked_is_in_the_record_of_a_descriptor_that_counts_as_done() {
    let mut bench = recorded(Detail::Descriptors);
    let _ = bench.set(0, ChanErrMsk, ChanErr::LENGTH.into_bits().into());
    run(&mut bench, &[copy(0), copy(64)]);
    let masked = Mark::Error(ChanErr::LENGTH.into_bits());
    assert_eq!(bench.trace.descriptors(), [record(0, TARGET, 0, masked), record(1, TARGET, 64, Mark::Ok)]);
}

#[test]
fn a_fault_is_in_the_record_of_its_descriptor_and_in_no_other() {
    for rule in [
        "copy: nth(2) corrupt(0)",
        "complete: nth(2) drop",
        "complete: nth(2) early",
        "complete: nth(2) misaddress(+64)",
    ] {
        let mut bench = faulty(rule);
        run(&mut bench, &[cmpl(copy(64)), cmpl(copy(64)), cmpl(copy(64))]);
        let marks: Vec<_> = bench.trace.descriptors().iter().map(|one| one.mark).collect();
        assert_eq!(marks, [Mark::Ok, Mark::Faulted, Mark::Ok], "{rule}");
    }
    for rule in
        ["fetch: nth(2) halt(descriptor)", "translate: nth(2) halt(length)", "copy: nth(2) halt(read-data)"]
    {
        let mut bench = faulty(rule);
        run(&mut bench, &[cmpl(copy(64)), cmpl(copy(64)), cmpl(copy(64))]);
        let marks: Vec<_> = bench.trace.descriptors().iter().map(|one| one.mark).collect();
        assert_eq!(marks, [Mark::Ok, Mark::Faulted], "{rule}");
    }
}

#[test]
fn the_number_goes_on_when_dmacount_wraps_and_when_a_new_chain_begins() {
    let mut bench = recorded(Detail::Descriptors);
    bench.ring(&[null(), null()]);
    bench.arm(0, LINUX_CHANCTRL);
    for count in [40_000, 14_464, 14_466] {
        let _ = bench.doorbell(0, count);
        bench.drive(0);
    }
    // 40,000 and then, modulo 65,536, so many that 80,000 are done, and two more.
    let numbers: Vec<_> = bench.trace.descriptors().iter().map(|one| one.sequence).collect();
    assert_eq!(numbers, (0..80_002).collect::<Vec<_>>());
    let _ = bench.set(0, ChainAddr, RING);
    let _ = bench.doorbell(0, 1);
    bench.drive(0);
    let last = *bench.trace.descriptors().last().unwrap();
    assert_eq!((last.sequence, last.generation), (80_002, 2));
}

#[test]
fn a_watched_channel_leaves_the_same_records() {
    let bench = recorded(Detail::Descriptors);
    let function = bench.function.watched(&LintBook::new(), &bench.table);
    let mut watched = Bench { function, ..bench };
    run(&mut watched, &mixed());
    let mut plain = recorded(Detail::Descriptors);
    run(&mut plain, &mixed());
    assert_eq!(watched.trace.descriptors(), plain.trace.descriptors());
}

/// Channel 0 of a function with any trace: takes one step; true if there is more to do.
fn step<T: Trace>(function: &Function<NoFaults, T>, table: &Arc<DmaTable>) -> bool {
    let begun = match function.begin(0, table.reader().pin()) {
        Begin::Starting(pin) => function.begin(0, pin),
        begun => begun,
    };
    let Begin::Run(mut run) = begun else { return false };
    run.run();
    let Finished { more, .. } = function.finish(run);
    more
}

/// A function with `count` copies of 64 bytes whose doorbell has rung.
fn burst<T: Trace>(trace: T, count: u16) -> (Function<NoFaults, T>, Arc<DmaTable>) {
    let (table, memory) = (DmaTable::new(), memfd(SIZE));
    let descriptor = Descriptor { next: RING, ..copy(64) };
    memory.write_all_at(descriptor.as_bytes(), RING - BASE).unwrap();
    table.map(BASE, SIZE, Access::READ_WRITE, Some((memory, 0))).unwrap();
    let function = Function::new(Profile::SKX, |_| NoFaults, trace, Arc::new(Wires::default()));
    let _ = function.config_write(COMMAND, &[0x06, 0x00]);
    let set = |register: ChannelRegister, value: u64| {
        let _ =
            function.bar_write(channel_base(0) + register.offset(), &value.to_le_bytes()[..register.width()]);
    };
    set(ChainAddr, RING);
    set(DmaCount, count.into());
    (function, table)
}

#[test]
fn a_trace_that_is_switched_in_the_middle_of_a_burst_begins_and_ends_with_a_step() {
    let recorder = Recorder::new(1 << 20);
    let switch = Arc::new(Switch::of(recorder.clone(), Detail::Off));
    let (function, table) = burst(switch.clone(), 1100);
    // A step is 2^20 bytes; each of them counts as its 64 and a page.
    let step_of = |number: u64| number * 253..(number + 1) * 253;
    assert!(step(&function, &table));
    assert_eq!((recorder.events().len(), recorder.descriptors().len()), (0, 0));
    switch.set(Detail::Descriptors);
    assert!(step(&function, &table));
    let numbers: Vec<_> = recorder.descriptors().iter().map(|one| one.sequence).collect();
    assert_eq!(numbers, step_of(1).collect::<Vec<_>>());
    switch.set(Detail::Stages);
    assert!(step(&function, &table));
    let fetched: Vec<_> =
        recorder.events().iter().filter(|one| one.stage == Stage::Fetch).map(|one| one.sequence).collect();
    assert_eq!(fetched, step_of(2).collect::<Vec<_>>());
    switch.set(Detail::Off);
    assert!(step(&function, &table));
    assert!(!step(&function, &table));
    assert_eq!((recorder.descriptors().len(), recorder.events().len()), (253, 3 * 253));
}

#[test]
fn a_step_that_has_begun_ends_in_the_detail_in_which_it_began() {
    let recorder = Recorder::new(1 << 20);
    let switch = Arc::new(Switch::of(recorder.clone(), Detail::Off));
    let (function, table) = burst(switch.clone(), 1);
    let Begin::Starting(pin) = function.begin(0, table.reader().pin()) else { panic!("a start") };
    let Begin::Run(mut run) = function.begin(0, pin) else { panic!("a step") };
    // The look is the run's: here it has not begun.
    switch.set(Detail::Descriptors);
    run.run();
    switch.set(Detail::Off);
    let _ = function.finish(run);
    assert_eq!(recorder.descriptors().len(), 1);
}

/// A file that is full, a pipe that nobody reads any more: the device goes on, and every record is accounted for.
#[test]
fn a_full_disk_or_a_closed_pipe_stops_no_descriptor() {
    let (reader, pipe) = UnixStream::pair().unwrap();
    drop(reader);
    let full = File::options().write(true).open("/dev/full").unwrap();
    let places: [Box<dyn Write + Send>; 2] = [Box::new(full), Box::new(pipe)];
    for place in places {
        let writer = TraceWriter::start(place, Arc::new(ThreadPause::new())).unwrap();
        let sink = writer.sink(&Header::new(Side::Device, Detail::Stages, "a test"), 4);
        let (function, table) = burst(sink, 1000);
        while step(&function, &table) {}
        writer.drain();
        // Three stages of each, and the doorbell.
        assert_eq!(writer.counts(), TraceCounts { written: 0, lost: 3001 });
        let mut status = [0; 8];
        function.bar_read(channel_base(0) + ChannelRegister::ChanSts.offset(), &mut status);
        assert_eq!(u64::from_le_bytes(status), RING | ioat_spec::ChannelState::Idle.code());
    }
}

#[test]
fn a_file_holds_what_happened_or_says_how_much_of_it_is_missing() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let writer = TraceWriter::create(file.path(), Arc::new(ThreadPause::new())).unwrap();
    let sink = writer.sink_of(&Header::new(Side::Device, Detail::Descriptors, "a test"), 4, 64);
    let (function, table) = burst(Arc::new(Switch::of(sink, Detail::Descriptors)), 60_000);
    while step(&function, &table) {}
    writer.drain();
    let text = std::fs::read_to_string(file.path()).unwrap();
    let (mut records, mut lost, mut others, mut numbers) = (0, 0, 0, Vec::new());
    for line in text.lines() {
        match serde_json::from_str(line).unwrap() {
            Line::Executed(executed) => {
                records += 1;
                numbers.push(executed.what.sequence);
            }
            Line::Lost(one) => lost += one.what.lost,
            Line::Header(_) | Line::Event(_) => others += 1,
        }
    }
    // The header and the doorbell.
    assert_eq!((records + lost, others), (60_000, 2));
    assert!(numbers.is_sorted());
    assert_eq!(writer.counts(), TraceCounts { written: records + 1, lost });
}
