//! A guest for tools that are not ours: kernel and initramfs of the cache, with one script that runs on the console.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use netdma_tests::guest_program;
use netdma_vm::boot::Boot;
use netdma_vm::cache::Cache;
use netdma_vm::initramfs::Addition;

/// What a QEMU of the user's own needs, in a folder of the test's.
pub(crate) struct Parts {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) kernel: PathBuf,
    pub(crate) initramfs: PathBuf,
}

/// The kernel's command line of every recipe, quiet.
pub(crate) const APPEND: &str = "console=ttyS0 rdinit=/init panic=-1 intel_iommu=on quiet";

/// The last line that the guest's script says; the console shows it before the guest powers off.
pub(crate) const DONE: &str = "netdma-vm-init: exit status 0";

/// A guest that runs `script` with sh and powers off. `additions` are files of the host's.
pub(crate) fn parts(script: &str, modules: &[&str], additions: &[(&str, &str)]) -> Parts {
    let folder = tempfile::tempdir().unwrap();
    let written = folder.path().join("script");
    fs::write(&written, script).unwrap();
    let mut boot = Boot::new(beside_the_others(folder.path()));
    boot.modules = modules.iter().map(|module| (*module).into()).collect();
    let netdma = guest_program("netdma").to_string_lossy().into_owned();
    let own = [(netdma.as_str(), "/usr/bin/netdma"), (written.to_str().unwrap(), "/script")];
    for (host, guest) in own.iter().chain(additions) {
        boot.additions.push(Addition { host: host.into(), guest: Some((*guest).into()) });
    }
    let printed = boot.print(&["sh", "/script"].map(str::to_owned)).unwrap();
    let after = |option: &str| {
        let at = printed.qemu.iter().position(|word| word == option).unwrap();
        PathBuf::from(&printed.qemu[at + 1])
    };
    Parts { kernel: after("-kernel"), initramfs: after("-initrd"), folder }
}

/// The user's cache, but for what `print` builds: others may print at the same time.
fn beside_the_others(folder: &Path) -> Cache {
    let cache = Cache::from_environment().unwrap();
    let own = folder.join("cache");
    fs::create_dir(&own).unwrap();
    for part in ["qemu", "kernels", "busybox"] {
        symlink(cache.root().join(part), own.join(part)).unwrap();
    }
    Cache::at(own)
}

/// An executable file.
pub(crate) fn executable(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}
