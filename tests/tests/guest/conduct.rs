//! What the device's lint has to say about the drivers in a guest: `vfio-user-ioat --lint`.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Result, ensure};

use netdma_lab::guests::Guest;

/// What stock `ioatdma` does, from its probe with the self-test to its removal: rule, channel, and why.
const OF_IOATDMA: [(&str, &str, &str); 0] = [];

/// On the first device, after its selftest.
pub(crate) fn of_our_driver(guest: &mut Guest) -> Result<()> {
    let found = findings(guest, 0)?;
    ensure!(found.is_empty(), "{found:#?}");
    Ok(())
}

/// On the last device: from the probe to the removal, with our driver before and after.
pub(crate) fn of_ioatdma(guest: &mut Guest) -> Result<()> {
    let found = findings(guest, guest.vm.devices().len() - 1)?;
    let heads: BTreeSet<String> = found.iter().map(|line| head(line)).collect();
    let expected: BTreeSet<String> =
        OF_IOATDMA.iter().map(|(rule, channel, _)| format!("{rule}: {channel}")).collect();
    ensure!(heads == expected, "expected {expected:#?}, found {found:#?}");
    Ok(())
}

/// The lint's lines in a device's log, from "violation" or "notice" on.
fn findings(guest: &Guest, device: usize) -> Result<Vec<String>> {
    let log = fs::read_to_string(guest.vm.devices()[device].log())?;
    ensure!(log.contains("lint: watching the driver"), "the lint of device {device} is off:\n{log}");
    let said = log.lines().filter_map(|line| line.split_once("lint: ")).map(|(_, said)| said.to_owned());
    Ok(said.filter(|said| said.starts_with("violation ") || said.starts_with("notice ")).collect())
}

/// Its rule and its channel.
fn head(line: &str) -> String {
    let rule = line.split_whitespace().nth(1).unwrap_or_default();
    let channel = line.split(": ").nth(1).and_then(|rest| rest.split(", ").next()).unwrap_or_default();
    format!("{rule} {channel}")
}
