//! The bring-up scripts on kernel VFIO: on our device, and on devices of QEMU's own. After each the function is let go: no
//! bus master any more, and the next one opens it.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use netdma_lab::guests::{Guest, NETDMA, both};
use netdma_vm::emulated;
use netdma_vm::initramfs::Addition;

/// Where the scripts are in the guest.
const SCRIPTS: &str = "/bringup";

/// QEMU's own devices of this guest: one with an interrupt and DMA, one with neither, but with I/O ports, and one with every
/// kind of BAR, interrupt and capability.
pub(crate) const EMULATED: [&str; 3] = ["edu", "pci-testdev", "e1000e"];

/// Bus mastering, in the low byte of the command register.
const BUS_MASTER: u8 = 1 << 2;

/// Starts a transfer of `edu`, which waits 100 ms before it moves anything.
const TRANSFER: &str = r#"
let memory = dma(4096, #{ iova: 0x01000000 });
write32(0x80, 0x40000);
write32(0x88, memory.iova);
write32(0x90, 4096);
write32(0x98, 3);
assert((read32(0x98) & 1) == 1, "the transfer is under way");
"#;

/// Starts an engine on a ring that goes round for 65,535 copies of 1 MiB.
const ROUND_AND_ROUND: &str = r#"
let source = dma(1048576);
let destination = dma(1048576);
let ring = chain_ring(2);
for i in 0..2 { ring.copy(i, source, destination, 1048576); }
let done = completion();
put("CHAN0.CHANCMP", done.iova);
put("CHAN0.CHAINADDR", ring.iova);
put("CHAN0.DMACOUNT", 65535);
wait_reg("CHAN0.CHANSTS", "STATUS", "ACTIVE", 5000);
"#;

/// The scripts of the repository, for the guest.
pub(crate) fn addition() -> Addition {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/bringup"));
    Addition { host: folder, guest: Some(SCRIPTS.into()) }
}

/// QEMU's `edu` device: what it is, factorials, MSI and INTx, DMA both ways, and what the IOMMU keeps from it.
pub(crate) fn edu(guest: &mut Guest) -> Result<()> {
    let said = script(guest, "edu", &emulated::bdf(0), &["--registers", &format!("{SCRIPTS}/edu.toml")])?;
    ensure!(said.contains("ID = 0x010000ed") && said.contains("MSI 1, MSI-X 0"), "{said}");
    Ok(())
}

/// Any function says what it is and has.
pub(crate) fn probe(guest: &mut Guest) -> Result<()> {
    let ours = guest.vm.bdf(0);
    let expected: [(&str, &[&str]); 4] = [
        (&emulated::bdf(0), &["1234:11e8", "something that has no class", "1 MiB", "1 message(s)", "INTA"]),
        (&emulated::bdf(1), &["1b36:0005", "I/O ports", "no line; offered here: INTx 0, MSI 0, MSI-X 0"]),
        (
            &emulated::bdf(2),
            &["8086:10d3", "Ethernet controller", "expansion ROM", "AER", "serial number", "5 message(s)"],
        ),
        (&ours, &["8086:2021", "system peripheral", "16 KiB", "MSI-X", "4 message(s)"]),
    ];
    for (bdf, parts) in expected {
        let said = script(guest, "probe-any-pci", bdf, &[])?;
        let plain = said.replace("0x", "");
        for part in parts {
            ensure!(plain.contains(part), "no '{part}' in:\n{said}");
        }
    }
    Ok(())
}

/// The scripts that bring our own device up, from one descriptor to the contract's path.
pub(crate) fn our_device(guest: &mut Guest) -> Result<()> {
    let bdf = guest.vm.bdf(0);
    for name in ["ioat-first-copy", "ioat-ring", "ioat-errors", "ioat-suspend-resume", "netdma-channel"] {
        script(guest, name, &bdf, &[])?;
    }
    Ok(())
}

/// A script that ends in the middle of a transfer, by its own assertion and by force.
pub(crate) fn cut_short_on_edu(guest: &mut Guest) -> Result<()> {
    cut_short(guest, &emulated::bdf(0), TRANSFER)?;
    edu(guest)
}

/// The same with an engine that has far more to copy than time.
pub(crate) fn cut_short_on_our_device(guest: &mut Guest) -> Result<()> {
    let bdf = guest.vm.bdf(0);
    cut_short(guest, &bdf, ROUND_AND_ROUND)?;
    script(guest, "ioat-first-copy", &bdf, &[])?;
    Ok(())
}

fn cut_short(guest: &mut Guest, bdf: &str, start: &str) -> Result<()> {
    let failing = format!("{start}\nassert(false, \"cut short\");\n");
    let ended = run(guest, &failing, bdf)?;
    ensure!(ended.0 == 1 && ended.1.contains("cut short"), "status {}: {}", ended.0, ended.1);
    is_let_go(guest, bdf)?;

    let endless = format!("{start}\nlog(\"under way\");\nsleep_ms(100000);\n");
    guest.vm.put(SCRATCH, 0o600, endless.as_bytes())?;
    guest.run(&["rm", "-f", PROGRESS])?;
    let line = format!("exec {NETDMA} script {SCRATCH} --on {bdf} > {PROGRESS} 2>&1");
    let running = guest.vm.spawn(&["sh", "-c", &line])?;
    let begun = Instant::now();
    while !guest.vm.get(PROGRESS).is_ok_and(|said| String::from_utf8_lossy(&said).contains("under way")) {
        ensure!(begun.elapsed() < Duration::from_secs(60), "the script never got anywhere");
        std::thread::sleep(Duration::from_millis(20));
    }
    guest.vm.signal(&running, libc::SIGKILL)?;
    let killed = guest.vm.wait(running)?;
    ensure!(killed.status == 128 + libc::SIGKILL, "it had ended before: {}", both(&killed));
    is_let_go(guest, bdf)
}

/// A script that is made here.
const SCRATCH: &str = "/tmp/scratch.rhai";
/// Where a script in the background says what it does.
const PROGRESS: &str = "/tmp/script-progress";

/// Runs a script of the repository, which must pass; what it printed.
fn script(guest: &mut Guest, name: &str, bdf: &str, more: &[&str]) -> Result<String> {
    let file = format!("{SCRIPTS}/{name}.rhai");
    let argv = [&[NETDMA, "script", &file, "--on", bdf], more].concat();
    let said = guest.run(&argv)?;
    is_let_go(guest, bdf)?;
    Ok(said)
}

/// Runs a script that is made here; its status and both its outputs.
fn run(guest: &mut Guest, text: &str, bdf: &str) -> Result<(i32, String)> {
    guest.vm.put(SCRATCH, 0o600, text.as_bytes())?;
    let output = guest.try_run(&[NETDMA, "script", SCRATCH, "--on", bdf])?;
    Ok((output.status, both(&output)))
}

/// Nobody has the function: it may do no DMA, and whoever comes next opens it.
fn is_let_go(guest: &mut Guest, bdf: &str) -> Result<()> {
    let config = guest.vm.get(&format!("/sys/bus/pci/devices/{bdf}/config"))?;
    let command = config.get(4).copied().unwrap_or(u8::MAX);
    ensure!(command & BUS_MASTER == 0, "{bdf} is still bus master: command {command:#04x}");
    let (status, said) = run(guest, "assert(config_read(0, 2) != 0xffff, \"it answers\");", bdf)?;
    ensure!(status == 0, "{bdf} cannot be opened again, status {status}: {said}");
    Ok(())
}
