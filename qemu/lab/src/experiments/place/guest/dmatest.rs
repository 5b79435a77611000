//! `dmatest`, the kernel's own test of DMA engines: how it is started, and what its lines mean.
//!
//! It says its results at info level: one line for each test that failed, with the reason in quotes, and a summary for each thread.

use std::time::Duration;

use netdma_vm::message::KernelLine;
use netdma_vm::modules::LoadedModule;

use crate::experiments::observation::Observation;

/// How every line of its begins.
const SAYS: &str = "dmatest: ";

/// The module, and its parameters.
#[derive(Clone, Debug)]
pub struct DmaTest {
    /// The module.
    pub module: LoadedModule,
}

/// What is small enough for thousands of experiments: few tests of small buffers, and a patience longer than any driver's
/// watchdog (ioatdma's needs up to 2.2 s).
pub const PARAMETERS: &str =
    "run=1 wait=1 iterations=6 test_buf_size=4096 timeout=3000 max_channels=1 threads_per_chan=1";

impl DmaTest {
    /// From the bytes of a `dmatest.ko`; `more` are parameters that come after [`PARAMETERS`], and win.
    #[must_use]
    pub fn new(bytes: Vec<u8>, more: &str) -> Self {
        let params = format!("{PARAMETERS} {more}").trim().to_owned();
        Self { module: LoadedModule { name: "dmatest".into(), bytes, params } }
    }
}

/// It has begun within this time, or found no channel.
pub(crate) const BEGIN_LIMIT: Duration = Duration::from_secs(3);

/// How often its end is looked for.
pub(crate) const LOOK: Duration = Duration::from_millis(20);

/// It found a channel.
pub(crate) fn has_begun(lines: &[KernelLine]) -> bool {
    lines.iter().any(|line| line.text.contains("dmatest: Started "))
}

/// All the threads that it started have said how it went.
pub(crate) fn has_ended(lines: &[KernelLine]) -> bool {
    let said = |phrase: &'static str| {
        lines.iter().filter(move |line| line.text.contains(SAYS) && line.text.contains(phrase))
    };
    let started = said("Started ")
        .filter_map(|line| line.text.split("Started ").nth(1)?.split(' ').next()?.parse::<usize>().ok());
    let started: usize = started.sum();
    started > 0 && said(": summary ").count() >= started
}

/// From the first start of a thread to the last summary, by the guest's clock.
pub(crate) fn duration(lines: &[KernelLine]) -> Duration {
    let of = |phrase: &'static str| {
        let said = lines.iter().filter(move |line| line.text.contains(SAYS) && line.text.contains(phrase));
        said.map(|line| line.time_us)
    };
    let (begin, end) = (of("Started ").min(), of(": summary ").max());
    let took = begin.zip(end).map_or(0, |(begin, end)| end.saturating_sub(begin));
    Duration::from_micros(took)
}

/// Takes `dmatest`'s own lines out, and adds what they mean to the facts. `noticed`: the driver itself said that something is wrong.
pub(crate) fn judge(lines: &[KernelLine], noticed: bool, facts: &mut Observation) {
    let said: Vec<&str> =
        lines.iter().filter_map(|line| line.text.split_once(SAYS)).map(|(_, said)| said).collect();
    for line in said.iter().filter(|line| line.contains(": result #")) {
        let reason = line.split('\'').nth(1).unwrap_or_default();
        let text = format!("dmatest: {line}");
        match reason {
            "test passed" => {}
            // The driver said that the copy is complete.
            "data error" => facts.corruptions.push(text),
            // It neither called back nor complained.
            "test timed out" if !noticed => facts.hangs.push(text),
            _ => facts.failures.push(text),
        }
    }
    // Data that was overwritten where nothing was to be written is told apart from what was not copied.
    let guard =
        said.iter().find(|line| line.contains("overwritten!") || line.contains("buf was copied over"));
    facts.corruptions.extend(guard.map(|line| format!("dmatest: {line}")));
    if !said.iter().any(|line| line.contains(": summary ")) {
        facts.failures.push("dmatest found no channel to test, or ended without its summary".to_owned());
    }
}

/// The lines that are not `dmatest`'s.
pub(crate) fn others(lines: &[KernelLine]) -> Vec<KernelLine> {
    lines.iter().filter(|line| !line.text.contains(SAYS)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(texts: &[&str], noticed: bool) -> Observation {
        let line =
            |text: &&str| KernelLine { level: 6, seq: 1, time_us: 1, text: format!("dmatest: {text}") };
        let lines: Vec<_> = texts.iter().map(line).collect();
        let mut facts = Observation::default();
        judge(&lines, noticed, &mut facts);
        facts
    }

    const SUMMARY: &str = "dma0chan0-copy0: summary 6 tests, 0 failures 900.00 iops 1800 KB/s (0)";

    fn result(reason: &str) -> String {
        format!("dma0chan0-copy0: result #2: '{reason}' with src_off=0x1 dst_off=0x2 len=0x3 (4)")
    }

    #[test]
    fn a_summary_without_results_is_a_pass_and_none_is_a_failure() {
        assert_eq!(judged(&["Started 1 threads using dma0chan0", SUMMARY], false), Observation::default());
        assert_eq!(judged(&[], false).failures.len(), 1);
    }

    #[test]
    fn it_lasts_from_its_first_start_to_its_last_summary() {
        let line = |time_us, text: &str| KernelLine { level: 6, seq: 1, time_us, text: text.to_owned() };
        let lines = [
            line(5, "dmatest: Started 1 threads using dma0chan0"),
            line(1000, "ioatdma 0000:00:10.0: Reset channel..."),
            line(2005, "dmatest: dma0chan0-copy0: summary 6 tests, 0 failures 9.00 iops 1 KB/s (0)"),
        ];
        assert_eq!(duration(&lines), Duration::from_millis(2));
        assert_eq!(duration(&lines[..2]), Duration::ZERO);
    }

    #[test]
    fn it_has_ended_when_each_thread_has_said_how_it_went() {
        let line = |text: &str| KernelLine { level: 6, seq: 1, time_us: 1, text: format!("dmatest: {text}") };
        let mut lines = vec![line("Started 2 threads using dma0chan0"), line(SUMMARY)];
        assert!(!has_ended(&lines));
        lines.push(line("dma0chan0-copy1: summary 6 tests, 1 failures 900.00 iops 1800 KB/s (0)"));
        assert!(has_ended(&lines));
        assert!(!has_ended(&lines[1..]));
    }

    #[test]
    fn a_data_error_is_a_completion_that_lied() {
        assert_eq!(judged(&[&result("data error"), SUMMARY], true).corruptions.len(), 1);
    }

    #[test]
    fn a_test_that_timed_out_is_a_hang_unless_the_driver_said_why() {
        assert_eq!(judged(&[&result("test timed out"), SUMMARY], false).hangs.len(), 1);
        assert_eq!(judged(&[&result("test timed out"), SUMMARY], true).failures.len(), 1);
    }

    #[test]
    fn an_error_status_is_a_failure_that_was_told() {
        assert_eq!(judged(&[&result("completion error status"), SUMMARY], false).failures.len(), 1);
    }
}
