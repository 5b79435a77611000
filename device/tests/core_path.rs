//! The data path of the device core by itself: descriptors, completion words, interrupts.

mod core_support;

use core_support::{Bench, LINUX_CHANCTRL, SOURCE, TARGET, WORD, copy, int, pattern, slot};
use ioat_spec::ChannelState;

#[test]
fn a_copy_lands_with_its_word_and_its_interrupt() {
    let mut bench = Bench::new();
    let data = pattern(4096, 1);
    bench.put(SOURCE, &data);
    bench.ring(&[int(copy(4096))]);
    bench.arm(0, LINUX_CHANCTRL);
    assert_eq!(bench.doorbell(0, 1).wake, 1);
    bench.drive(0);
    assert_eq!(bench.take(TARGET, 4096), data);
    assert_eq!(bench.word(), slot(0) | ChannelState::Idle.code());
    assert_eq!(bench.status(0), slot(0) | ChannelState::Idle.code());
    assert_eq!(bench.messages(), [0]);
    assert_eq!(bench.take(WORD - 8, 8), [0; 8]);
    assert_eq!(bench.take(WORD + 8, 8), [0; 8]);
}
