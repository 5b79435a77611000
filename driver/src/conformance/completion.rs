//! The completion value (contract 1.6 and 4.2).

use super::assembly::{Assembly, TELLS, Taken, failed, null, passive, with};
use super::work::{LongWork, PATIENCE, Pages, midway};
use super::{Bench, Statement, Verdict, ensure, ensure_eq, statement};
use crate::contract::{Completed, Completion, CompletionValue, ControlFlags, DescriptorAddr, TransferStatus};

/// What a channel's word says between Start and the first word of the engine.
const ARMED: CompletionValue = CompletionValue(4);

pub(super) const STATEMENTS: &[Statement] = &[
    statement!(
        "C-CV-01",
        c_cv_01_address_and_status_make_the_word,
        Documented,
        Library,
        "ddi ns-netdma-_net_dma_channel_parameters; H08",
        "the word is the descriptor's address with the status in its low bits"
    ),
    statement!(
        "C-CV-02",
        c_cv_02_status_has_three_bits_and_the_address_none_of_the_low_six,
        Inferred,
        Library,
        "H08 (mask); FBSD (address)",
        "reading the word takes the status from bits 2:0 and the address from bits 63:6"
    ),
    statement!(
        "C-CV-03",
        c_cv_03_a_descriptor_without_status_update_leaves_the_word,
        Documented,
        Engine,
        "ddi ns-netdma-_net_dma_descriptor",
        "a descriptor that does not ask for the word leaves it as it was"
    ),
    statement!(
        "C-CV-04",
        c_cv_04_the_word_says_active_until_the_last_says_idle,
        Documented,
        Engine,
        "ddi ns-netdma-_net_dma_channel_parameters; H08",
        "the word of a descriptor with others behind it says Active, that of the last one Idle"
    ),
    statement!(
        "C-CV-05",
        c_cv_05_suspend_writes_status_2_with_the_last_finished_descriptor,
        Documented,
        Engine,
        "ddi nc-netdma-dma_suspend_handler",
        "after Suspend the word names the descriptor finished last, with status 2"
    ),
    statement!(
        "C-CV-06",
        c_cv_06_abort_and_reset_write_status_3,
        Documented,
        Engine,
        "ddi nc-netdma-dma_abort_handler, -dma_reset_handler",
        "after Abort and after Reset the word has status 3"
    ),
    statement!(
        "C-CV-07",
        c_cv_07_an_armed_word_completes_nothing_whatever_its_address,
        Documented,
        Engine,
        "H08; ddi ns-netdma-_net_dma_channel_parameters",
        "a word with status 4 completes nothing, even if its address bits name a pending descriptor"
    ),
    statement!(
        "C-CV-08",
        c_cv_08_one_report_completes_everything_before_it,
        Inferred,
        Engine,
        "con/supporting-null-dma-transfers",
        "the report of a descriptor completes every one before it in the chain"
    ),
    statement!(
        "C-CV-09",
        c_cv_09_interrupt_and_status_are_asked_for_one_by_one,
        Documented,
        Engine,
        "con/completing-a-dma-transfer",
        "none, status only, interrupt only, both: all four are taken, and each flag does its own part"
    ),
];

fn c_cv_01_address_and_status_make_the_word(_: &Bench<'_>) -> Verdict {
    let descriptor =
        DescriptorAddr::new(0x1_2345_6040).ok_or(super::NotPassed::Failed("an address".into()))?;
    for (status, word) in [
        (TransferStatus::Active, 0x1_2345_6040_u64),
        (TransferStatus::Idle, 0x1_2345_6041),
        (TransferStatus::Suspend, 0x1_2345_6042),
        (TransferStatus::Halted, 0x1_2345_6043),
    ] {
        ensure_eq!(CompletionValue::new(descriptor, status).0, word, "the word of {status:?}");
    }
    Ok(())
}

fn c_cv_02_status_has_three_bits_and_the_address_none_of_the_low_six(_: &Bench<'_>) -> Verdict {
    let Completion::At { descriptor, status, extra } = CompletionValue(0x1_2345_607a).decode() else {
        return Err(super::NotPassed::Failed("status 2 names a descriptor".into()));
    };
    ensure_eq!(descriptor, DescriptorAddr::new(0x1_2345_6040), "the address");
    ensure_eq!(status, TransferStatus::Suspend, "the status");
    ensure!(extra == 0x7, "bits 5:3 are kept apart: {extra:#x}");
    Ok(())
}

/// A channel with a page to copy from and one to copy to.
fn pages(assembly: &Assembly) -> Result<(Taken<'_>, Pages), super::NotPassed> {
    let taken = assembly.channel()?;
    let pages = Pages::new(&taken)?;
    Ok((taken, pages))
}

fn c_cv_03_a_descriptor_without_status_update_leaves_the_word(bench: &Bench<'_>) -> Verdict {
    let assembly = Assembly::new(bench.engine()?)?;
    let (taken, pages) = pages(&assembly)?;
    let told = taken.run(&[with(pages.copy(0), TELLS)])?;
    let before = taken.word.load();
    ensure_eq!(
        before,
        CompletionValue::new(told.last(), TransferStatus::Idle),
        "the word that was asked for"
    );
    // The interrupt of the second says that the engine has left the first behind.
    let interrupts = with(null(pages.copy(2)), ControlFlags::INTERRUPT_ON_COMPLETION);
    let silent = taken.lay(&[pages.copy(1), interrupts])?;
    taken.finished(taken.append(&silent)?)?;
    ensure_eq!(pages.written(3)?, [0, 1], "places that were written");
    ensure_eq!(taken.word.load(), before, "the word after two descriptors that ask for none");
    Ok(())
}

fn c_cv_04_the_word_says_active_until_the_last_says_idle(bench: &Bench<'_>) -> Verdict {
    let assembly = Assembly::new(bench.engine()?)?;
    let taken = assembly.channel()?;
    let work = LongWork::new(&taken)?;
    let mut seen_active = false;
    // The first word is only there while the engine works on what is behind, and this thread may be kept off the
    // processor that long: then once more, with more.
    for pairs in PATIENCE {
        let mut descriptors = work.descriptors(pairs);
        let first = descriptors[0];
        descriptors[0] = with(first, ControlFlags::STATUS_UPDATE_ON_COMPLETION);
        let laid = taken.lay_at(0, &descriptors)?;
        let active = CompletionValue::new(laid.addresses[0], TransferStatus::Active);
        let idle = CompletionValue::new(laid.last(), TransferStatus::Idle);
        let submitted = taken.start(&laid)?;
        let until = ioat_stage::pause::deadline(&*assembly.device.pause, super::assembly::LONG);
        loop {
            let word = taken.word.load();
            seen_active |= word == active;
            ensure!(
                [ARMED, active, idle].contains(&word),
                "the word was {:#x}, which is neither Armed, nor {:#x}, nor {:#x}",
                word.0,
                active.0,
                idle.0
            );
            if word == idle {
                break;
            }
            ensure!(assembly.device.pause.now_ns() < until, "the word stayed {:#x}", word.0);
            assembly.device.pause.relax();
        }
        taken.finished(submitted)?;
        if seen_active {
            return Ok(());
        }
    }
    Err(failed("the word of a descriptor with others behind it was never seen"))
}

fn c_cv_05_suspend_writes_status_2_with_the_last_finished_descriptor(bench: &Bench<'_>) -> Verdict {
    let assembly = Assembly::new(bench.engine()?)?;
    let taken = assembly.channel()?;
    let work = LongWork::new(&taken)?;
    let midway = midway(&taken, &work)?;
    let last = midway.laid.addresses[midway.finished - 1];
    ensure_eq!(taken.word.load(), CompletionValue::new(last, TransferStatus::Suspend), "the word");
    let marks = work.marks()?;
    ensure_eq!(marks, midway.finished / 2, "marks of the descriptors up to the one that the word names");
    Ok(())
}

fn c_cv_06_abort_and_reset_write_status_3(bench: &Bench<'_>) -> Verdict {
    let assembly = Assembly::new(bench.engine()?)?;
    let taken = assembly.channel()?;
    let work = LongWork::new(&taken)?;
    for call in ["Abort", "Reset"] {
        taken.start(&taken.lay_at(0, &work.descriptors(32))?)?;
        match call {
            "Abort" => taken.net.abort(&passive()?)?,
            _ => taken.net.reset(&passive()?)?,
        }
        let word = taken.word.load().0;
        ensure_eq!(word & CompletionValue::STATUS_MASK, 3, "the status after {call}, of the word {word:#x}");
    }
    Ok(())
}

fn c_cv_07_an_armed_word_completes_nothing_whatever_its_address(bench: &Bench<'_>) -> Verdict {
    let pending = DescriptorAddr::new(0x1_2345_6040).ok_or(failed("an address"))?;
    let armed = CompletionValue(pending.get() | 4);
    ensure_eq!(armed.decode(), Completion::Armed, "what the word says");

    let assembly = Assembly::new(bench.engine()?)?;
    let taken = assembly.channel()?;
    let work = LongWork::new(&taken)?;
    let midway = midway(&taken, &work)?;
    let outstanding = settled(&taken)?;
    taken.word.store(CompletionValue(midway.laid.last().get() | 4));
    let found = settled(&taken)?;
    ensure_eq!(found, outstanding, "descriptors outstanding after DPCs that found the word armed");
    ensure_eq!(taken.told.attentions(), 0, "reports of an error");
    Ok(())
}

/// Lets DPCs of the channel run, and gives what is outstanding afterwards. The third can only be queued when the
/// first has begun to run, and the second is queued; so the first two, one after the other, are over.
fn settled(taken: &Taken<'_>) -> Result<usize, super::NotPassed> {
    for _ in 0..3 {
        let level = passive()?;
        let provider = &taken.assembly.provider;
        taken.assembly.until("a DPC can be queued", || provider.queue_lost_dpc(taken.context, &level))?;
    }
    Ok(taken.net.outstanding())
}

fn c_cv_08_one_report_completes_everything_before_it(bench: &Bench<'_>) -> Verdict {
    let assembly = Assembly::new(bench.engine()?)?;
    let (taken, pages) = pages(&assembly)?;
    let laid = taken.lay(&[pages.copy(0), pages.copy(1), with(pages.copy(2), TELLS)])?;
    taken.finished(taken.start(&laid)?)?;
    let expected = Completed { last: laid.last(), sequence: 3, count: 3 };
    ensure_eq!(taken.told.reports(), [expected], "the reports");
    ensure_eq!(taken.net.outstanding(), 0, "descriptors outstanding");
    ensure_eq!(pages.written(3)?, [0, 1, 2], "places that were written");
    Ok(())
}

fn c_cv_09_interrupt_and_status_are_asked_for_one_by_one(bench: &Bench<'_>) -> Verdict {
    let none = ControlFlags::default();
    let combinations =
        [none, ControlFlags::STATUS_UPDATE_ON_COMPLETION, ControlFlags::INTERRUPT_ON_COMPLETION, TELLS];
    for flags in combinations {
        // Anew: a DPC that is late would enable an interrupt that is counted here.
        let assembly = Assembly::new(bench.engine()?)?;
        the_interrupt(&assembly, flags)?;
        the_word(&assembly, flags)?;
    }
    Ok(())
}

/// What a descriptor with `flags` does to the word, seen from the interrupt of one behind it.
fn the_word(assembly: &Assembly, flags: ControlFlags) -> Verdict {
    let (taken, pages) = pages(assembly)?;
    let interrupts = with(pages.copy(1), ControlFlags::INTERRUPT_ON_COMPLETION);
    let laid = taken.run(&[with(pages.copy(0), flags), interrupts])?;
    let told = CompletionValue::new(laid.addresses[0], TransferStatus::Active);
    let expected = if flags.updates_status() { told } else { ARMED };
    ensure_eq!(taken.word.load(), expected, "the word after a descriptor with the flags {:#x}", flags.0);
    ensure_eq!(pages.written(2)?, [0, 1], "places written with the flags {:#x}", flags.0);
    Ok(())
}

/// How many interrupts a descriptor with `flags` raises, beside the one of a descriptor behind it.
fn the_interrupt(assembly: &Assembly, flags: ControlFlags) -> Verdict {
    let (taken, pages) = pages(assembly)?;
    let stats = || assembly.provider.stats(taken.context);
    let before = stats();
    let first = taken.lay(&[with(pages.copy(0), flags)])?;
    let submitted = taken.start(&first)?;
    let own = u64::from(flags.interrupts());
    if flags.interrupts() {
        taken.finished(submitted)?;
        // The engine raises the next one only when this one is enabled again.
        assembly.until("the interrupt is enabled again", || stats().rearms > before.rearms)?;
    } else {
        assembly.until("the data is there", || pages.written(1).is_ok_and(|places| places == [0]))?;
    }
    taken.finished(taken.append(&taken.lay(&[with(pages.copy(1), TELLS)])?)?)?;
    let found = stats().interrupts - before.interrupts;
    ensure_eq!(found, own + 1, "interrupts of a descriptor with the flags {:#x} and of one more", flags.0);
    Ok(())
}
