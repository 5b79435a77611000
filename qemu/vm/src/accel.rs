//! How the guest's processor runs: KVM where it surely works, QEMU's own emulation (TCG) elsewhere.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::qemu::Qemu;

/// What the user asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AccelChoice {
    /// KVM if it works here, else TCG.
    #[default]
    Auto,
    /// KVM without asking.
    Kvm,
    /// TCG without asking.
    Tcg,
}

/// How the guest's processor runs, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accel {
    /// Which one.
    pub kind: AccelKind,
    /// Why this one, for a person.
    pub why: String,
}

/// KVM or TCG.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccelKind {
    /// The host's processor runs the guest.
    Kvm,
    /// QEMU translates the guest's code, a thread for each processor.
    Tcg,
}

impl fmt::Display for Accel {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.kind {
            AccelKind::Kvm => "KVM",
            AccelKind::Tcg => "TCG",
        };
        write!(out, "{name} ({})", self.why)
    }
}

impl AccelKind {
    /// QEMU's options for it.
    pub fn words(self) -> [&'static str; 4] {
        match self {
            Self::Kvm => ["-accel", "kvm", "-cpu", "host"],
            Self::Tcg => ["-accel", "tcg,thread=multi", "-cpu", "qemu64"],
        }
    }
}

/// Chooses. A device node that opens proves nothing: some hosts offer `/dev/kvm` and cannot run a stock guest. So the
/// processor must say that it virtualises, and a boot sector must run.
pub fn choose(choice: AccelChoice, qemu: &Qemu, scratch: &Path) -> Accel {
    let because = |kind, why: &str| Accel { kind, why: why.into() };
    match choice {
        AccelChoice::Kvm => return because(AccelKind::Kvm, "as asked"),
        AccelChoice::Tcg => return because(AccelKind::Tcg, "as asked"),
        AccelChoice::Auto => {}
    }
    match kvm_obstacle() {
        Some(obstacle) => because(AccelKind::Tcg, &obstacle),
        None if trial_boot(qemu, scratch, AccelKind::Kvm) => because(AccelKind::Kvm, "a trial boot worked"),
        None => because(AccelKind::Tcg, "a trial boot with KVM failed"),
    }
}

/// Why KVM cannot work here, as far as one sees without a trial.
pub fn kvm_obstacle() -> Option<String> {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    if !can_virtualise(&cpuinfo) {
        return Some("/proc/cpuinfo shows neither vmx nor svm".into());
    }
    let opened = OpenOptions::new().read(true).write(true).open("/dev/kvm");
    opened.err().map(|error| format!("/dev/kvm: {error}"))
}

fn can_virtualise(cpuinfo: &str) -> bool {
    let flags = cpuinfo.lines().filter(|line| line.starts_with("flags"));
    flags.flat_map(str::split_whitespace).any(|flag| flag == "vmx" || flag == "svm")
}

/// The boot sector's port and value; QEMU's isa-debug-exit ends with `value << 1 | 1`.
const EXIT_PORT: u8 = 0xf4;
const EXIT_VALUE: u8 = 0x2a;

/// Boots one sector that ends QEMU by itself. True if firmware and sector ran.
pub fn trial_boot(qemu: &Qemu, scratch: &Path, kind: AccelKind) -> bool {
    let disk = scratch.join("trial.img");
    if fs::write(&disk, boot_sector()).is_err() {
        return false;
    }
    let mut command = Command::new(&qemu.words[0]);
    command.args(&qemu.words[1..]).args(kind.words()).args(["-M", "q35", "-m", "64M"]);
    command.args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]);
    command.args(["-device", &format!("isa-debug-exit,iobase={EXIT_PORT:#x},iosize=1")]);
    command.arg("-drive").arg(format!("file={},format=raw,snapshot=on", disk.display()));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let Ok(mut child) = command.spawn() else { return false };
    let deadline = Instant::now() + Duration::from_secs(10);
    while Instant::now() < deadline {
        match child.try_wait() {
            Ok(Some(status)) => return status.code() == Some(i32::from(EXIT_VALUE) << 1 | 1),
            Ok(None) => sleep(Duration::from_millis(20)),
            Err(_) => break,
        }
    }
    // It hangs: that is an answer too. Both calls fail only if it ended meanwhile.
    let _ = child.kill();
    let _ = child.wait();
    false
}

/// `mov al, EXIT_VALUE; out EXIT_PORT, al; hlt; jmp $-1`, and the mark of a boot sector.
fn boot_sector() -> [u8; 512] {
    let mut sector = [0; 512];
    sector[..7].copy_from_slice(&[0xb0, EXIT_VALUE, 0xe6, EXIT_PORT, 0xf4, 0xeb, 0xfd]);
    sector[510..].copy_from_slice(&[0x55, 0xaa]);
    sector
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_flags_line_says_that_the_processor_virtualises() {
        assert!(can_virtualise("flags\t\t: fpu vmx sse\n"));
        assert!(can_virtualise("flags\t\t: fpu svm\n"));
        assert!(!can_virtualise("flags\t\t: fpu vmxoff\nbugs: vmx\n"));
        assert!(!can_virtualise(""));
    }
}
