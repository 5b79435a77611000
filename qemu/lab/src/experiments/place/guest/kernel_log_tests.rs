//! Lines in our own words around the kernel's fixed phrases.

use super::*;
use crate::experiments::class::Class;
use crate::experiments::observation::Fired;

fn lines(texts: &[(u8, &str)]) -> Vec<KernelLine> {
    let line = |(seq, (level, text)): (u64, &(u8, &str))| KernelLine {
        level: *level,
        seq,
        time_us: seq * 1000,
        text: (*text).to_owned(),
    };
    (0..).zip(texts).map(line).collect()
}

/// The class of an experiment whose rule fired and whose kernel said this, with all its work done.
fn class_of(texts: &[(u8, &str)]) -> Class {
    let rule = "msix: nth(1) drop".to_owned();
    let fired = vec![Fired { again: rule.clone(), rule, nth: 1, channel: None, channel_nth: 1 }];
    let mut facts = Observation { fired, ..Observation::default() };
    judge(&lines(texts), &Harmless::default(), &mut facts);
    facts.class()
}

#[test]
fn a_quiet_kernel_is_masked_whatever_it_says_below_warning() {
    assert_eq!(class_of(&[]), Class::Masked);
    assert_eq!(class_of(&[(6, "mydma 0000:00:10.0: four channels"), (5, "mydma: hello")]), Class::Masked);
}

#[test]
fn each_way_to_die_is_a_crash_at_any_level() {
    for text in [
        "kernel BUG at drivers/dma/mydma/ring.c:77!",
        "BUG: unable to handle page fault for address: ffff888012345678",
        "BUG: kernel NULL pointer dereference, address: 0000000000000008",
        "Oops: general protection fault, probably for non-canonical address 0xdead: 0000 [#1] SMP",
        "BUG: KASAN: slab-use-after-free in mydma_done+0x12/0x34",
        "refcount_t: underflow; use-after-free.",
        "list_del corruption. prev->next should be 1, but was 2",
        "Kernel panic - not syncing: Fatal exception in interrupt",
    ] {
        assert_eq!(class_of(&[(1, text)]), Class::Crash, "{text}");
        assert_eq!(class_of(&[(6, text)]), Class::Crash, "{text}");
    }
}

#[test]
fn what_no_longer_goes_on_is_a_hang_and_not_a_bug() {
    for text in [
        "watchdog: BUG: soft lockup - CPU#1 stuck for 26s! [insmod:77]",
        "watchdog: CPU0: Watchdog detected hard LOCKUP on cpu 0",
        "INFO: task insmod:77 blocked for more than 30 seconds.",
        "rcu: INFO: rcu_preempt self-detected stall on CPU",
        "rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:",
        "irq 24: nobody cared (try booting with the \"irqpoll\" option)",
    ] {
        assert_eq!(class_of(&[(3, text)]), Class::Hang, "{text}");
    }
}

#[test]
fn what_is_left_behind_at_unload_is_a_leak() {
    let text = "kmem_cache_destroy mydma: Slab cache still has objects when called from mydma_exit+0x1/0x2";
    assert_eq!(class_of(&[(3, text)]), Class::SilentDataCorruption);
}

#[test]
fn a_refused_probe_is_a_failure_and_a_warning_is_noticed() {
    assert_eq!(
        class_of(&[(3, "mydma 0000:00:10.0: probe with driver mydma failed with error -5")]),
        Class::DetectedFailed
    );
    assert_eq!(
        class_of(&[(3, "ioatdma 0000:00:10.0: Self-test copy timed out, disabling")]),
        Class::DetectedFailed
    );
    assert_eq!(
        class_of(&[(4, "WARNING: CPU: 0 PID: 9 at drivers/dma/mydma.c:1 f+0x1/0x2")]),
        Class::DetectedRecovered
    );
    assert_eq!(class_of(&[(4, "ioatdma 0000:00:10.0: Reset channel...")]), Class::DetectedRecovered);
    assert_eq!(class_of(&[(3, "a line that nobody here ever saw")]), Class::DetectedRecovered);
}

#[test]
fn what_golden_runs_said_is_harmless_whatever_its_numbers() {
    let mut harmless = Harmless::default();
    harmless.learn(&lines(&[(3, "mydma 0000:00:10.0: 17 bytes left at 0xffff1234"), (3, "BUG: in a dream")]));
    let mut facts = Observation::default();
    judge(&lines(&[(3, "mydma 0000:00:11.0: 4 bytes left at 0xffff99")]), &harmless, &mut facts);
    assert_eq!(facts, Observation::default());
    // A crash is one even if it was there before.
    judge(&lines(&[(3, "BUG: in a dream")]), &harmless, &mut facts);
    assert_eq!(facts.crashes, ["BUG: in a dream"]);
}

#[test]
fn a_slow_host_is_not_held_against_the_driver() {
    let slow = "clocksource: timekeeping watchdog on CPU1: Marking clocksource 'tsc' as unstable";
    assert_eq!(class_of(&[(4, slow), (4, "workqueue: x hogged CPU for >10000us 4 times")]), Class::Masked);
}

#[test]
fn the_same_line_again_and_again_is_a_loop_and_a_few_times_is_not() {
    let text = |n: usize| vec![(4, "mydma 0000:00:10.0: resetting the engine"); n];
    assert_eq!(class_of(&text(20)), Class::DetectedRecovered);
    assert_eq!(class_of(&text(LOOP_LINES)), Class::Hang);
    let harmless = Harmless::default();
    assert_eq!(idle_loop(&lines(&text(2)), &harmless), None);
    let found = idle_loop(&lines(&text(4)), &harmless);
    assert_eq!(found, Some(("mydma 0000:00:10.0: resetting the engine".to_owned(), 4)));
}

#[test]
fn a_repeated_line_is_one_fact() {
    let mut facts = Observation::default();
    let texts = [(4, "mydma 0000:00:10.0: reset 1"), (4, "mydma 0000:00:10.0: reset 2")];
    judge(&lines(&texts), &Harmless::default(), &mut facts);
    assert_eq!(facts.recoveries, ["mydma 0000:00:10.0: reset 1"]);
}

#[test]
fn a_panic_is_named_by_its_cause_and_its_function() {
    let console = "[    1.000000] mydma: up\n\
                   [    2.345678] kernel BUG at drivers/dma/mydma.c:77!\n\
                   [    2.345700] Oops: invalid opcode: 0000 [#1] PREEMPT SMP NOPTI\n\
                   [    2.345800] RIP: 0010:mydma_reap+0x1f/0x2a0 [mydma]\n\
                   [    2.345900] Kernel panic - not syncing: Fatal exception in interrupt";
    assert_eq!(panic_of(console).unwrap(), "kernel BUG at drivers/dma/mydma.c:77! in mydma_reap");
    assert_eq!(panic_of("Kernel panic - not syncing: VFS").unwrap(), "Kernel panic - not syncing: VFS");
    assert_eq!(panic_of("[    1.000000] all is well\n"), None);
}

#[test]
fn an_excerpt_has_what_no_golden_run_says_and_dmatests_failures() {
    let mut harmless = Harmless::default();
    harmless.learn(&lines(&[(4, "mydma 0000:00:10.0: slow link, 5 MB/s")]));
    let said = lines(&[
        (4, "mydma 0000:00:10.0: slow link, 9 MB/s"),
        (6, "dmatest: dma0chan0-copy0: result #1: 'test passed' with len=0x3 (0)"),
        (3, "mydma 0000:00:10.0: Reset channel..."),
        (6, "dmatest: dma0chan0-copy0: result #2: 'test timed out' with len=0x3 (0)"),
    ]);
    assert_eq!(
        excerpt(&said, None, &harmless),
        [
            "mydma 0000:00:10.0: Reset channel...",
            "dmatest: dma0chan0-copy0: result #2: 'test timed out' with len=0x3 (0)"
        ]
    );
}

#[test]
fn an_excerpt_of_a_kernel_that_died_begins_shortly_before() {
    let before: String = (0..30).map(|n| format!("[    1.{n}] line {n}\n")).collect();
    let console = format!(
        "{before}[    2.1] kernel BUG at drivers/dma/mydma/ring.c:77!\n[    2.2]  mydma_done+0x1/0x2\n[    2.3] RIP: 0010:mydma_done+0x1/0x2\n"
    );
    let kept = excerpt(&[], Some(&console), &Harmless::default());
    assert_eq!(kept.len(), LINES_BEFORE + 2);
    assert_eq!((kept[0].as_str(), kept[LINES_BEFORE - 1].as_str()), ("line 22", "line 29"));
    assert_eq!(kept[LINES_BEFORE + 1], "RIP: 0010:mydma_done+0x1/0x2");
    assert!(excerpt(&[], Some("[    1.0] all is well\n"), &Harmless::default()).is_empty());
}

#[test]
fn a_long_excerpt_is_cut_in_its_middle() {
    let texts: Vec<String> = (0..200).map(|n| format!("mydma: reset {n}")).collect();
    let texts: Vec<(u8, &str)> = texts.iter().map(|text| (3, text.as_str())).collect();
    let kept = excerpt(&lines(&texts), None, &Harmless::default());
    assert_eq!(kept.len(), KEPT_LINES);
    assert_eq!((kept[20].as_str(), kept[39].as_str()), ("... 161 more lines ...", "mydma: reset 199"));
}
