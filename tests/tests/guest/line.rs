//! Devices with fewer vectors than channels: none, so that only the line (INTx) is left, and one for four channels. Our
//! driver over kernel VFIO, then the kernel's own on the same functions.

use anyhow::{Result, ensure};
use libtest_mimic::Trial;
use netdma_lab::guests::{Guest, NETDMA};
use netdma_lab::stock;
use netdma_vm::kernel::KernelChoice;
use serde_json::Value;

use crate::guest::Shared;
use crate::our_driver::sum;

/// The device without vectors, and the one with one.
const LINE: usize = 0;
const SHARED: usize = 1;

/// One guest for all of them.
pub(crate) fn checks() -> Vec<Trial> {
    let kernel = KernelChoice::Version("6.12".into());
    let guest = Shared::new("line", kernel, &[&["--vectors", "0"], &["--vectors", "1"]]);
    vec![
        guest.check("netdma_info_names_the_kind_of_interrupt", info),
        guest.check("our_driver_passes_by_the_line_alone", our_driver_by_the_line),
        guest.check("our_driver_passes_with_one_message_for_four_channels", our_driver_by_one_message),
        guest.check("stock_ioatdma_passes_by_the_line", ioatdma_by_the_line),
        guest.check("stock_ioatdma_falls_back_from_one_message_to_the_line", ioatdma_with_one_message),
        guest.check("the_function_goes_from_ioatdma_by_the_line_back_to_vfio", hand_back),
        guest.power_off(),
    ]
}

fn info(guest: &mut Guest) -> Result<()> {
    for (device, vectors, kind) in [(LINE, 0, "INTx"), (SHARED, 1, "MSI-X")] {
        let bdf = guest.vm.bdf(device);
        let (status, report) = guest.netdma::<Value>(&["info", "--on", &bdf, "--json"], |_| ())?;
        ensure!(status == 0 && report["msix_vectors"] == vectors, "{report}");
        ensure!(report["intx"] == true && report["interrupt_kind"] == kind, "{report}");
    }
    Ok(())
}

fn our_driver_by_the_line(guest: &mut Guest) -> Result<()> {
    let before = line_interrupts(guest, "vfio-intx").unwrap_or(0);
    // The kernel's count is there only while the line is enabled, so it is read in the middle.
    let bdf = guest.vm.bdf(LINE);
    let line = format!(
        "{NETDMA} selftest --on {bdf} --quick --json > /tmp/line.json 2> /dev/null & \
         most=0; while kill -0 $! 2> /dev/null; do grep vfio-intx /proc/interrupts > /tmp/line.now \
         && cp /tmp/line.now /tmp/line.last; done; wait $!; echo $?"
    );
    let status = guest.shell(&line)?;
    let report: Value = serde_json::from_str(guest.shell("tail -n 1 /tmp/line.json")?.trim())?;
    ensure!(status.trim() == "0" && report["failed"] == 0, "status {status}: {report}");
    ensure!(report["interrupt_kind"] == "INTx", "{report}");
    ensure!(sum(&report, "bytes") > 1 << 20 && sum(&report, "interrupts") > 100, "{report}");
    ensure!(sum(&report, "recovered") == 0, "interrupts were lost on the line: {report}");
    let counted = counts(&guest.shell("cat /tmp/line.last")?);
    ensure!(counted > before, "the kernel counted {counted} interrupts on the line, {before} before");
    eprintln!("    {counted} INTx of the kernel, {} of the driver", sum(&report, "interrupts"));
    Ok(())
}

fn our_driver_by_one_message(guest: &mut Guest) -> Result<()> {
    let bdf = guest.vm.bdf(SHARED);
    let (status, report) = guest.netdma::<Value>(&["selftest", "--on", &bdf, "--quick", "--json"], |_| ())?;
    ensure!(status == 0 && report["failed"] == 0, "status {status}: {report}");
    ensure!(report["interrupt_kind"] == "MSI-X", "{report}");
    let vectors = report["vectors"].as_array().map(Vec::as_slice).unwrap_or_default();
    ensure!(vectors.len() == 1, "{report}");
    ensure!(vectors[0]["interrupts"].as_u64() > Some(100), "{report}");
    ensure!(sum(&report, "recovered") == 0, "interrupts of a shared message were lost: {report}");
    Ok(())
}

fn ioatdma_by_the_line(guest: &mut Guest) -> Result<()> {
    on_the_line(guest, LINE)
}

/// It asks for exactly one vector for each channel, gets one, tries MSI, which the device has not, and takes the line.
fn ioatdma_with_one_message(guest: &mut Guest) -> Result<()> {
    on_the_line(guest, SHARED)
}

/// `ioatdma` takes the device: it must register four channels and pass its self-test by the line, with a clean log.
fn on_the_line(guest: &mut Guest, device: usize) -> Result<()> {
    let bdf = guest.vm.bdf(device);
    let before = line_interrupts(guest, "ioat-intx").unwrap_or(0);
    let mark = guest.vm.kernel_log(0, 7)?.next;
    guest.shell(&format!(
        "cd /sys/bus/pci/devices/{bdf} && if [ -e driver ]; then echo {bdf} > driver/unbind; fi && \
         echo > driver_override"
    ))?;
    guest.load_module("ioatdma")?;
    // A module that was there before does not look for new devices by itself.
    guest.shell(&format!(
        "[ -e /sys/bus/pci/devices/{bdf}/driver ] || echo {bdf} > /sys/bus/pci/drivers_probe"
    ))?;
    let driver = guest.shell(&format!("basename $(readlink /sys/bus/pci/devices/{bdf}/driver)"))?;
    ensure!(driver.trim() == "ioatdma", "{bdf} is bound to '{}'", driver.trim());
    let channels = guest.shell(&format!("ls /sys/bus/pci/devices/{bdf}/dma"))?;
    ensure!(channels.split_whitespace().count() == 4, "channels of {bdf}: {channels}");
    let modes = guest.shell("grep ioat /proc/interrupts")?;
    ensure!(!modes.contains("ioat-msi"), "not by the line: {modes}");
    let after = line_interrupts(guest, "ioat-intx")?;
    ensure!(after > before, "the self-test raised no interrupt: {before}, then {after}");
    eprintln!("    {}", modes.trim());
    stock::complaints(guest, mark)
}

fn hand_back(guest: &mut Guest) -> Result<()> {
    guest.shell("rmmod ioatdma")?;
    let bdf = guest.vm.bdf(LINE);
    guest.shell(&format!(
        "echo vfio-pci > /sys/bus/pci/devices/{bdf}/driver_override && echo {bdf} > /sys/bus/pci/drivers_probe"
    ))?;
    let (status, report) = guest.netdma::<Value>(&["selftest", "--on", &bdf, "--quick", "--json"], |_| ())?;
    ensure!(status == 0 && report["failed"] == 0, "status {status}: {report}");
    ensure!(report["interrupt_kind"] == "INTx", "{report}");
    Ok(())
}

/// Interrupts so far on the lines of this handler, which must go through the IO-APIC.
fn line_interrupts(guest: &mut Guest, handler: &str) -> Result<u64> {
    let text = guest.shell(&format!("grep {handler} /proc/interrupts"))?;
    ensure!(
        text.lines().all(|line| line.contains("IO-APIC") || line.contains("IR-IO-APIC")),
        "no line: {text}"
    );
    Ok(counts(&text))
}

/// The sum of all counts in lines of `/proc/interrupts`.
fn counts(text: &str) -> u64 {
    let of =
        |line: &str| line.split_whitespace().skip(1).map_while(|word| word.parse::<u64>().ok()).sum::<u64>();
    text.lines().map(of).sum()
}
