//! File systems, modules, devices: what the guest needs before the first command.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::Path;

use netdma_vm::message::{Module, Plan};

use crate::syscall;

/// Kind, target, options.
const FILE_SYSTEMS: [(&str, &str, &str); 6] = [
    ("proc", "/proc", ""),
    ("sysfs", "/sys", ""),
    ("devtmpfs", "/dev", ""),
    ("devpts", "/dev/pts", ""),
    ("tmpfs", "/tmp", "mode=1777"),
    ("tmpfs", "/run", "mode=755"),
];

pub(crate) fn mount_file_systems() -> Result<(), String> {
    for (kind, target, options) in FILE_SYSTEMS {
        fs::create_dir_all(target).map_err(|error| format!("mkdir {target}: {error}"))?;
        // What --add or a runner put there would be hidden; the root is in memory too.
        if kind == "tmpfs" && fs::read_dir(target).is_ok_and(|mut entries| entries.next().is_some()) {
            continue;
        }
        syscall::mount(kind, target, options).map_err(|error| format!("mount {target}: {error}"))?;
    }
    Ok(())
}

/// Loads in the order of the plan; a module that the kernel has already is fine.
pub(crate) fn modules(modules: &[Module]) -> Result<(), String> {
    for module in modules {
        let file = File::open(&module.path).map_err(|error| format!("module {}: {error}", module.name))?;
        match syscall::load_module(&file, &module.params) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                return Err(format!("module {} does not load: {error}", module.name));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Checks that each device of the plan is there, and binds it to vfio-pci if the plan says so.
pub(crate) fn devices(plan: &Plan) -> Result<(), String> {
    for bdf in &plan.devices {
        let device = Path::new("/sys/bus/pci/devices").join(bdf);
        if !device.exists() {
            return Err(format!("no PCI device at {bdf}: QEMU attached none"));
        }
        if plan.bind {
            bind_to_vfio(bdf, &device)?;
        }
    }
    Ok(())
}

/// `driver_override` first, so that no other driver takes the device between unbind and probe.
fn bind_to_vfio(bdf: &str, device: &Path) -> Result<(), String> {
    let write = |path: &Path, text: &str| {
        fs::write(path, text)
            .map_err(|error| format!("binding {bdf} to vfio-pci: {}: {error}", path.display()))
    };
    write(&device.join("driver_override"), "vfio-pci")?;
    if device.join("driver").exists() {
        write(&device.join("driver/unbind"), bdf)?;
    }
    write(Path::new("/sys/bus/pci/drivers_probe"), bdf)?;
    let driver = fs::read_link(device.join("driver")).ok();
    let driver = driver.as_deref().and_then(Path::file_name);
    if driver.is_some_and(|name| name == "vfio-pci") {
        return Ok(());
    }
    if !device.join("iommu_group").exists() {
        return Err(format!(
            "binding {bdf} to vfio-pci: it has no IOMMU group; the kernel command line needs intel_iommu=on"
        ));
    }
    Err(format!("vfio-pci did not take {bdf}; the kernel's log says why"))
}
