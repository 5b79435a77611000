//! The lint on register accesses: each rule with a driver that breaks it, and with the legal neighbour.

mod core_support;

use std::sync::atomic::Ordering;

use core_support::{
    Bench, COMMAND, LINUX_CHANCTRL, NOWHERE, RESET, RESUME, RING, SUSPEND, WORD, cmpl, int, null, slot,
};
use ioat_spec::ChannelRegister::{self, ChainAddr, ChanCmp, ChanCtrl, ChanErr, ChanSts, DmaCount};
use ioat_spec::ChannelState;
use ioat_spec::register::channel_base;
use vfio_user_ioat::lint::{DRY_DOORBELLS, Finding, LintBook, Place, Rule, Severity, Value};

/// What was found, by rule, with its count.
fn found(book: &LintBook) -> Vec<(Rule, u64)> {
    book.records().iter().map(|record| (record.first.rule, record.count)).collect()
}

/// The only finding.
fn only(book: &LintBook) -> Finding {
    let records = book.records();
    assert_eq!(records.len(), 1, "{book}");
    records[0].first
}

/// A ring of four, and as many of them submitted as `count` says; nothing executed.
fn submitted(count: u16) -> (Bench, std::sync::Arc<LintBook>) {
    let (bench, book) = Bench::watched();
    bench.ring(&[cmpl(null()), cmpl(null()), cmpl(null()), cmpl(null())]);
    bench.arm(0, LINUX_CHANCTRL);
    let _ = bench.doorbell(0, count);
    (bench, book)
}

/// One half of a 64-bit register of channel 0.
fn half(bench: &Bench, register: ChannelRegister, byte: u64, value: u64) {
    let _ = bench.write(channel_base(0) + register.offset() + byte, 4, value);
}

#[test]
fn chainaddr_while_active_is_a_violation_with_its_register_and_value() {
    let (bench, book) = submitted(2);
    let _ = bench.set(0, ChainAddr, slot(2));
    let finding = only(&book);
    assert_eq!((finding.rule, finding.channel), (Rule::ChainAddrWhileActive, Some(0)));
    assert_eq!((finding.place, finding.found), (Place::Register("CHAINADDR"), Value::Hex(slot(2))));
    assert_eq!(
        finding.to_string(),
        "violation chainaddr-while-active: channel 0, CHAINADDR: found 0x100080, expected no write while ACTIVE \
         (device model 3.2)"
    );
}

#[test]
fn chainaddr_in_every_other_state_is_legal_in_one_write_or_in_halves() {
    let (mut bench, book) = submitted(2);
    bench.drive(0);
    for state in [ChannelState::Idle, ChannelState::Armed, ChannelState::Suspended, ChannelState::Halted] {
        let _ = match state {
            ChannelState::Suspended => {
                let _ = bench.doorbell(0, 1);
                bench.drive(0);
                bench.command(0, SUSPEND)
            }
            ChannelState::Halted => bench.command(0, RESET),
            _ => Default::default(),
        };
        assert_eq!(bench.state(0), state);
        half(&bench, ChainAddr, 0, RING);
        half(&bench, ChainAddr, 4, 0);
    }
    assert_eq!(found(&book), []);
}

/// A driver that sees the last completion word may go on at once: CHANSTS follows a moment later (3.7).
#[test]
fn chainaddr_after_the_last_completion_word_is_legal_though_chansts_still_says_active() {
    let (mut bench, book) = submitted(2);
    let _ = bench.begin(0);
    let mut step = bench.begin(0).step();
    step.run();
    assert_eq!((bench.word(), bench.state(0)), (slot(1) | ChannelState::Idle.code(), ChannelState::Active));
    let _ = bench.set(0, ChainAddr, RING);
    let _ = bench.finish(step);
    assert_eq!(found(&book), []);
}

#[test]
fn chainaddr_must_be_aligned_to_a_descriptor() {
    let (bench, book) = Bench::watched();
    let _ = bench.set(0, ChainAddr, RING + 8);
    let finding = only(&book);
    assert_eq!((finding.rule, finding.found), (Rule::ChainAddrMisaligned, Value::Hex(RING + 8)));
    assert_eq!(finding.expected, Value::Hex(RING));
}

#[test]
fn chainaddr_while_an_error_is_latched_is_a_notice_and_after_clearing_it_is_legal() {
    let (mut bench, book) = Bench::watched();
    let _ = bench.set(0, ChainAddr, NOWHERE);
    let _ = bench.doorbell(0, 1);
    bench.drive(0);
    assert_eq!(bench.state(0), ChannelState::Halted);
    let errors = bench.chan_err(0);
    let _ = bench.set(0, ChanErr, errors);
    let _ = bench.set(0, ChainAddr, NOWHERE);
    assert_eq!(found(&book), []);

    let _ = bench.doorbell(0, 1);
    bench.drive(0);
    let _ = bench.set(0, ChainAddr, RING);
    let finding = only(&book);
    assert_eq!((finding.rule, finding.rule.severity()), (Rule::ChainAddrAfterError, Severity::Notice));
    assert_eq!((finding.found, finding.expected), (Value::Hex(errors), Value::Hex(0)));
}

#[test]
fn chancmp_must_be_aligned_to_its_word() {
    let (bench, book) = Bench::watched();
    let _ = bench.set(0, ChanCmp, WORD + 8);
    assert_eq!(found(&book), []);
    let _ = bench.set(0, ChanCmp, WORD + 4);
    let finding = only(&book);
    assert_eq!((finding.rule, finding.place), (Rule::ChanCmpMisaligned, Place::Register("CHANCMP")));
    assert_eq!((finding.found, finding.expected), (Value::Hex(WORD + 4), Value::Hex(WORD)));
}

#[test]
fn chancmp_may_change_while_idle_and_not_while_active() {
    let (mut bench, book) = submitted(2);
    let _ = bench.set(0, ChanCmp, WORD);
    bench.drive(0);
    let _ = bench.set(0, ChanCmp, WORD + 8);
    assert_eq!(found(&book), []);
    let _ = bench.doorbell(0, 3);
    let _ = bench.set(0, ChanCmp, WORD);
    let finding = only(&book);
    assert_eq!((finding.rule, finding.found), (Rule::ChanCmpWhileActive, Value::Hex(WORD)));
    assert_eq!(finding.expected, Value::Hex(WORD + 8));
}

#[test]
fn a_completion_word_without_an_address_is_a_violation_of_that_descriptor() {
    let (bench, book) = Bench::watched();
    bench.ring(&[null(), cmpl(null())]);
    let _ = bench.set(0, ChainAddr, RING);
    let _ = bench.doorbell(0, 1);
    assert_eq!(found(&book), [], "without CMPL_WR no address is needed");
    let _ = bench.doorbell(0, 2);
    let finding = only(&book);
    assert_eq!((finding.rule, finding.place), (Rule::CompletionWithoutChanCmp, Place::Descriptor(slot(1))));
}

/// Batches of one descriptor that wants an interrupt; `rearm` is asked after each.
fn batches(bench: &mut Bench, count: u16, rearm: impl Fn(u16) -> bool) {
    for n in 1..=count {
        let _ = bench.doorbell(0, n);
        bench.drive(0);
        if rearm(n) {
            let _ = bench.set(0, ChanCtrl, LINUX_CHANCTRL.into());
        }
    }
}

#[test]
fn an_interrupt_that_is_never_rearmed_is_found_after_its_dry_doorbells() {
    let (mut bench, book) = Bench::watched();
    bench.ring(&[int(null()), int(null())]);
    bench.arm(0, LINUX_CHANCTRL);
    // The first one is delivered, the second waits: from the third on the driver goes on without it.
    let limit = u16::try_from(DRY_DOORBELLS).unwrap();
    batches(&mut bench, 1 + limit, |_| false);
    assert_eq!(found(&book), []);
    let _ = bench.doorbell(0, 2 + limit);
    let finding = only(&book);
    assert_eq!((finding.rule, finding.place), (Rule::InterruptNotRearmed, Place::Register("CHANCTRL")));
    assert_eq!(finding.found, Value::Count(DRY_DOORBELLS.into()));
}

#[test]
fn coalescing_a_late_rearm_and_polling_are_legal() {
    let limit = u16::try_from(DRY_DOORBELLS).unwrap();
    // A re-arm after half of what is too much.
    let (mut bench, book) = Bench::watched();
    bench.ring(&[int(null()), int(null())]);
    bench.arm(0, LINUX_CHANCTRL);
    batches(&mut bench, 4 * limit, |n| n % (limit / 2) == 0);
    assert_eq!(found(&book), []);
    // A driver that polls: no message is wanted, no line is enabled.
    let (mut bench, book) = Bench::watched();
    bench.wires.messages_on.store(false, Ordering::Relaxed);
    bench.ring(&[int(null()), int(null())]);
    bench.arm(0, LINUX_CHANCTRL);
    batches(&mut bench, 4 * limit, |_| false);
    assert_eq!(found(&book), []);
}

#[test]
fn dmacount_must_not_go_backwards() {
    let (mut bench, book) = submitted(3);
    bench.drive(0);
    let _ = bench.doorbell(0, 3);
    assert_eq!(found(&book), [], "the same value again is a no-op (3.4)");
    let _ = bench.doorbell(0, 2);
    let finding = only(&book);
    assert_eq!((finding.rule, finding.place), (Rule::DmaCountBackwards, Place::Register("DMACOUNT")));
    assert_eq!((finding.found, finding.expected), (Value::Count(2), Value::Count(3)));
}

#[test]
fn dmacount_must_not_pass_what_is_under_way() {
    let (bench, book) = submitted(0x7fff);
    let _ = bench.doorbell(0, 0xfffe);
    assert_eq!(found(&book), []);
    let _ = bench.doorbell(0, 0x0001);
    assert_eq!(found(&book), [(Rule::DmaCountBackwards, 1)]);
}

/// The VFIO selftests' driver starts 65,535 copies at once on a descriptor that links to itself (3.4).
#[test]
fn all_of_dmacount_at_once_and_its_wrap_are_legal() {
    let (mut bench, book) = Bench::watched();
    bench.ring(&[null()]);
    bench.arm(0, LINUX_CHANCTRL);
    let _ = bench.doorbell(0, u16::MAX);
    bench.drive(0);
    for n in 0..3 {
        let _ = bench.doorbell(0, n);
        bench.drive(0);
    }
    assert_eq!((bench.state(0), found(&book)), (ChannelState::Idle, vec![]));
}

#[test]
fn a_doorbell_without_a_chain_is_a_violation() {
    let (bench, book) = Bench::watched();
    let _ = bench.doorbell(1, 0);
    assert_eq!(found(&book), []);
    let _ = bench.doorbell(1, 1);
    let finding = only(&book);
    assert_eq!((finding.rule, finding.channel), (Rule::DoorbellWithoutChain, Some(1)));
    let (bench, book) = submitted(0);
    let _ = bench.command(0, RESET);
    let _ = bench.doorbell(0, 1);
    assert_eq!(found(&book), [(Rule::DoorbellWithoutChain, 1)]);
}

/// The driver cannot know yet.
#[test]
fn a_doorbell_that_crosses_an_error_is_legal() {
    let (mut bench, book) = Bench::watched();
    let _ = bench.set(0, ChainAddr, NOWHERE);
    let _ = bench.doorbell(0, 1);
    bench.drive(0);
    let _ = bench.doorbell(0, 2);
    assert_eq!((bench.state(0), found(&book)), (ChannelState::Halted, vec![]));
}

#[test]
fn a_doorbell_while_suspended_is_a_notice_and_one_with_the_same_count_is_none() {
    let (mut bench, book) = submitted(2);
    bench.drive(0);
    let _ = bench.command(0, SUSPEND);
    let _ = bench.doorbell(0, 2);
    assert_eq!(found(&book), []);
    let _ = bench.doorbell(0, 3);
    let finding = only(&book);
    assert_eq!((finding.rule, finding.rule.severity()), (Rule::DoorbellWhileSuspended, Severity::Notice));
}

#[test]
fn a_doorbell_without_bus_mastering_is_a_violation() {
    let (bench, book) = submitted(0);
    let _ = bench.function.config_write(COMMAND, &[0x02, 0x00]);
    assert_eq!(found(&book), [], "an idle channel may lose it");
    let _ = bench.doorbell(0, 1);
    assert_eq!(found(&book), [(Rule::DoorbellWithoutBusMaster, 1)]);
}

#[test]
fn bus_mastering_that_goes_off_while_active_is_a_violation_of_that_channel() {
    let (mut bench, book) = submitted(2);
    bench.enable();
    assert_eq!(found(&book), [], "it stays on");
    let _ = bench.function.config_write(COMMAND, &[0x02, 0x00]);
    let finding = only(&book);
    assert_eq!((finding.rule, finding.channel), (Rule::BusMasterOffWhileActive, Some(0)));

    bench.enable();
    bench.drive(0);
    let _ = bench.function.config_write(COMMAND, &[0x02, 0x00]);
    assert_eq!(found(&book), [(Rule::BusMasterOffWhileActive, 1)], "what is idle does not need it");
}

#[test]
fn several_commands_at_once_are_a_violation() {
    let (bench, book) = submitted(0);
    for command in [SUSPEND, RESUME, RESET] {
        let _ = bench.command(0, command);
    }
    assert_eq!(found(&book), []);
    let _ = bench.command(0, SUSPEND | RESET);
    let finding = only(&book);
    assert_eq!((finding.rule, finding.found), (Rule::SeveralCommands, Value::Hex(0x24)));
}

#[test]
fn reset_while_active_is_a_notice_and_after_suspend_it_is_none() {
    let (bench, book) = submitted(2);
    let _ = bench.command(0, SUSPEND);
    assert_eq!(bench.state(0), ChannelState::Suspended);
    let _ = bench.command(0, RESET);
    assert_eq!(found(&book), []);
    bench.arm(0, LINUX_CHANCTRL);
    let _ = bench.doorbell(0, 2);
    let _ = bench.command(0, RESET);
    let finding = only(&book);
    assert_eq!((finding.rule, finding.rule.severity()), (Rule::ResetWhileActive, Severity::Notice));
}

#[test]
fn writes_to_read_only_registers_are_notices_of_channel_and_function() {
    let (bench, book) = Bench::watched();
    let _ = bench.set(2, ChanSts, 0);
    let _ = bench.write(0x08, 1, 0x34);
    let records = book.records();
    let places: Vec<_> = records.iter().map(|record| (record.first.channel, record.first.place)).collect();
    assert_eq!(places, [(None, Place::Register("CBVER")), (Some(2), Place::Register("CHANSTS"))]);
    assert_eq!((book.count(Rule::ReadOnlyRegister), book.total(Severity::Violation)), (2, 0));
}

/// Section 6.1, steps 3 to 9, with the widths of 2.6, and 6.2 for the version 3.4 extras.
#[test]
fn every_write_that_the_stock_drivers_make_at_probe_is_legal() {
    let (bench, book) = Bench::watched();
    let _ = bench.command(0, RESET);
    let _ = bench.write(0x03, 1, 0x09);
    for control in [0x001d, 0x0008, 0x000c, 0x0009] {
        let _ = bench.set(0, ChanCtrl, control);
    }
    half(&bench, ChanCmp, 0, WORD);
    half(&bench, ChanCmp, 4, 0);
    half(&bench, ChainAddr, 0, RING);
    half(&bench, ChainAddr, 4, 0);
    let _ = bench.set(0, ChannelRegister::DcaCtrl, 0xffff_ffff);
    let _ = bench.write(0x0c, 2, 0x3fff);
    let _ = (bench.read(0x00, 4), bench.read(0x08, 8), bench.status(0));
    assert_eq!(found(&book), []);
}

#[test]
fn bits_without_a_meaning_are_notices() {
    let (bench, book) = Bench::watched();
    let _ = bench.set(0, ChanCtrl, 0x1002);
    let finding = only(&book);
    assert_eq!((finding.rule, finding.place), (Rule::ReservedBits, Place::Register("CHANCTRL")));
    assert_eq!((finding.found, finding.expected), (Value::Hex(0x1002), Value::Hex(0)));
    // START, APPEND, ABORT: commands of versions 1 and 2.
    for command in [0x01, 0x02, 0x08, 0x40] {
        let _ = bench.command(0, command);
    }
    assert_eq!(book.count(Rule::ReservedBits), 5);
}

#[test]
fn accesses_are_naturally_aligned() {
    let (bench, book) = Bench::watched();
    for width in [1, 2, 4, 8] {
        let _ = bench.read(channel_base(0) + ChanSts.offset(), width);
        let _ = bench.write(0x2000, width, 0);
    }
    assert_eq!(found(&book), []);
    let _ = bench.read(channel_base(0) + DmaCount.offset(), 4);
    let finding = only(&book);
    assert_eq!((finding.rule, finding.place), (Rule::UnalignedAccess, Place::Offset(0x86)));
    let _ = bench.write(0x00, 3, 0);
    assert_eq!(book.count(Rule::UnalignedAccess), 2);
}

#[test]
fn a_function_reset_forgets_what_was_under_way_and_keeps_what_was_found() {
    let (bench, book) = submitted(2);
    let _ = bench.set(0, ChainAddr, RING);
    let _ = bench.function.reset();
    bench.enable();
    let _ = bench.set(0, ChainAddr, RING);
    assert_eq!(found(&book), [(Rule::ChainAddrWhileActive, 1)]);
}

#[test]
fn the_summary_counts_each_rule_and_every_name_is_a_word_of_its_own() {
    let (bench, book) = submitted(2);
    assert_eq!(book.to_string(), "lint: 0 violations, 0 notices");
    for _ in 0..3 {
        let _ = bench.set(0, ChainAddr, RING);
    }
    let _ = bench.set(0, ChanSts, 1);
    let summary = book.to_string();
    let lines: Vec<_> = summary.lines().collect();
    assert_eq!(lines[0], "lint: 3 violations, 1 notices");
    assert!(lines[1].starts_with("lint: 3 x violation chainaddr-while-active: channel 0, CHAINADDR: "));
    assert!(lines[2].starts_with("lint: 1 x notice read-only-register: channel 0, CHANSTS: "));
    let mut names: Vec<_> = Rule::ALL.iter().map(|rule| rule.name()).collect();
    names.dedup();
    assert_eq!(names.len(), Rule::ALL.len());
    assert!(names.iter().all(|name| name.chars().all(|c| c.is_ascii_lowercase() || c == '-')));
}
