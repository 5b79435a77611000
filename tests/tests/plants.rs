//! The judges are judged: each oracle passes a device that does right, and catches one that a planted fault makes do wrong.
#![expect(clippy::cast_possible_truncation, reason = "test code runs on 64-bit hosts")]

#[path = "../../device/tests/core_support/mod.rs"]
mod core_support;

use core_support::{BASE, Bench, SIZE, SOURCE, TARGET, WORD, int, pattern, slot};
use ioat_spec::{ChanSts, ChannelRegister, ChannelState, Descriptor};
use ioat_stage::RuleFaults;

/// Copies of a scenario.
const COPIES: usize = 3;
const LEN: usize = 1500;
/// From one destination to the next: what is between them is guarded.
const STRIDE: u64 = 4096;
/// CHANCTRL with the re-arm.
const REARM: u16 = 0x0001;

fn source(n: usize) -> u64 {
    SOURCE + STRIDE * n as u64
}

fn destination(n: usize) -> u64 {
    TARGET + STRIDE * n as u64 + 7
}

fn text(n: usize) -> Vec<u8> {
    pattern(LEN, 1 + n as u32)
}

/// A bench with every source filled, every other byte known, and a ring of copies that ask for words and interrupts.
fn scenario(rules: &[&str]) -> Bench<RuleFaults> {
    let bench = Bench::faulty(rules);
    bench.put(BASE, &vec![0xa5; SIZE as usize]);
    bench.put(WORD, &[0; 8]);
    for n in 0..COPIES {
        bench.put(source(n), &text(n));
    }
    let copy = |n| Descriptor {
        size: LEN as u32,
        source: source(n),
        destination: destination(n),
        ..Descriptor::default()
    };
    bench.ring(&std::array::from_fn::<_, COPIES, _>(|n| int(copy(n))));
    bench.arm(0, REARM);
    bench
}

/// Shadow memory: what all of memory must hold after the copies, guard bands between them included.
fn shadow(bench: &Bench<RuleFaults>) -> Vec<u8> {
    let mut shadow = bench.take(BASE, SIZE as usize);
    for n in 0..COPIES {
        let at = (destination(n) - BASE) as usize;
        shadow[at..at + LEN].copy_from_slice(&text(n));
    }
    let word = ChanSts::new(slot(COPIES - 1), ChannelState::Idle).into_bits();
    let at = (WORD - BASE) as usize;
    shadow[at..at + 8].copy_from_slice(&word.to_le_bytes());
    shadow
}

/// The addresses where memory is not what its shadow says.
fn wrong_bytes(rules: &[&str]) -> Vec<u64> {
    let mut bench = scenario(rules);
    let shadow = shadow(&bench);
    let _ = bench.doorbell(0, COPIES as u16);
    bench.drive(0);
    assert_eq!(bench.state(0), ChannelState::Idle);
    let memory = bench.take(BASE, SIZE as usize);
    (BASE..)
        .zip(memory.iter().zip(&shadow))
        .filter(|(_, (is, shall))| is != shall)
        .map(|(at, _)| at)
        .collect()
}

/// The copies that a completion word named, at some moment between two steps, before their data was there.
fn named_too_early(rules: &[&str]) -> Vec<usize> {
    let mut bench = scenario(rules);
    let _ = bench.doorbell(0, COPIES as u16);
    let mut early = Vec::new();
    loop {
        let more = bench.step(0);
        let named = ChanSts::from_bits(bench.word()).completed();
        let done = (0..COPIES).take_while(|&n| named >= slot(n));
        early.extend(done.filter(|&n| bench.take(destination(n), LEN) != text(n)));
        if !more {
            return early;
        }
    }
}

/// The copies whose completion, with interrupts armed, sent no message, or more than one.
fn without_their_message(rules: &[&str]) -> Vec<usize> {
    let mut bench = scenario(rules);
    let mut wrong = Vec::new();
    for n in 0..COPIES {
        let before = bench.messages().len();
        let _ = bench.doorbell(0, n as u16 + 1);
        bench.drive(0);
        assert_eq!(ChanSts::from_bits(bench.word()).completed(), slot(n), "copy {n} completes");
        if bench.messages().len() != before + 1 {
            wrong.push(n);
        }
        let _ = bench.set(0, ChannelRegister::ChanCtrl, REARM.into());
    }
    wrong
}

#[test]
fn flipped_byte_is_caught_by_shadow_memory() {
    assert!(wrong_bytes(&[]).is_empty());
    assert_eq!(wrong_bytes(&["copy: nth(2) corrupt(5)"]), [destination(1) + 5]);
}

#[test]
fn early_completion_word_is_caught_by_the_data_that_it_promises() {
    assert!(named_too_early(&[]).is_empty());
    assert_eq!(named_too_early(&["complete: nth(2) early"]), [1]);
}

#[test]
fn lost_interrupt_is_caught_by_the_count_of_messages() {
    assert!(without_their_message(&[]).is_empty());
    assert_eq!(without_their_message(&["msix: nth(2) drop"]), [1]);
}
