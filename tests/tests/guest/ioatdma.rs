//! The unmodified `ioatdma` of the guest's kernel: a driver that nobody here wrote.

use anyhow::{Context, Result, ensure};

use crate::guest::Guest;

/// What a kernel says at warning or above while `ioatdma` loads and probes, and why that is nothing.
const ALLOWED: [(&str, &str); 1] = [("ioatdma: Intel(R) QuickData Technology Driver", "the module's banner")];

/// Lets `ioatdma` take the last device.
pub(crate) fn on_the_last_device(guest: &mut Guest) -> Result<()> {
    let bdf = last(guest);
    guest.shell(&format!(
        "cd /sys/bus/pci/devices/{bdf} && echo {bdf} > driver/unbind && echo > driver_override"
    ))?;
    let mark = guest.vm.kernel_log(0, 7)?.next;
    guest.load_module("ioatdma")?;
    let driver = guest.shell(&format!("basename $(readlink /sys/bus/pci/devices/{bdf}/driver)"))?;
    ensure!(driver.trim() == "ioatdma", "bound to '{}'", driver.trim());

    let channels = guest.shell("ls /sys/class/dma")?;
    ensure!(channels.split_whitespace().count() == 4, "channels: {channels}");
    let capability = guest.shell("cat /sys/class/dma/dma0chan0/quickdata/cap")?;
    ensure!(capability.trim() == "copy intr", "capability '{}'", capability.trim());

    // The probe's own self-test copies with interrupts on the first channel. The other three are left free by the
    // kernel (nothing in Debian's kernel asks for a private channel), so each is told to fetch a descriptor that is
    // not mapped: an error halt with its interrupt, which the kernel's handler counts.
    let before = counts(guest)?;
    ensure!(before.len() == 4, "MSI-X lines: {before:?}");
    ensure!(before[0] > 0, "the self-test's interrupts: {before:?}");
    for channel in 1..4 {
        raise_error_interrupt(guest, &bdf, channel)?;
    }
    let after = counts(guest)?;
    for channel in 1..4 {
        ensure!(after[channel] > before[channel], "line {channel} does not count: {before:?} then {after:?}");
    }
    clean_log(guest, mark)
}

/// Gives the device back to VFIO, where our driver must find it usable.
pub(crate) fn hand_back(guest: &mut Guest) -> Result<()> {
    let bdf = last(guest);
    guest.shell("rmmod ioatdma")?;
    guest.shell(&format!(
        "echo vfio-pci > /sys/bus/pci/devices/{bdf}/driver_override && echo {bdf} > /sys/bus/pci/drivers_probe"
    ))?;
    let (status, report) = guest.netdma_json(&["selftest", "--on", &bdf, "--quick", "--json"])?;
    ensure!(status == 0 && report["failed"] == 0, "status {status}: {report}");
    Ok(())
}

fn last(guest: &Guest) -> String {
    guest.vm.bdf(guest.vm.devices().len() - 1)
}

fn clean_log(guest: &mut Guest, mark: u64) -> Result<()> {
    let lines = guest.vm.kernel_log(mark, 4)?.lines;
    let new: Vec<_> =
        lines.iter().filter(|line| !ALLOWED.iter().any(|(text, _)| line.text.contains(text))).collect();
    ensure!(new.is_empty(), "the kernel complains: {new:?}");
    Ok(())
}

/// Interrupts so far per line of the engine, all processors together, by vector.
fn counts(guest: &mut Guest) -> Result<Vec<u64>> {
    let text = guest.shell("grep ioat-msix /proc/interrupts")?;
    text.lines()
        .map(|line| {
            let numbers = line.split_whitespace().skip(1).map_while(|word| word.parse::<u64>().ok());
            Ok(numbers.sum())
        })
        .collect()
}

fn raise_error_interrupt(guest: &mut Guest, bdf: &str, channel: u64) -> Result<()> {
    use ioat_spec::register::{ChannelRegister as Reg, channel_base};
    use ioat_spec::{ChanCmd, ChanCtrl, ChanErr};
    let resource = guest.shell(&format!("head -n 1 /sys/bus/pci/devices/{bdf}/resource"))?;
    let bar =
        resource.split_whitespace().next().and_then(|word| word.strip_prefix("0x")).context("no BAR0")?;
    let bar = u64::from_str_radix(bar, 16)?;
    let mut poke = |register: Reg, value: u64| {
        let address = bar + channel_base(usize::try_from(channel)?) + register.offset();
        guest.shell(&format!("devmem {address:#x} {} {value:#x}", register.width() * 8)).map(drop)
    };
    let control = ChanCtrl::new().with_int_dis(true).with_any_err_abort_en(true).with_err_int_en(true);
    poke(Reg::ChanCtrl, u64::from(control.into_bits()))?;
    poke(Reg::ChainAddr, 0x7777_0000)?;
    poke(Reg::DmaCount, 1)?;
    // The start latency is a fraction of a millisecond.
    std::thread::sleep(std::time::Duration::from_millis(100));
    poke(Reg::ChanErr, u64::from(ChanErr::CHAIN_ADDRESS.into_bits()))?;
    poke(Reg::ChanCmd, u64::from(ChanCmd::new().with_reset(true).into_bits()))
}
