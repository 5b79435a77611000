//! One channel's thread: begin, run, finish, and wait when there is nothing to do.

use ioat_stage::plant::{Plant, planted};
use ioat_stage::{Faults, Trace, pause};

use super::Shared;
use crate::channel::Delay;
use crate::complete;
use crate::function::{Begin, Finished};

pub(super) fn work<F: Faults, T: Trace>(shared: &Shared<F, T>, channel: usize) {
    let bell = &shared.work[channel];
    let mut reader = shared.table.reader();
    while !shared.stopping() {
        let seen = bell.seen();
        match shared.function.begin(channel, reader.pin()) {
            Begin::Run(mut run) => {
                // Between begin, run and finish the registers answer, and others come in.
                shared.pause.point();
                run.run();
                shared.pause.point();
                let Finished { memory, .. } = shared.function.finish(run);
                if planted(Plant::InterruptBeforeWord) {
                    shared.pause.point();
                    complete::late::store(&memory);
                }
                reader = memory.unpin();
                shared.pause.ring(&shared.released);
                shared.settle();
            }
            Begin::Starting(memory) => {
                reader = memory.unpin();
                shared.pause.ring(&shared.released);
                let until = pause::deadline(&*shared.pause, shared.start_latency);
                // Another doorbell may ring meanwhile; the latency passes all the same.
                while !shared.stopping() && shared.pause.now_ns() < until {
                    shared.pause.wait(bell, bell.seen(), Some(until));
                }
            }
            Begin::Delayed(memory, delay) => {
                reader = memory.unpin();
                shared.pause.ring(&shared.released);
                pass(shared, channel, delay);
            }
            Begin::Nothing(memory) => {
                reader = memory.unpin();
                shared.pause.ring(&shared.released);
                shared.function.trace().flush();
                if !shared.stopping() {
                    shared.pause.wait(bell, seen, None);
                }
            }
        }
    }
}

/// Lets a fault's delay pass. A reset ends it: the doorbell that follows one rings.
fn pass<F: Faults, T: Trace>(shared: &Shared<F, T>, channel: usize, delay: Delay) {
    let bell = &shared.work[channel];
    let until = shared.pause.now_ns().saturating_add(delay.after_ns);
    loop {
        // Read before looking, so that no ring is slept through.
        let seen = bell.seen();
        let passed = shared.pause.now_ns() >= until;
        if passed || shared.stopping() || !shared.function.is_delayed(channel, delay) {
            return;
        }
        shared.pause.wait(bell, seen, Some(until));
    }
}
