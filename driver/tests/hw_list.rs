//! Engines found in sysfs, and what opening one says when something is wrong, on made-up hosts.
#![expect(clippy::unwrap_used, reason = "a test whose made-up host cannot be built fails")]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ioat_stage::ThreadPause;
use netdma::hw::HwError;
use netdma::hw::host::{Address, Host};
use netdma::hw::list::{Found, list_of};
use netdma::hw::vfio::{Options, open_on};

struct Tree(tempfile::TempDir);

impl Tree {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn host(&self) -> Host {
        Host::at(self.0.path())
    }

    fn function(&self, bdf: &str, vendor: &str, device: &str) -> PathBuf {
        let path = self.0.path().join("sys/bus/pci/devices").join(bdf);
        fs::create_dir_all(&path).unwrap();
        fs::write(path.join("vendor"), format!("{vendor}\n")).unwrap();
        fs::write(path.join("device"), format!("{device}\n")).unwrap();
        path
    }

    fn engine(&self) -> PathBuf {
        self.function("0000:00:10.0", "0x8086", "0x2021")
    }

    fn refusal(&self, bdf: &str, options: &Options) -> String {
        match open_on(&self.host(), bdf, Arc::new(ThreadPause::new()), options) {
            Err(HwError::Open(text)) => text,
            Err(other) => panic!("not an open error: {other}"),
            Ok(device) => panic!("opened {}", device.name),
        }
    }
}

fn bind(function: &Path, driver: &str) {
    symlink(Path::new("../../../bus/pci/drivers").join(driver), function.join("driver")).unwrap();
}

fn group(function: &Path, number: u32) {
    symlink(format!("../../../kernel/iommu_groups/{number}"), function.join("iommu_group")).unwrap();
}

#[test]
fn engines_are_listed_by_address_with_what_holds_them_and_nothing_else_is() {
    let tree = Tree::new();
    let second = tree.function("0000:80:04.1", "0x8086", "0x0b00");
    bind(&second, "vfio-pci");
    group(&second, 7);
    fs::write(second.join("numa_node"), "1\n").unwrap();
    let first = tree.engine();
    fs::write(first.join("numa_node"), "-1\n").unwrap();
    tree.function("0000:00:02.0", "0x8086", "0x10d3");
    tree.function("0000:00:03.0", "0x1af4", "0x2021");
    tree.function("not-an-address", "0x8086", "0x2021");
    let expected = [
        Found {
            bdf: "0000:00:10.0".into(),
            vendor: 0x8086,
            device: 0x2021,
            family: "SKX",
            driver: None,
            iommu_group: None,
            numa_node: None,
        },
        Found {
            bdf: "0000:80:04.1".into(),
            vendor: 0x8086,
            device: 0x0b00,
            family: "ICX",
            driver: Some("vfio-pci".into()),
            iommu_group: Some(7),
            numa_node: Some(1),
        },
    ];
    assert_eq!(list_of(&tree.host()).unwrap(), expected);
}

#[test]
fn a_host_without_pci_has_no_engines() {
    assert_eq!(list_of(&Tree::new().host()).unwrap(), []);
}

#[test]
fn a_function_that_vanishes_while_it_is_looked_at_is_left_out() {
    let tree = Tree::new();
    fs::remove_file(tree.engine().join("device")).unwrap();
    assert_eq!(list_of(&tree.host()).unwrap(), []);
}

#[test]
fn addresses_are_taken_with_and_without_their_domain() {
    for (text, full) in [
        ("0000:00:10.0", "0000:00:10.0"),
        ("00:10.0", "0000:00:10.0"),
        ("fF:1f.7", "0000:ff:1f.7"),
        ("10000:e1:00.0", "10000:e1:00.0"),
    ] {
        assert_eq!(text.parse::<Address>().unwrap().to_string(), full);
    }
}

#[test]
fn what_is_not_an_address_is_refused_with_an_example() {
    let wrong =
        ["", ".", "10.0", "00:10", "00:10.8", "00:20.0", "0:10.0", "000:00:10.0", "+0:10.0", "a:b:c:d.0"];
    for text in wrong.into_iter().chain(["0000:00:10.0 ", "0000:00:10.00", "sim", "00:1é.0"]) {
        let refusal = Tree::new().refusal(text, &Options::default());
        assert!(
            refusal.ends_with("is not a PCI address: write it as in 0000:00:10.0 or 00:10.0"),
            "{refusal}"
        );
    }
}

#[test]
fn a_function_that_is_not_there_is_named() {
    let refusal = Tree::new().refusal("00:10.0", &Options::default());
    assert!(refusal.starts_with("0000:00:10.0: there is no such PCI function"), "{refusal}");
}

#[test]
fn a_function_of_another_kind_is_refused_unless_any_is_allowed() {
    let tree = Tree::new();
    tree.function("0000:00:02.0", "0x8086", "0x10d3");
    let refusal = tree.refusal("00:02.0", &Options::default());
    assert!(refusal.contains("8086:10d3, not an I/OAT v3 engine"), "{refusal}");
    let any = Options { any_function: true, ..Options::default() };
    assert!(tree.refusal("00:02.0", &any).contains("bound to no driver"));
}

#[test]
fn a_function_bound_elsewhere_names_the_driver_and_how_to_bind() {
    let tree = Tree::new();
    bind(&tree.engine(), "ioatdma");
    let refusal = tree.refusal("00:10.0", &Options::default());
    for part in [
        "it is bound to ioatdma, not to vfio-pci",
        "driverctl set-override 0000:00:10.0 vfio-pci",
        "echo vfio-pci > /sys/bus/pci/devices/0000:00:10.0/driver_override",
        "echo 0000:00:10.0 > /sys/bus/pci/drivers/ioatdma/unbind",
    ] {
        assert!(refusal.contains(part), "{refusal}");
    }
    assert!(!refusal.contains('\n'));
}

#[test]
fn a_host_without_an_iommu_is_told_how_to_boot() {
    let tree = Tree::new();
    bind(&tree.engine(), "vfio-pci");
    let refusal = tree.refusal("00:10.0", &Options::default());
    assert!(refusal.contains("it has no IOMMU group") && refusal.contains("intel_iommu=on"), "{refusal}");
}
