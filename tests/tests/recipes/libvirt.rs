//! libvirt's domain: valid by libvirt's own schema, without mistake in the QEMU line that libvirt makes of it, and, with
//! `--full`, a guest. All by `qemu:///embed`: libvirt's driver inside virsh, in a folder of the test's.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use netdma_tests::process::{PATIENCE, Ran, run};
use netdma_tests::{full, program, skip};
use netdma_vm::cache::Cache;

use crate::guest::{self, DONE};
use crate::host::{device, doctor, tool};
use crate::text::read;

/// A folder with the domain, its paths changed to the test's, and libvirt's own state.
struct Virsh {
    folder: tempfile::TempDir,
}

impl Virsh {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // As root, libvirt would give QEMU to a user of its own, who cannot read our folders.
        let root = folder.path().join("root/etc");
        fs::create_dir_all(&root).unwrap();
        let settings = "stdio_handler = \"file\"\nuser = \"root\"\ngroup = \"root\"\nremember_owner = 0\nsecurity_driver = \"none\"\n\
                        cgroup_controllers = []\nnamespaces = []\n";
        fs::write(root.join("qemu.conf"), settings).unwrap();
        let script = read("qemu/qemu-system-x86_64");
        let cache = Cache::from_environment().unwrap();
        let script = script.replace("exec netdma-vm", &format!("exec {}", program("netdma-vm").display()));
        let script = script.replace(
            "#export NETDMA_CACHE=/home/me/.cache/netdma",
            &format!("export NETDMA_CACHE={}", cache.root().display()),
        );
        assert!(script.contains("\nexport NETDMA_CACHE=/") && script.contains("exec /"), "{script}");
        guest::executable(&folder.path().join("qemu-system-x86_64"), &script);
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The recipe's file with other paths.
    fn domain(&self, changes: &[(&str, &Path)]) -> PathBuf {
        let mut text = read("libvirt/domain.xml");
        let emulator = self.path("qemu-system-x86_64");
        for (from, to) in [("/usr/local/bin/qemu-system-x86_64", emulator.as_path())].iter().chain(changes) {
            assert!(text.contains(from), "{from}");
            text = text.replace(from, to.to_str().unwrap());
        }
        let path = self.path("domain.xml");
        fs::write(&path, text).unwrap();
        path
    }

    fn run(&self, words: &[&str]) -> Ran {
        let uri = format!("qemu:///embed?root={}", self.path("root").display());
        let mut virsh = Command::new("virsh");
        virsh.args(["-c", &uri]).args(words).env("HOME", self.folder.path());
        run(virsh.env("XDG_RUNTIME_DIR", self.folder.path()))
    }
}

/// Why libvirt cannot be asked here.
fn obstacle(ran: &Ran) -> Option<&'static str> {
    let said = |text| ran.err.contains(text);
    if said("Failed to parse user 'libvirt-qemu'") {
        return Some("as root libvirt needs the user libvirt-qemu (libvirt-daemon-system)");
    }
    (said("no connection driver") || said("Operation not supported"))
        .then_some("this libvirt has no embedded QEMU driver")
}

#[test]
fn the_domain_is_valid() {
    if tool("virt-xml-validate").is_none() || tool("xmllint").is_none() {
        return skip("recipes::libvirt validation", "virt-xml-validate or xmllint is not installed");
    }
    let virsh = Virsh::new();
    let validate = |path: &Path| run(Command::new("virt-xml-validate").arg(path));
    let good = validate(&virsh.domain(&[]));
    assert_eq!(good.code, Some(0), "{}{}", good.out, good.err);
    // And the schema does look at it.
    let bad = virsh.path("bad.xml");
    fs::write(&bad, read("libvirt/domain.xml").replace("caching_mode", "cashing_mode")).unwrap();
    assert_ne!(validate(&bad).code, Some(0));
}

#[test]
fn the_line_that_libvirt_makes_of_the_domain_has_no_mistake() {
    if tool("virsh").is_none() {
        return skip("recipes::libvirt line", "virsh is not installed");
    }
    let virsh = Virsh::new();
    let domain = virsh.domain(&[]);
    let ran = virsh.run(&["domxml-to-native", "qemu-argv", domain.to_str().unwrap()]);
    if let Some(reason) = obstacle(&ran) {
        return skip("recipes::libvirt line", reason);
    }
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let line = virsh.path("argv");
    fs::write(&line, &ran.out).unwrap();
    assert_eq!(doctor(&line).0, Some(0), "{}\n{}", doctor(&line).1, ran.out);
    // What the XML is for: without it the doctor complains.
    let text = fs::read_to_string(&domain).unwrap();
    for (part, instead, mistake) in [
        ("mode='shared'", "mode='private'", "is not shared"),
        (" caching_mode='on'", "", "without caching-mode=on"),
        ("<ioapic driver='qemu'/>", "", "kernel-irqchip=split"),
    ] {
        fs::write(&domain, text.replace(part, instead)).unwrap();
        let ran = virsh.run(&["domxml-to-native", "qemu-argv", domain.to_str().unwrap()]);
        // libvirt itself refuses interrupt remapping without the split chip.
        if ran.code == Some(0) {
            fs::write(&line, &ran.out).unwrap();
            assert!(doctor(&line).1.contains(mistake), "{part}: {}\n{}", doctor(&line).1, ran.out);
        } else {
            assert!(
                ran.err.contains("IOMMU interrupt remapping requires split I/O APIC"),
                "{part}: {}",
                ran.err
            );
        }
    }
}

#[test]
fn the_domain_boots_and_our_driver_works_in_it() {
    if !full() {
        return;
    }
    if tool("virsh").is_none() {
        return skip("recipes::libvirt guest", "virsh is not installed");
    }
    let virsh = Virsh::new();
    let script = "netdma selftest --quick --on 0000:00:10.0";
    let bind = "echo vfio-pci > /sys/bus/pci/devices/0000:00:10.0/driver_override\necho 0000:00:10.0 > /sys/bus/pci/drivers_probe";
    let parts = guest::parts(&format!("set -e\n{bind}\n{script}\n"), &["vfio-pci", "vfio_iommu_type1"], &[]);
    let (socket, console) = (virsh.path("dma.sock"), virsh.path("console.log"));
    let domain = virsh.domain(&[
        ("/var/lib/netdma/vmlinuz", &parts.kernel),
        ("/var/lib/netdma/initramfs.cpio", &parts.initramfs),
        ("/var/lib/netdma/console.log", &console),
        ("/run/netdma/dma.sock", &socket),
    ]);
    let _device = device(&socket);
    // One virsh for all: the driver, and so the guest's monitor, lives as long as it does.
    let words = format!(
        "create {}; event --domain netdma --event lifecycle --timeout 50; destroy netdma",
        domain.display()
    );
    let begun = Instant::now();
    let ran = virsh.run(&[&words]);
    if let Some(reason) = obstacle(&ran) {
        return skip("recipes::libvirt guest", reason);
    }
    let mut said = String::new();
    while !said.contains(DONE) && begun.elapsed() < PATIENCE {
        said = fs::read_to_string(&console).unwrap_or_default();
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(said.contains(", 0 failed") && said.contains(DONE), "{said}\n{}\n{}", ran.out, ran.err);
}
