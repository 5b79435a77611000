//! What VFIO says, and what a person is told.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use vmm_sys_util::errno::Error as SysError;

use super::*;

const GROUP: u32 = 12;

fn host(root: &Path) -> (Host, Address) {
    let group = root.join("sys/kernel/iommu_groups/12/devices");
    fs::create_dir_all(&group).unwrap();
    for (member, driver) in
        [("0000:00:10.0", Some("vfio-pci")), ("0000:00:10.1", Some("ioatdma")), ("0000:00:1c.0", None)]
    {
        let function = root.join("sys/bus/pci/devices").join(member);
        fs::create_dir_all(&function).unwrap();
        fs::write(group.join(member), "").unwrap();
        if let Some(driver) = driver {
            symlink(format!("../../drivers/{driver}"), function.join("driver")).unwrap();
        }
    }
    (Host::at(root), "0000:00:10.0".parse().unwrap())
}

fn told(error: &VfioError) -> String {
    let root = tempfile::tempdir().unwrap();
    let (host, address) = host(root.path());
    let text = explain(&host, address, GROUP, error);
    assert!(!text.contains('\n'));
    assert!(text.starts_with("0000:00:10.0: "), "{text}");
    text.replace(&root.path().display().to_string(), "")
}

fn errno(number: i32) -> io::Error {
    io::Error::from_raw_os_error(number)
}

#[test]
fn a_group_that_is_not_viable_names_the_other_functions_and_their_drivers() {
    let text = told(&VfioError::GroupViable);
    assert!(text.contains("group 12 is shared with 0000:00:10.1 (ioatdma), 0000:00:1c.0: bind"), "{text}");
}

#[test]
fn the_group_node_may_be_missing_forbidden_or_busy() {
    let group = |number| VfioError::OpenGroup(errno(number), "12".into());
    assert!(told(&group(libc::ENOENT)).contains("there is no /dev/vfio/12: `modprobe vfio-pci`"));
    assert!(told(&group(libc::EACCES)).contains("no permission for /dev/vfio/12: run as root"));
    assert!(told(&group(libc::EBUSY)).contains("/dev/vfio/12 is in use by another process"));
    assert!(told(&group(libc::EMFILE)).contains("cannot open /dev/vfio/12: Too many open files"));
}

#[test]
fn a_kernel_without_vfio_or_without_type_1_names_the_module() {
    let container = VfioError::OpenContainer(errno(libc::ENOENT));
    assert!(told(&container).contains("there is no /dev/vfio/vfio: `modprobe vfio`"));
    assert!(told(&VfioError::VfioExtension).contains("`modprobe vfio_iommu_type1`"));
}

#[test]
fn an_iommu_that_cannot_remap_interrupts_is_named_and_other_refusals_are_passed_on() {
    let refused = |number| VfioError::ContainerSetIOMMU(SysError::new(number));
    assert!(told(&refused(libc::EPERM)).contains("interrupt remapping"));
    assert!(told(&refused(libc::ENODEV)).contains("No such device"));
}
