//! One wrong 8-byte completion word panics the stock driver: `netdma-vm boot` says so.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use libtest_mimic::{Failed, Trial};
use netdma_tests::program;

pub(crate) fn checks() -> Vec<Trial> {
    vec![Trial::test("guest_panic::a_misaddressed_completion_panics_ioatdma_and_boot_exits_134", || {
        misaddressed().map_err(|error| Failed::from(format!("{error:#}")))
    })]
}

fn misaddressed() -> Result<()> {
    let device =
        format!("{} --fault 'complete: nth(2) misaddress(+0x40000)'", program("vfio-user-ioat").display());
    let output = Command::new(program("netdma-vm"))
        .args(["boot", "--kernel", "6.12", "--no-bind", "--module", "ioatdma", "--device", &device])
        .args(["--timeout", "120", "--", "sleep", "30"])
        .output()
        .context("netdma-vm")?;
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.code() == Some(134), "{}: {text}", output.status);
    ensure!(text.contains("kernel BUG at drivers/dma/ioat/dma.c"), "{text}");
    Ok(())
}
