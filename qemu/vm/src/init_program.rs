//! Process 1 of the guest: where it is, and that it is static.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use crate::device::beside_this_executable;
use crate::elf::{self, Needs};
use crate::error::VmError;

const NAME: &str = "netdma-vm-init";
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// The static `netdma-vm-init`: in `$NETDMA_VM_INIT`, beside this executable, or in cargo's folder for the explicit target. A
/// dynamic one, which plain `cargo build` leaves beside this executable, does not run in a guest without a C library.
pub fn find() -> Result<PathBuf, VmError> {
    let mut unfit = Vec::new();
    for path in candidates() {
        match elf::needs(&path) {
            Ok(Needs::Nothing) => return Ok(path),
            Ok(_) => unfit.push(format!("{} is not static", path.display())),
            Err(_) => {}
        }
    }
    let found = if unfit.is_empty() { String::new() } else { format!(" ({})", unfit.join(", ")) };
    Err(VmError::NoInit { found })
}

/// Reads it.
pub(crate) fn read() -> Result<Vec<u8>, VmError> {
    let path = find()?;
    fs::read(&path).map_err(|source| VmError::Io { path, source })
}

fn candidates() -> Vec<PathBuf> {
    if let Some(named) = env::var_os("NETDMA_VM_INIT").filter(|named| !named.is_empty()) {
        return vec![named.into()];
    }
    let beside = beside_this_executable(NAME);
    let mut candidates = beside.clone();
    // <target>/<profile>/netdma-vm: the same profile first, then the others.
    for profile_folder in beside.iter().filter_map(|path| path.parent()) {
        let profile = profile_folder.file_name().unwrap_or_default();
        let Some(target) = profile_folder.parent() else { continue };
        for profile in [Path::new(profile), Path::new("release"), Path::new("debug")] {
            candidates.push(target.join(TARGET).join(profile).join(NAME));
            // This program may itself be in the explicit target's folder.
            candidates.push(target.join(profile).join(NAME));
        }
    }
    candidates
}
