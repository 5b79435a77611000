//! One guest with one device under one rule, one `ioatdma` and `dmatest`: what was seen.

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use netdma_vm::boot::Boot;
use netdma_vm::cache::Cache;
use netdma_vm::device::DeviceProgram;
use netdma_vm::error::VmError;
use netdma_vm::kernel::KernelChoice;
use netdma_vm::machine::Machine;
use netdma_vm::modules::ModuleRequest;

use super::catalog::COPIES;
use crate::guests::Guest;
use crate::kmod::dmatest::{DmaTest, Verdict};
use crate::programs;

/// How long the channel is left alone after the copies.
const IDLE_S: u64 = 3;

/// A guest's boot, and each request to it, must end within this; a guest without KVM on a busy machine needs much of it.
const LIMIT: Duration = Duration::from_secs(180);

/// What was seen in a guest.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The kernel stopped.
    pub panicked: bool,
    /// dmatest's own, if it came to an end.
    pub verdict: Option<Verdict>,
    /// Channel resets that the driver told of.
    pub resets: usize,
    /// The lines of `ioatdma` and `dmatest`, and what a dying kernel said.
    pub log: Vec<String>,
    /// How long the channel was left alone.
    pub idle_s: u64,
}

/// A guest that boots.
pub(super) struct Trial {
    vm: Machine,
    kernel: KernelChoice,
}

impl Trial {
    /// Starts the guest; it boots while the caller does something else. `driver` is the module's name or its file.
    pub(super) fn start(kernel: &KernelChoice, rule: &str, driver: &str, dmatest: &Path) -> Result<Self> {
        let mut boot = Boot::new(Cache::from_environment()?);
        boot.kernel = kernel.clone();
        let device = programs::host("vfio-user-ioat")?.to_string_lossy().into_owned();
        boot.devices.push(DeviceProgram::new([device, "--fault".into(), rule.into()]));
        let file = dmatest.to_string_lossy().into_owned();
        boot.modules =
            [driver.to_owned(), file].map(|module| ModuleRequest { module, params: String::new() }).into();
        boot.bind = false;
        boot.memory = "512M".into();
        boot.limit = Some(LIMIT);
        Ok(Self { vm: boot.launch()?, kernel: kernel.clone() })
    }

    /// Runs dmatest, leaves the channel alone for a while, and reads the log.
    pub(super) fn watch(mut self) -> Result<Seen> {
        self.vm.wait_until_ready().context("the guest boots")?;
        let mut guest = Guest::new(self.vm, self.kernel);
        let test = DmaTest {
            channel: "dma0chan1".into(),
            iterations: COPIES,
            threads: 1,
            buffer_bytes: 4096,
            timeout_ms: 2500,
        };
        let seen = match test.run(&mut guest) {
            Ok(verdict) => after_a_while(&mut guest, verdict)?,
            Err(error) => dead(&error).ok_or(error)?,
        };
        let log = guest.vm.devices()[0].log();
        let log = fs::read_to_string(log).with_context(|| log.display().to_string())?;
        ensure!(log.contains("fault fired"), "the rule never fired; the device said:\n{log}");
        Ok(seen)
    }
}

fn after_a_while(guest: &mut Guest, verdict: Verdict) -> Result<Seen> {
    sleep(Duration::from_secs(IDLE_S));
    let lines = guest.vm.kernel_log(0, 7)?.lines;
    let log: Vec<String> = lines.into_iter().map(|line| line.text).filter(|text| is_ours(text)).collect();
    let resets = log.iter().filter(|text| text.ends_with("Reset channel...")).count();
    Ok(Seen { panicked: false, verdict: Some(verdict), resets, log, idle_s: IDLE_S })
}

/// What a kernel that stopped left on its console.
fn dead(error: &anyhow::Error) -> Option<Seen> {
    let Some(VmError::Panicked { console_tail }) = error.downcast_ref::<VmError>() else { return None };
    let lines = console_tail.lines().map(without_time);
    let mut log: Vec<String> =
        lines.filter(|text| is_ours(text) || is_last_word(text)).map(str::to_owned).collect();
    // The place of the BUG comes twice.
    let mut seen = HashSet::new();
    log.retain(|text| seen.insert(text.clone()));
    Some(Seen { panicked: true, verdict: None, resets: 0, log, idle_s: IDLE_S })
}

fn is_ours(text: &str) -> bool {
    let of_the_driver = text.starts_with("ioatdma") || text.starts_with("dmatest");
    // Of each module that is not Debian's own, and of every byte that is wrong.
    let noise = ["out-of-tree", "verification failed", "not copied!", "errors suppressed"];
    of_the_driver && !noise.iter().any(|part| text.contains(part))
}

fn is_last_word(text: &str) -> bool {
    let of_the_driver = text.starts_with("RIP: ") && text.ends_with("[ioatdma]");
    of_the_driver || ["kernel BUG at", "Kernel panic"].iter().any(|part| text.starts_with(part))
}

/// `[    7.227384] text`
fn without_time(line: &str) -> &str {
    line.strip_prefix('[').and_then(|line| line.split_once("] ")).map_or(line, |(_, text)| text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_kernels_last_words_are_kept_and_other_errors_are_errors() {
        let console_tail = "[    7.2] kernel BUG at drivers/dma/ioat/dma.c:703!\n[    7.3]  ? x+0x10/0x30\n\
                            [    7.4] Kernel panic - not syncing: Fatal exception in interrupt\n";
        let error = anyhow::Error::from(VmError::Panicked { console_tail: console_tail.into() });
        let seen = dead(&error.context("`sh`")).unwrap();
        assert!(seen.panicked && seen.verdict.is_none());
        assert_eq!(seen.log[0], "kernel BUG at drivers/dma/ioat/dma.c:703!");
        assert_eq!(seen.log.len(), 2);
        assert!(dead(&anyhow::anyhow!("no channel")).is_none());
    }

    #[test]
    fn lines_of_every_wrong_byte_are_left_out() {
        assert!(is_ours("ioatdma 0000:00:10.0: Reset channel..."));
        assert!(!is_ours("dmatest: dma0chan1-copy0: dstbuf[0x2fd] not copied! Expected d1, got 22"));
        assert!(!is_ours("ioatdma: loading out-of-tree module taints kernel."));
        assert!(!is_ours("pci 0000:00:10.0: x"));
    }
}
