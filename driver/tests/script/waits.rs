//! Waits: for registers, conditions and interrupts; what they say when nothing comes; and a copy by hand.

use super::script;

#[test]
fn a_wait_for_a_register_says_what_it_was_last_and_what_was_expected() {
    let ran = script("log(1);\nwait_reg(\"CHAN0.CHANSTS\", \"STATUS\", \"IDLE\", 5);", &[]);
    assert_eq!(ran.code, 1);
    let said = "line 2, column 1: CHAN0.CHANSTS.STATUS did not become IDLE(1) within 5 ms: last read \
                0x0000000000000003 STATUS=HALTED(3)";
    assert!(ran.err.contains(said), "{}", ran.err);
}

#[test]
fn a_wait_for_a_condition_says_what_was_read_last() {
    let ran = script("wait_until(|| get(\"CHAN0.CHANERR\") != 0, 5, \"an error\");", &[]);
    assert_eq!(ran.code, 1);
    assert!(
        ran.err.contains("an error did not hold within 5 ms: last seen: CHAN0.CHANERR = 0x00000000"),
        "{}",
        ran.err
    );
    let memory = script("let b = dma(4096); b.write64(8, 7); wait_until(|| b.read64(8) == 9, 5);", &[]);
    assert!(
        memory.err.contains("8 bytes of the buffer at 0x") && memory.err.contains("+ 0x8 = 0x7"),
        "{}",
        memory.err
    );
}

#[test]
fn a_wait_for_an_interrupt_says_what_came_instead() {
    let ran = script("irq_enable(\"msix\", 2);\nirq_wait(1, 5);", &[]);
    assert_eq!(ran.code, 1);
    let said = "line 2, column 1: no interrupt of MSI-X vector 1 within 5 ms: expected at least 1, last seen: 0 \
                delivered so far, 0 held back";
    assert!(ran.err.contains(said), "{}", ran.err);
    assert!(script("irq_wait(0, 5);", &[]).err.contains("no interrupt is enabled: call irq_enable first"));
    assert!(
        script("irq_enable(\"msix\", 99);", &[]).err.contains("99 vectors of MSI-X: the device offers 4")
    );
}

/// One descriptor with interrupt and completion, written by hand (device model 4).
const COPY: &str = "put(\"PCI.COMMAND\", \"BUS_MASTER\", 1); let src = dma(4096); let dst = dma(4096); let ring = dma(4096); let done = dma(4096);
    src.fill_pattern(\"random\", 1);
    fn copy(ring, src, dst, done) {
        ring.write32(0, 4096); ring.write32(4, 0x9); ring.write64(8, src.iova); ring.write64(16, dst.iova);
        put(\"CHAN0.CHANCTRL\", 1); put(\"CHAN0.CHANCMP\", done.iova); put(\"CHAN0.CHAINADDR\", ring.iova);
        put(\"CHAN0.DMACOUNT\", 1);
        wait_reg(\"CHAN0.CHANSTS\", \"STATUS\", \"IDLE\", 5000);
    }
    ";

#[test]
fn copies_by_hand_interrupt_once_each_by_every_kind_that_the_device_has() {
    for kind in ["msix", "intx"] {
        let text = format!(
            "{COPY} irq_enable(\"{kind}\", 1); put(\"INTRCTRL\", 1);
             for nth in 1..=3 {{
                 copy(ring, src, dst, done);
                 assert_eq(irq_wait(0, 5000), 1); assert_eq(irq_count(0), nth);
                 get(\"ATTNSTATUS\"); put(\"CHAN0.CHANCMD\", \"RESET\", 1);
                 wait_reg(\"CHAN0.CHANCMD\", \"RESET\", 0, 5000); put(\"INTRCTRL\", 1);
             }}
             dst.expect_same(src); assert_eq(dst.checksum(), src.checksum()); assert_eq(done.read64(0), ring.iova | 1);"
        );
        let ran = script(&text, &[]);
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{kind}");
    }
}

#[test]
fn a_vector_that_is_held_back_is_counted_apart_and_delivered_on_release() {
    let text = format!(
        "{COPY} irq_enable(\"msix\", 1); irq_hold(0); copy(ring, src, dst, done);
         wait_until(|| irq_held(0) == 1, 5000); assert_eq(irq_count(0), 0); assert_eq(irq_try_wait(0, 1), 0);
         assert_eq(irq_release(0), 1); assert_eq(irq_wait(0, 5000), 1); assert_eq(irq_held(0), 0);"
    );
    let ran = script(&text, &[]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
}

#[test]
fn memory_that_is_unmapped_is_out_of_the_engines_reach_until_it_is_mapped_again() {
    let text = format!(
        "{COPY} src.unmap(); assert(!src.is_mapped); copy_fails(ring, src, dst, done);
         fn copy_fails(ring, src, dst, done) {{
             try {{ ring.write32(0, 4096); ring.write64(8, src.iova); ring.write64(16, dst.iova);
                 put(\"CHAN0.CHAINADDR\", ring.iova); put(\"CHAN0.DMACOUNT\", 1);
                 wait_reg(\"CHAN0.CHANSTS\", \"STATUS\", \"HALTED\", 5000); }} catch(e) {{ throw e; }}
         }}
         expect_reg(\"CHAN0.CHANERR\", \"SOURCE_ADDRESS\", 1);
         put(\"CHAN0.CHANERR\", \"SOURCE_ADDRESS\", 1); src.map(); copy(ring, src, dst, done); dst.expect_same(src);"
    );
    let ran = script(&text, &[]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
}

#[test]
fn a_reset_by_either_way_forgets_what_was_written() {
    let ran = script(
        "put(\"CHAN0.CHANCMP\", 0x1000); reset(); expect_reg(\"CHAN0.CHANCMP\", 0);
         put(\"CHAN0.CHANCMP\", 0x1000); flr(); expect_reg(\"CHAN0.CHANCMP\", 0);
         let before = snapshot(); put(\"CHAN0.CHANCMP\", 0x2000); log(diff(before, snapshot()));",
        &[],
    );
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    assert!(ran.out.contains("CHAN0.CHANCMP") && ran.out.contains("0x0000000000002000"), "{}", ran.out);
}
