//! `netdma info`: what an engine is, what it can do, and how its channels stand. Reads, and starts nothing.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use anyhow::Context;
use ioat_spec::register::channel_base;
use ioat_spec::{ChanErr, ChanSts, ChannelRegister, ChannelState, DmaCapability};
use netdma::hw::{Device, Space};
use netdma::ioat::{Identity, IoatError, identify};
use netdma::ndis::InterruptType;

use super::config::Info;
use super::on;
use super::report::{kind, routing};
use super::sizes;

/// PCI command register, and the names of its bits that matter here.
const PCICMD: u64 = 0x04;
const PCICMD_BITS: [(u16, &str); 4] =
    [(1 << 0, "I/O"), (1 << 1, "memory"), (1 << 2, "bus master"), (1 << 10, "INTx disabled")];

#[derive(serde::Serialize)]
struct EngineReport {
    device: String,
    on: String,
    vendor: u16,
    device_id: u16,
    family: &'static str,
    version: String,
    channel_count: u8,
    xfercap_log2: u8,
    max_transfer_bytes: u32,
    capabilities: Vec<&'static str>,
    dma_capability: u32,
    pci_command: u16,
    pci_command_bits: Vec<&'static str>,
    msix_vectors: u32,
    /// It has a line.
    intx: bool,
    /// What the driver uses of them.
    interrupt_kind: &'static str,
    vectors: Vec<VectorReport>,
    channels: Vec<ChannelReport>,
}

#[derive(serde::Serialize)]
struct ChannelReport {
    channel: u8,
    state: &'static str,
    chansts: u64,
    last_completed: u64,
    chanerr: u32,
    errors: String,
}

#[derive(serde::Serialize)]
struct VectorReport {
    vector: u32,
    routing: String,
}

/// Prints it.
pub(crate) fn run(config: &Info) -> anyhow::Result<()> {
    let device = on::open(&config.on, None)?.device;
    let named = || format!("--on {}: reading the engine", config.on.written());
    let report = read(&device, config.on.written()).with_context(named)?;
    let text = if config.json { serde_json::to_string(&report)? + "\n" } else { text(&report) };
    Ok(io::stdout().write_all(text.as_bytes())?)
}

fn read(device: &Device, on: String) -> Result<EngineReport, IoatError> {
    let identity = identify(device)?;
    let Identity { vendor, device: device_id, family, version, channels, xfercap, capability } = identity;
    let command = device.read16(Space::Config, PCICMD)?;
    let set = PCICMD_BITS.into_iter().filter(|(bit, _)| command & bit != 0);
    Ok(EngineReport {
        device: device.name.clone(),
        on,
        vendor,
        device_id,
        family,
        version: format!("{}.{}", version.major(), version.minor()),
        channel_count: channels,
        xfercap_log2: xfercap,
        max_transfer_bytes: identity.max_transfer(),
        capabilities: capabilities(capability),
        dma_capability: capability.into_bits(),
        pci_command: command,
        pci_command_bits: set.map(|(_, name)| name).collect(),
        msix_vectors: device.interrupts.vectors(),
        intx: device.interrupts.has_line(),
        interrupt_kind: kind(granted(device)),
        vectors: vectors(device, u32::from(channels))?,
        channels: (0..channels).map(|channel| read_channel(device, channel)).collect::<Result<_, _>>()?,
    })
}

/// Tries each channel's vector on a processor: only an enabled vector has an interrupt that can be routed.
fn vectors(device: &Device, channels: u32) -> Result<Vec<VectorReport>, IoatError> {
    let count = device.interrupts.vectors().min(channels);
    if count == 0 {
        return Ok(Vec::new());
    }
    let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
    let cpus = u32::try_from(cpus).unwrap_or(1);
    device.interrupts.enable(count)?;
    let report =
        |vector| VectorReport { vector, routing: routing(&device.interrupts.route(vector, vector % cpus)) };
    let vectors = (0..count).map(report).collect();
    device.interrupts.disable()?;
    Ok(vectors)
}

/// What the driver will get: messages where there are any (ND-I1).
fn granted(device: &Device) -> Option<InterruptType> {
    match device.interrupts.vectors() {
        1.. => Some(InterruptType::MessageBased),
        0 => device.interrupts.has_line().then_some(InterruptType::LineBased),
    }
}

fn read_channel(device: &Device, channel: u8) -> Result<ChannelReport, IoatError> {
    let at = |register: ChannelRegister| channel_base(usize::from(channel)) + register.offset();
    let chansts = device.read64(Space::BAR0, at(ChannelRegister::ChanSts))?;
    if chansts == u64::MAX {
        return Err(IoatError::Gone { register: ChannelRegister::ChanSts.name() });
    }
    let chanerr = device.read32(Space::BAR0, at(ChannelRegister::ChanErr))?;
    if chanerr == u32::MAX {
        return Err(IoatError::Gone { register: ChannelRegister::ChanErr.name() });
    }
    let status = ChanSts::from_bits(chansts);
    let errors = ChanErr::from_bits(chanerr);
    Ok(ChannelReport {
        channel,
        state: state(status.state()),
        chansts,
        last_completed: status.completed(),
        chanerr,
        errors: if errors.is_empty() { "none".into() } else { errors.to_string() },
    })
}

fn state(state: Option<ChannelState>) -> &'static str {
    match state {
        Some(ChannelState::Active) => "active",
        Some(ChannelState::Idle) => "idle",
        Some(ChannelState::Suspended) => "suspended",
        Some(ChannelState::Halted) => "halted",
        Some(ChannelState::Armed) => "armed",
        None => "undefined",
    }
}

fn capabilities(capability: DmaCapability) -> Vec<&'static str> {
    let all = [
        ("page break", capability.page_break()),
        ("CRC", capability.crc()),
        ("marker skip", capability.marker_skip()),
        ("XOR of version 1", capability.old_xor()),
        ("DCA", capability.dca()),
        ("move with CRC", capability.move_crc()),
        ("fill", capability.fill()),
        ("32-bit APIC ids", capability.apic_id_32()),
        ("XOR", capability.xor()),
        ("PQ", capability.pq()),
        ("DIF", capability.dif()),
        ("descriptor write-back error status", capability.dwbes()),
        ("16 sources", capability.raid16ss()),
        ("multicast", capability.multicast()),
        ("completion timeout", capability.completion_timeout()),
        ("descriptor prefetch", capability.dps()),
    ];
    // Every engine copies and takes NULLs; the register does not say so.
    ["copy", "null"]
        .into_iter()
        .chain(all.into_iter().filter(|(_, has)| *has).map(|(name, _)| name))
        .collect()
}

fn text(report: &EngineReport) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{name:<15}{value}");
    };
    line("device", report.device.clone());
    line("identity", format!("{:04x}:{:04x} {}", report.vendor, report.device_id, report.family));
    line("version", report.version.clone());
    line("channels", report.channel_count.to_string());
    let max = sizes::show(u64::from(report.max_transfer_bytes));
    line("XFERCAP", format!("2^{} ({max} in one transfer)", report.xfercap_log2));
    line("capabilities", format!("{:#x} ({})", report.dma_capability, report.capabilities.join(", ")));
    line("PCI command", format!("{:#06x} ({})", report.pci_command, report.pci_command_bits.join(", ")));
    line("MSI-X vectors", report.msix_vectors.to_string());
    line("INTx", if report.intx { "offered" } else { "not offered" }.into());
    line("interrupts by", report.interrupt_kind.into());
    for VectorReport { vector, routing } in &report.vectors {
        line(&format!("  vector {vector}"), routing.clone());
    }
    for channel in &report.channels {
        let ChannelReport { channel, state, chansts, last_completed, errors, .. } = channel;
        let status =
            format!("{state} (CHANSTS {chansts:#x}, last completed {last_completed:#x}), CHANERR {errors}");
        line(&format!("channel {channel}"), status);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_are_named_after_what_every_engine_can_do() {
        assert_eq!(
            capabilities(DmaCapability::new().with_fill(true).with_pq(true)),
            ["copy", "null", "fill", "PQ"]
        );
    }

    #[test]
    fn a_state_that_no_manual_defines_is_called_so() {
        assert_eq!(state(ChanSts::from_bits(6).state()), "undefined");
        assert_eq!(state(ChanSts::from_bits(0x1000 | 1).state()), "idle");
    }
}
