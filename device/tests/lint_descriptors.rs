//! The lint on descriptors and memory under way: each rule with a driver that breaks it, and with the legal neighbour.

mod core_support;

use std::sync::Arc;
use std::time::Duration;

use core_support::{
    BASE, Bench, LINUX_CHANCTRL, NOWHERE, RESUME, RING, SIZE, SOURCE, SUSPEND, TARGET, WORD, Wires, cmpl,
    copy, fill, memfd, null, slot,
};
use ioat_spec::ChannelRegister::{ChainAddr, ChanCmp, DmaCount};
use ioat_spec::register::channel_base;
use ioat_spec::{ChannelState, Control, Descriptor};
use ioat_stage::{NoFaults, NoTrace, ThreadPause};
use vfio_user_ioat::Profile;
use vfio_user_ioat::engine::{Engine, Parts};
use vfio_user_ioat::lint::{Finding, LintBook, Place, Rule, Value};
use vfio_user_ioat::memory::{Access, DmaTable};
use zerocopy::IntoBytes;

fn found(book: &LintBook) -> Vec<(Rule, u64)> {
    book.records().iter().map(|record| (record.first.rule, record.count)).collect()
}

fn only(book: &LintBook) -> Finding {
    let records = book.records();
    assert_eq!(records.len(), 1, "{book}");
    records[0].first
}

/// A copy whose places are its own.
fn numbered(n: u64) -> Descriptor {
    cmpl(Descriptor { source: SOURCE + 0x1000 * n, destination: TARGET + 0x1000 * n, ..copy(64) })
}

/// A ring of eight copies, armed; nothing submitted.
fn ring() -> (Bench, Arc<LintBook>) {
    let (bench, book) = Bench::watched();
    bench.ring(&(0..8).map(numbered).collect::<Vec<_>>());
    bench.arm(0, LINUX_CHANCTRL);
    (bench, book)
}

/// Writes slot `index` of the ring anew, with its link to the next one.
fn rewrite(bench: &Bench, index: usize, descriptor: Descriptor) {
    bench.put(slot(index), Descriptor { next: slot(index + 1), ..descriptor }.as_bytes());
}

#[test]
fn a_descriptor_that_changes_after_its_doorbell_is_found_field_by_field() {
    let (mut bench, book) = ring();
    let _ = bench.doorbell(0, 2);
    rewrite(&bench, 1, Descriptor { destination: TARGET + 0x8000, size: 32, ..numbered(1) });
    bench.drive(0);
    let finding = only(&book);
    assert_eq!((finding.rule, finding.channel), (Rule::DescriptorChanged, Some(0)));
    assert_eq!(finding.place, Place::Field(slot(1), "size"));
    assert_eq!((finding.found, finding.expected), (Value::Hex(32), Value::Hex(64)));
    assert_eq!(book.count(Rule::DescriptorChanged), 2, "the size and the destination");
}

/// SPDK sets the completion bit of the last slot just before its doorbell; slots are used again all the time.
#[test]
fn a_descriptor_may_change_before_its_doorbell_and_after_its_completion() {
    let (mut bench, book) = ring();
    for n in 1..40_u16 {
        rewrite(&bench, usize::from(n - 1) % 8, Descriptor { destination: TARGET, ..numbered(n.into()) });
        if n % 8 == 0 {
            bench.ring(&(0..8).map(numbered).collect::<Vec<_>>());
        }
        let _ = bench.doorbell(0, n);
        bench.drive(0);
    }
    assert_eq!(found(&book), []);
}

/// DPDK sets the FENCE bit of a slot that is submitted already, and the last two words are software's (3.4, 4.3).
#[test]
fn the_fence_bit_and_softwares_own_words_may_change_at_any_time() {
    let (mut bench, book) = ring();
    let _ = bench.doorbell(0, 3);
    let fenced = Control::from_bits(numbered(1).control).with_fence(true);
    rewrite(&bench, 1, Descriptor { control: fenced.into_bits(), user: [7, 9], ..numbered(1) });
    bench.drive(0);
    assert_eq!((bench.state(0), found(&book)), (ChannelState::Idle, vec![]));
}

#[test]
fn a_link_inside_what_is_submitted_must_not_change() {
    let (mut bench, book) = ring();
    let _ = bench.doorbell(0, 3);
    bench.put(slot(0), Descriptor { next: slot(5), ..numbered(0) }.as_bytes());
    bench.drive(0);
    let finding = only(&book);
    assert_eq!((finding.rule, finding.place), (Rule::DescriptorChanged, Place::Field(slot(0), "next")));
    assert_eq!((finding.found, finding.expected), (Value::Hex(slot(5)), Value::Hex(slot(1))));
}

/// That is how a chain grows: the link is written, then DMACOUNT.
#[test]
fn the_last_link_may_be_set_until_the_engine_has_read_it() {
    let (mut bench, book) = ring();
    bench.put(slot(1), Descriptor { next: 0, ..numbered(1) }.as_bytes());
    let _ = bench.doorbell(0, 2);
    rewrite(&bench, 1, numbered(1));
    let _ = bench.doorbell(0, 4);
    bench.drive(0);
    assert_eq!((bench.status(0), found(&book)), (slot(3) | ChannelState::Idle.code(), vec![]));
}

#[test]
fn a_link_that_changes_after_its_fetch_is_found_at_the_next_doorbell() {
    let (mut bench, book) = ring();
    let _ = bench.doorbell(0, 2);
    bench.drive(0);
    // The engine has read that it goes on at slot 2.
    bench.put(slot(1), Descriptor { next: slot(6), ..numbered(1) }.as_bytes());
    assert_eq!(found(&book), []);
    let _ = bench.doorbell(0, 3);
    let finding = only(&book);
    assert_eq!((finding.rule, finding.place), (Rule::LinkChangedAfterFetch, Place::Field(slot(1), "next")));
    assert_eq!((finding.found, finding.expected), (Value::Hex(slot(6)), Value::Hex(slot(2))));
    bench.drive(0);
    assert_eq!(bench.status(0), slot(2) | ChannelState::Idle.code(), "the engine went the old way");
}

/// 1.x: the old last descriptor is linked late, and the engine is told by CHAINADDR where to go on (bridge d).
#[test]
fn a_late_link_with_a_new_chain_is_legal() {
    let (mut bench, book) = ring();
    bench.put(slot(1), Descriptor { next: 0, ..numbered(1) }.as_bytes());
    let _ = bench.doorbell(0, 2);
    bench.drive(0);
    rewrite(&bench, 1, numbered(1));
    let _ = bench.command(0, SUSPEND);
    let _ = bench.set(0, ChainAddr, slot(2));
    let _ = bench.doorbell(0, 2);
    bench.drive(0);
    assert_eq!((bench.status(0), found(&book)), (slot(3) | ChannelState::Idle.code(), vec![]));
}

#[test]
fn a_suspended_chain_may_be_edited_before_resume() {
    let (mut bench, book) = ring();
    let _ = bench.doorbell(0, 2);
    let _ = bench.command(0, SUSPEND);
    rewrite(&bench, 1, Descriptor { size: 32, ..numbered(1) });
    let _ = bench.command(0, RESUME);
    bench.drive(0);
    assert_eq!((bench.state(0), found(&book)), (ChannelState::Idle, vec![]));
    // What comes after is watched again.
    let _ = bench.doorbell(0, 4);
    rewrite(&bench, 2, Descriptor { size: 32, ..numbered(2) });
    bench.drive(0);
    assert_eq!(found(&book), [(Rule::DescriptorChanged, 1)]);
}

/// More than one doorbell's walk reads: the rest is not watched, and the lint finds its way again when all is fetched.
#[test]
fn after_a_doorbell_too_long_to_walk_the_lint_catches_up() {
    let (mut bench, book) = ring();
    let _ = bench.doorbell(0, 8000);
    let _ = bench.doorbell(0, 8001);
    bench.drive(0);
    assert_eq!((bench.state(0), found(&book)), (ChannelState::Idle, vec![]));
    let _ = bench.doorbell(0, 8003);
    rewrite(&bench, 2, Descriptor { size: 32, ..numbered(2) });
    bench.drive(0);
    let finding = only(&book);
    assert_eq!((finding.rule, finding.place), (Rule::DescriptorChanged, Place::Field(slot(2), "size")));
}

#[test]
fn a_chain_that_is_not_mapped_is_the_engines_error_and_no_finding() {
    for address in [NOWHERE, BASE + SIZE] {
        let (mut bench, book) = Bench::watched();
        let _ = bench.set(0, ChanCmp, WORD);
        let _ = bench.set(0, ChainAddr, address);
        let _ = bench.doorbell(0, 3);
        bench.drive(0);
        assert_eq!((bench.state(0), found(&book)), (ChannelState::Halted, vec![]));
    }
}

/// What an unmap of `len` bytes at `first` would take from the engine.
fn unmapped(bench: &Bench, first: u64, len: u64) -> Option<Place> {
    let findings = bench.function.inspect_unmap(first, first + (len - 1));
    assert!(findings.len() <= 1 && findings.iter().all(|finding| finding.rule == Rule::UnmappedTooEarly));
    findings.first().map(|finding| finding.place)
}

#[test]
fn what_is_under_way_is_needed_and_what_is_completed_is_not() {
    let (mut bench, _) = ring();
    assert_eq!(unmapped(&bench, BASE, SIZE), None, "nothing is submitted");
    let _ = bench.doorbell(0, 2);
    assert_eq!(unmapped(&bench, SOURCE + 0x103f, 1), Some(Place::Field(slot(1), "source")));
    assert_eq!(unmapped(&bench, TARGET, 0x1000), Some(Place::Field(slot(0), "destination")));
    assert_eq!(unmapped(&bench, RING, 64), Some(Place::Descriptor(slot(0))));
    assert_eq!(unmapped(&bench, WORD, 0x1000), Some(Place::CompletionWord(WORD)));
    for (first, len) in [(SOURCE + 0x1040, 0x1000), (TARGET + 64, 0xfc0), (slot(2), 64), (WORD + 8, 8)] {
        assert_eq!(unmapped(&bench, first, len), None, "beside it: {first:#x}");
    }
    bench.drive(0);
    assert_eq!(unmapped(&bench, BASE, SIZE), None, "all is completed");
}

/// The driver knows from the word, before CHANSTS says so.
#[test]
fn what_the_completion_word_reports_may_be_unmapped_at_once() {
    let (mut bench, _) = ring();
    let _ = bench.doorbell(0, 1);
    let _ = bench.begin(0);
    let mut step = bench.begin(0).step();
    assert_eq!(unmapped(&bench, SOURCE, 64), Some(Place::Field(slot(0), "source")));
    step.run();
    assert_eq!(bench.state(0), ChannelState::Active);
    assert_eq!(unmapped(&bench, BASE, SIZE), None);
    let _ = bench.finish(step);
}

#[test]
fn a_null_has_no_buffers_and_a_fill_no_source() {
    let (bench, _) = Bench::watched();
    bench.ring(&[Descriptor { source: SOURCE, destination: TARGET, ..null() }, fill(64, SOURCE + 0x1000)]);
    bench.arm(0, LINUX_CHANCTRL);
    let _ = bench.doorbell(0, 1);
    assert_eq!((unmapped(&bench, SOURCE, 64), unmapped(&bench, TARGET, 64)), (None, None));
    let _ = bench.doorbell(0, 2);
    assert_eq!(unmapped(&bench, SOURCE + 0x1000, 64), None, "a pattern is no address");
    assert_eq!(unmapped(&bench, TARGET, 64), Some(Place::Field(slot(1), "destination")));
}

/// With a page break the data goes on elsewhere: what follows the first page is not named.
#[test]
fn a_page_break_names_the_rest_of_its_page_and_the_next_one() {
    let (bench, _) = Bench::watched();
    let broken = Control::from_bits(copy(64).control).with_src_page_break(true);
    let source = SOURCE + 0xff0;
    let next_source = SOURCE + 0x8000;
    bench.ring(&[Descriptor { control: broken.into_bits(), source, next_source, ..copy(64) }]);
    bench.arm(0, LINUX_CHANCTRL);
    let _ = bench.doorbell(0, 1);
    let needed = Some(Place::Field(slot(0), "source"));
    assert_eq!([unmapped(&bench, source, 16), unmapped(&bench, next_source + 47, 1)], [needed, needed]);
    assert_eq!([unmapped(&bench, SOURCE + 0x1000, 64), unmapped(&bench, next_source + 48, 1)], [None, None]);
}

#[test]
fn a_suspended_or_reset_channel_needs_nothing() {
    let (bench, _) = ring();
    let _ = bench.doorbell(0, 2);
    let _ = bench.command(0, SUSPEND);
    assert_eq!(unmapped(&bench, BASE, SIZE), None);
    let _ = bench.command(0, core_support::RESET);
    assert_eq!(unmapped(&bench, BASE, SIZE), None);
}

/// The engine around the core: a start latency that never passes keeps the descriptor under way.
#[test]
fn an_engine_writes_down_the_unmap_of_a_buffer_that_is_under_way() {
    let (table, book) = (DmaTable::new(), LintBook::new());
    let memory = memfd(SIZE);
    // Above TARGET.
    let upper = BASE + SIZE / 4 * 3;
    for (iova, len) in [(BASE, upper - BASE), (upper, SIZE / 4)] {
        let source = Some((memory.try_clone().unwrap(), iova - BASE));
        table.map(iova, len, Access::READ_WRITE, source).unwrap();
    }
    let parts = Parts {
        profile: Profile::SKX,
        table,
        interrupts: Arc::new(Wires::default()),
        trace: NoTrace,
        pause: Arc::new(ThreadPause::new()),
        start_latency: Duration::from_secs(3600),
    };
    let engine = Engine::start_watched(parts, |_| NoFaults, Some(book.clone())).unwrap();
    let descriptor = cmpl(copy(64));
    std::os::unix::fs::FileExt::write_all_at(&memory, descriptor.as_bytes(), RING - BASE).unwrap();
    let write = |offset, bytes: &[u8]| engine.bar_write(channel_base(0) + offset, bytes);
    engine.config_write(core_support::COMMAND, &[0x06, 0x00]);
    write(ChanCmp.offset(), &WORD.to_le_bytes());
    write(ChainAddr.offset(), &RING.to_le_bytes());
    write(DmaCount.offset(), &[1, 0]);

    assert!(engine.unmap_range(BASE, 0x1000).is_err(), "it cuts a map");
    assert_eq!(found(&book), [], "and so it takes nothing away");
    engine.unmap_range(upper, SIZE / 4).unwrap();
    assert_eq!(found(&book), [], "nothing is named there");
    engine.unmap_range(BASE, upper - BASE).unwrap();
    let finding = only(&book);
    assert_eq!((finding.rule, finding.found), (Rule::UnmappedTooEarly, Value::Hex(BASE)));
    assert_eq!(finding.place, Place::CompletionWord(WORD));
    engine.reset();
    engine.unmap_all();
    assert_eq!(found(&book), [(Rule::UnmappedTooEarly, 1)]);
}
