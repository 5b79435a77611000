//! The unmodified `ioatdma` of a guest's kernel: a driver that nobody here wrote judges the device.

use anyhow::{Result, ensure};

use crate::guests::Guest;

/// What a kernel says at warning or above while `ioatdma` loads and probes, and why that is nothing.
const ALLOWED: [(&str, &str); 1] = [("ioatdma: Intel(R) QuickData Technology Driver", "the module's banner")];

/// What the stock driver made of the device.
#[derive(Clone, Debug)]
pub struct Stock {
    /// Its channels in `/sys/class/dma`.
    pub channels: usize,
    /// Its interrupts so far, by vector.
    pub interrupts: Vec<u64>,
    /// The kernel's release.
    pub release: String,
}

/// Lets `ioatdma` take the device at `bdf`, and looks at what it says.
///
/// # Errors
/// When it does not take it, or the kernel complains.
pub fn take(guest: &mut Guest, bdf: &str) -> Result<Stock> {
    guest.shell(&format!(
        "cd /sys/bus/pci/devices/{bdf} && if [ -e driver ]; then echo {bdf} > driver/unbind; fi && echo > driver_override"
    ))?;
    let mark = guest.vm.kernel_log(0, 7)?.next;
    guest.load_module("ioatdma")?;
    let driver = guest.shell(&format!("basename $(readlink /sys/bus/pci/devices/{bdf}/driver)"))?;
    ensure!(driver.trim() == "ioatdma", "{bdf} is bound to '{}' after loading ioatdma", driver.trim());
    let capability = guest.shell("cat /sys/class/dma/dma0chan0/quickdata/cap")?;
    ensure!(capability.trim() == "copy intr", "ioatdma reads the capabilities '{}'", capability.trim());
    complaints(guest, mark)?;
    Ok(Stock {
        channels: guest.shell("ls /sys/class/dma")?.split_whitespace().count(),
        interrupts: interrupts(guest)?,
        release: guest.shell("uname -r")?.trim().to_owned(),
    })
}

/// Interrupts so far of each of the engine's lines, all processors together, by vector.
///
/// # Errors
/// When there is no such line.
pub fn interrupts(guest: &mut Guest) -> Result<Vec<u64>> {
    let text = guest.shell("grep ioat-msix /proc/interrupts")?;
    let count = |line: &str| line.split_whitespace().skip(1).map_while(|word| word.parse::<u64>().ok()).sum();
    Ok(text.lines().map(count).collect())
}

/// Fails if the kernel said anything at warning or above since `mark` that is not on the list of what is harmless.
///
/// # Errors
/// The lines.
pub fn complaints(guest: &mut Guest, mark: u64) -> Result<()> {
    let lines = guest.vm.kernel_log(mark, 4)?.lines;
    let new: Vec<&str> = lines
        .iter()
        .map(|line| line.text.as_str())
        .filter(|text| !ALLOWED.iter().any(|(allowed, _)| text.contains(allowed)))
        .collect();
    ensure!(new.is_empty(), "the kernel complains: {}", new.join(" / "));
    Ok(())
}
