//! The unmodified `ioatdma` of the guest's kernel: a driver that nobody here wrote.

use anyhow::{Context, Result, ensure};

use netdma_lab::guests::Guest;
use netdma_lab::stock;
use serde_json::Value;

/// Lets `ioatdma` take the last device.
pub(crate) fn on_the_last_device(guest: &mut Guest) -> Result<()> {
    let bdf = last(guest);
    let found = stock::take(guest, &bdf)?;
    ensure!(found.channels == 4, "channels in /sys/class/dma: {}", found.channels);
    let mark = guest.vm.kernel_log(0, 7)?.next;

    // The probe's own self-test copies with interrupts on the first channel. The other three are left free by the
    // kernel (nothing in Debian's kernel asks for a private channel), so each is told to fetch a descriptor that is
    // not mapped: an error halt with its interrupt, which the kernel's handler counts.
    let before = found.interrupts;
    ensure!(before.len() == 4, "MSI-X lines: {before:?}");
    ensure!(before[0] > 0, "the self-test's interrupts: {before:?}");
    for channel in 1..4 {
        raise_error_interrupt(guest, &bdf, channel)?;
    }
    let after = stock::interrupts(guest)?;
    for channel in 1..4 {
        ensure!(after[channel] > before[channel], "line {channel} does not count: {before:?} then {after:?}");
    }
    stock::complaints(guest, mark)
}

/// Gives the device back to VFIO, where our driver must find it usable.
pub(crate) fn hand_back(guest: &mut Guest) -> Result<()> {
    let bdf = last(guest);
    guest.shell("rmmod ioatdma")?;
    guest.shell(&format!(
        "echo vfio-pci > /sys/bus/pci/devices/{bdf}/driver_override && echo {bdf} > /sys/bus/pci/drivers_probe"
    ))?;
    let (status, report) = guest.netdma::<Value>(&["selftest", "--on", &bdf, "--quick", "--json"], |_| ())?;
    ensure!(status == 0 && report["failed"] == 0, "status {status}: {report}");
    Ok(())
}

fn last(guest: &Guest) -> String {
    guest.vm.bdf(guest.vm.devices().len() - 1)
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
