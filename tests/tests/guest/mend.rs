//! What takes kernel modules that are built here: dmatest on our device, and findings on the stock driver that a patch mends.

use std::process::Command;

use anyhow::{Result, ensure};
use libtest_mimic::{Failed, Trial};
use netdma_lab::guests::Guest;
use netdma_lab::kmod::dmatest::DmaTest;
use netdma_lab::kmod::{self, Module};
use netdma_lab::{mend, stock};
use netdma_tests::{full, program, skip};
use netdma_vm::boot::Boot;
use netdma_vm::cache::Cache;
use netdma_vm::device::DeviceProgram;
use netdma_vm::kernel::KernelChoice;
use netdma_vm::modules::ModuleRequest;

use crate::conduct;

pub(crate) fn checks() -> Vec<Trial> {
    let mut checks = vec![
        trial("dmatest_finds_nothing_on_our_device_with_the_stock_ioatdma", || dmatest("6.12")),
        trial("a_patch_mends_the_panic_of_a_wrong_completion_word", || mends("6.12", &["completion-word"])),
    ];
    if full() {
        checks.push(trial("dmatest_finds_nothing_with_the_newest_kernel", || dmatest("newest")));
        checks.push(trial("every_patch_mends_its_finding", || mends("6.12", &[])));
        checks.push(trial("every_patch_mends_its_finding_in_the_newest_kernel", || mends("newest", &[])));
    }
    checks
}

fn trial(name: &'static str, body: fn() -> Result<()>) -> Trial {
    let name = format!("guest_modules::{name}");
    Trial::test(name, move || body().map_err(|error| Failed::from(format!("{error:#}"))))
}

/// `scripts/test` puts what is needed into the cache; who runs a test alone is told how.
fn can_build(kernel: &str, test: &str) -> Result<bool> {
    let prepared = kmod::is_prepared(&KernelChoice::from(kernel))?;
    if !prepared {
        let how =
            format!("no compiler and headers in the cache: run `netdma-lab kmod dmatest --kernel {kernel}`");
        skip(test, &how);
    }
    Ok(prepared)
}

/// Two channels one after the other, two threads each; the lint watches what the stock driver does.
fn dmatest(kernel: &str) -> Result<()> {
    if !can_build(kernel, "dmatest")? {
        return Ok(());
    }
    let choice = KernelChoice::from(kernel);
    let module = kmod::build(&choice, &Module::Dmatest)?;
    let mut boot = Boot::new(Cache::from_environment()?);
    boot.kernel = choice.clone();
    let device = program("vfio-user-ioat").to_string_lossy().into_owned();
    boot.devices.push(DeviceProgram::new([device, "--lint".into()]));
    boot.bind = false;
    let module = module.to_string_lossy().into_owned();
    boot.modules = vec!["ioatdma".into(), ModuleRequest { module, params: String::new() }];
    let mut guest = Guest::new(boot.start()?, choice);
    let before = stock::interrupts(&mut guest)?;
    let iterations = if full() { 5_000 } else { 200 };
    let test = |channel: &str| DmaTest {
        channel: channel.into(),
        iterations,
        threads: 2,
        buffer_bytes: 16_384,
        timeout_ms: 20_000,
    };
    for channel in ["dma0chan1", "dma0chan3"] {
        let verdict = test(channel).run(&mut guest)?;
        ensure!(verdict.failures == 0, "{channel}: {verdict:?}");
        DmaTest::release(&mut guest)?;
    }
    let after = stock::interrupts(&mut guest)?;
    for line in [1, 3] {
        ensure!(after[line] > before[line], "channel {line} raised no interrupt: {before:?} then {after:?}");
    }
    conduct::is_what_is_written_down(&guest, 0, &[])?;
    guest.vm.power_off()?;
    Ok(())
}

/// As a user does it: the command's own table and exit code.
fn mends(kernel: &str, names: &[&str]) -> Result<()> {
    if !can_build(kernel, "mend")? {
        return Ok(());
    }
    let output =
        Command::new(program("netdma-lab")).args(["mend", "--kernel", kernel]).args(names).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.code() == Some(0), "{}:\n{text}{said}", output.status);
    let expected = if names.is_empty() { mend::CATALOG.len() } else { names.len() };
    // "completion-word  mended  panic: ... -> ..."
    let is_mended = |line: &&str| line.split_whitespace().nth(1) == Some("mended");
    let mended = text.lines().filter(is_mended).count();
    ensure!(mended == expected, "{mended} of {expected} are mended:\n{text}");
    for line in ["kernel BUG at drivers/dma/ioat/dma.c", "names no descriptor in flight"] {
        ensure!(text.contains(line), "the kernel's log is not shown, '{line}':\n{text}");
    }
    Ok(())
}
