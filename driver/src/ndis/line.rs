//! When a line may fire again: the engine's half of "the last DPC of the batch re-enables" (DP-5, DP-6).
//!
//! A source masks its line each time that it fires. The engine unmasks it when the batch is over: no service routine
//! and no DPC of the interrupt is running or queued. One word holds the mask and the count, so that exactly one of
//! those who end a batch sees its end, and a DPC that was queued outside any batch never unmasks.
//!
//! One race is left, and harmless: the line can fire again between the word's end of the batch and the source's
//! unmasking only if the source did so unasked; its service thread then joins the word again, and the unmasking that
//! is under way comes too early. Unmasking early costs a service routine that finds nothing: a level that is still
//! asserted is reported again, and one that is not is not. Nothing is lost, because every firing sets the mask again
//! and every mask in the word is taken out by an unmasking.

use ioat_stage::sync::atomic::{AtomicU64, Ordering};

/// The source has masked the line.
const MASKED: u64 = 1 << 63;

/// The batch of a line interrupt: the mask, and who is in it.
#[derive(Default)]
pub struct LineBatch(AtomicU64);

impl LineBatch {
    /// The line fired, and is masked: its service routine is in the batch.
    pub fn fired(&self) {
        self.update(|word| (word + 1) | MASKED);
    }

    /// `count` DPCs are about to be queued. Before queueing, so that none ends before it is counted.
    pub fn join(&self, count: u32) {
        self.update(|word| word + u64::from(count));
    }

    /// `count` DPCs or service routines have ended, or were not queued after all. True: unmask the line now.
    #[must_use]
    pub fn leave(&self, count: u32) -> bool {
        let (left, over) = (u64::from(count), MASKED + u64::from(count));
        self.update(|word| if word == over { 0 } else { word - left }) == over
    }

    /// The service routine ended, found nothing of ours, and asked for nothing: the line is another device's matter,
    /// whatever DPCs of ours are about. Unmask it now.
    pub fn unclaimed(&self) {
        self.update(|word| (word & !MASKED) - 1);
    }

    /// Changes the word in one step, and gives what it was.
    fn update(&self, change: impl Fn(u64) -> u64) -> u64 {
        let mut word = self.0.load(Ordering::Acquire);
        loop {
            match self.0.compare_exchange_weak(word, change(word), Ordering::AcqRel, Ordering::Acquire) {
                Ok(before) => return before,
                Err(now) => word = now,
            }
        }
    }
}
