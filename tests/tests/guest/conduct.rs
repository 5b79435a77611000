//! What the device's lint has to say about the drivers in a guest: `vfio-user-ioat --lint`.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, Result, ensure};

use ioat_spec::GeneralRegister;
use netdma_lab::guests::Guest;

/// A finding that is expected: rule, channel or place, and why.
pub(crate) type Expected = (&'static str, &'static str, &'static str);

/// What stock `ioatdma` does, from its probe with the self-test to its removal. The one entry is not its own: it proves
/// that the lint sees this guest's register accesses.
const OF_IOATDMA: [Expected; 1] = [(
    "read-only-register",
    "CBVER",
    "this test writes CBVER through /dev/mem while ioatdma has the function",
)];

/// What it does when its first copy goes wrong.
const OF_IOATDMA_IN_TROUBLE: [Expected; 0] = [];

/// On the first device, after its selftest.
pub(crate) fn of_our_driver(guest: &mut Guest) -> Result<()> {
    is_what_is_written_down(guest, 0, &[])
}

/// On the last device, which `ioatdma` has: so far it has broken no rule. Then one is broken under it, so that an empty
/// list is known to mean something.
pub(crate) fn of_ioatdma(guest: &mut Guest) -> Result<()> {
    let last = guest.vm.devices().len() - 1;
    is_what_is_written_down(guest, last, &[])?;
    let bar = bar0(guest, last)?;
    guest.shell(&format!("devmem {:#x} 8 0", bar + GeneralRegister::CbVer.offset()))?;
    is_what_is_written_down(guest, last, &OF_IOATDMA)
}

/// On the last device: after the removal, and with our driver on it again.
pub(crate) fn of_ioatdma_to_the_end(guest: &mut Guest) -> Result<()> {
    is_what_is_written_down(guest, guest.vm.devices().len() - 1, &OF_IOATDMA)
}

/// On a device whose first copy goes wrong: the probe's self-test meets it, and `ioatdma` resets and restarts its channel.
pub(crate) fn of_ioatdma_in_trouble(guest: &mut Guest) -> Result<()> {
    for device in [1, 2] {
        let bdf = guest.vm.bdf(device);
        guest.shell(&format!(
            "cd /sys/bus/pci/devices/{bdf} && echo {bdf} > driver/unbind && echo > driver_override"
        ))?;
        guest.load_module("ioatdma")?;
        // Its probe, with the self-test, is over when the module can be removed. That the fault fired is asked below.
        guest
            .shell(&format!("rmmod ioatdma && echo vfio-pci > /sys/bus/pci/devices/{bdf}/driver_override"))?;
        guest.shell(&format!("echo {bdf} > /sys/bus/pci/drivers_probe"))?;
        let log = fs::read_to_string(guest.vm.devices()[device].log())?;
        ensure!(log.contains("fault fired"), "the rule of device {device} never fired:\n{log}");
        is_what_is_written_down(guest, device, &OF_IOATDMA_IN_TROUBLE)?;
    }
    Ok(())
}

/// The lint's findings on a device are just these.
pub(crate) fn is_what_is_written_down(guest: &Guest, device: usize, expected: &[Expected]) -> Result<()> {
    let found = findings(guest, device)?;
    let heads: BTreeSet<String> = found.iter().map(|line| head(line)).collect();
    let expected: BTreeSet<String> =
        expected.iter().map(|(rule, place, _)| format!("{rule}: {place}")).collect();
    ensure!(heads == expected, "expected {expected:#?}, found {found:#?}");
    Ok(())
}

fn bar0(guest: &mut Guest, device: usize) -> Result<u64> {
    let bdf = guest.vm.bdf(device);
    let resource = guest.shell(&format!("head -n 1 /sys/bus/pci/devices/{bdf}/resource"))?;
    let start = resource.split_whitespace().next().and_then(|word| word.strip_prefix("0x"));
    Ok(u64::from_str_radix(start.context("no BAR0")?, 16)?)
}

/// The lint's lines in a device's log, from "violation" or "notice" on.
fn findings(guest: &Guest, device: usize) -> Result<Vec<String>> {
    let log = fs::read_to_string(guest.vm.devices()[device].log())?;
    ensure!(log.contains("lint: watching the driver"), "the lint of device {device} is off:\n{log}");
    let said = log.lines().filter_map(|line| line.split_once("lint: ")).map(|(_, said)| said.to_owned());
    Ok(said.filter(|said| said.starts_with("violation ") || said.starts_with("notice ")).collect())
}

/// Its rule, and its channel or, without one, its place.
fn head(line: &str) -> String {
    let rule = line.split_whitespace().nth(1).unwrap_or_default();
    let place = line.split(": ").nth(1).and_then(|rest| rest.split(", ").next()).unwrap_or_default();
    format!("{rule} {place}")
}
