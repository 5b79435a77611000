//! Runs the kernel's `dmatest` in a guest, and reads what it says.

use anyhow::{Result, bail};
use netdma_vm::message::KernelLine;

use crate::guests::Guest;

/// Where the module's parameters are.
const PARAMETERS: &str = "/sys/module/dmatest/parameters";

/// What a run of dmatest does.
#[derive(Clone, Debug)]
pub struct DmaTest {
    /// A channel that nobody else uses: `dma0chan1`.
    pub channel: String,
    /// Copies for each thread: of random lengths, between random places.
    pub iterations: u32,
    /// Threads.
    pub threads: u32,
    /// The buffers' size.
    pub buffer_bytes: u32,
    /// A copy may take so long.
    pub timeout_ms: u32,
}

/// What dmatest found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Copies, of all threads.
    pub tests: u64,
    /// Those that failed.
    pub failures: u64,
    /// One line for each failure: the thread, the copy's number, and why.
    pub results: Vec<String>,
}

impl DmaTest {
    /// Runs it to its end in a guest that has the module loaded.
    ///
    /// # Errors
    /// When the guest dies of it, has no such channel, or a thread does not end.
    pub fn run(&self, guest: &mut Guest) -> Result<Verdict> {
        let mark = guest.vm.kernel_log(0, 7)?.next;
        let settings = [
            ("iterations", self.iterations),
            ("threads_per_chan", self.threads),
            ("test_buf_size", self.buffer_bytes),
            ("timeout", self.timeout_ms),
        ];
        let settings: String =
            settings.map(|(name, value)| format!("echo {value} > {PARAMETERS}/{name} && ")).concat();
        // Reading `wait` returns when the last thread has ended.
        guest.shell(&format!(
            "{settings}echo {} > {PARAMETERS}/channel && echo 1 > {PARAMETERS}/run && cat {PARAMETERS}/wait",
            self.channel
        ))?;
        let verdict = Verdict::read(&guest.vm.kernel_log(mark, 7)?.lines);
        if verdict.tests != u64::from(self.iterations) * u64::from(self.threads) {
            let log = guest.shell("dmesg | grep dmatest | tail -n 20")?;
            bail!("dmatest made {} copies on {}:\n{log}", verdict.tests, self.channel);
        }
        Ok(verdict)
    }

    /// Takes its channels away from it, so that the next run has others; the module stays.
    ///
    /// # Errors
    /// When the guest dies of it.
    pub fn release(guest: &mut Guest) -> Result<()> {
        guest.shell(&format!("echo 0 > {PARAMETERS}/run")).map(drop)
    }
}

impl Verdict {
    /// Reads the module's lines among those of a kernel log.
    #[must_use]
    pub fn read(lines: &[KernelLine]) -> Self {
        let mut verdict = Self::default();
        for line in lines.iter().filter_map(|line| line.text.strip_prefix("dmatest: ")) {
            if let Some((tests, failures)) = summary(line) {
                verdict.tests += tests;
                verdict.failures += failures;
            } else if line.contains(": result #") {
                verdict.results.push(line.to_owned());
            }
        }
        verdict
    }
}

/// `dma0chan1-copy0: summary 50 tests, 0 failures 1208.45 iops ...`
fn summary(line: &str) -> Option<(u64, u64)> {
    let (tests, rest) = line.split_once(": summary ")?.1.split_once(" tests, ")?;
    let failures = rest.split(' ').next()?;
    Some((tests.parse().ok()?, failures.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summaries_are_added_and_failures_kept() {
        let lines = [
            "dmatest: Started 2 threads using dma0chan1",
            "dmatest: dma0chan1-copy0: result #19: 'data error' with src_off=0x50e dst_off=0x2fd len=0xfd (253)",
            "dmatest: dma0chan1-copy0: summary 50 tests, 1 failures 1130.14 iops 1921 KB/s (0)",
            "dmatest: dma0chan1-copy1: summary 50 tests, 0 failures 1130.14 iops 1921 KB/s (0)",
            "other: summary 7 tests, 7 failures",
        ];
        let line = |text: &str| KernelLine { level: 6, seq: 0, time_us: 0, text: text.into() };
        let verdict = Verdict::read(&lines.map(line));
        assert_eq!((verdict.tests, verdict.failures, verdict.results.len()), (100, 1, 1));
        assert!(verdict.results[0].contains("'data error'"), "{verdict:?}");
    }
}
