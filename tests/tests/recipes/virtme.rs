//! virtme-ng: its command line, and with `--full` a guest of its own making with a kernel of the cache.

use std::fs;
use std::process::Command;

use netdma_tests::process::{Ran, run};
use netdma_tests::{full, guest_program, skip};
use netdma_vm::cache::Cache;
use netdma_vm::kernel::{self, Kernel, KernelChoice};

use crate::guest;
use crate::host::{device, doctor, path, tool};
use crate::text::read;

/// Runs the recipe's script with the device's socket at a path of the test's.
fn vng(folder: &tempfile::TempDir, words: &[&str]) -> Ran {
    let script = folder.path().join("vng-netdma");
    let socket = folder.path().join("dma.sock");
    guest::executable(
        &script,
        &read("virtme-ng/vng-netdma").replace("/tmp/dma.sock", socket.to_str().unwrap()),
    );
    run(Command::new(script).args(words).env("PATH", path()))
}

fn kernel() -> Kernel {
    kernel::find(&KernelChoice::default(), &Cache::from_environment().unwrap()).unwrap()
}

#[test]
fn the_line_that_virtme_ng_makes_has_no_mistake() {
    if tool("vng").is_none() {
        return skip("recipes::virtme-ng", "vng is not installed");
    }
    let folder = tempfile::tempdir().unwrap();
    let image = kernel().image;
    let ran = vng(&folder, &["--run", image.to_str().unwrap(), "--disable-kvm", "--dry-run", "--", "true"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let line = folder.path().join("argv");
    fs::write(&line, &ran.out).unwrap();
    assert_eq!(doctor(&line).0, Some(0), "{}\n{}", doctor(&line).1, ran.out);
    assert!(ran.out.contains("intel_iommu=on"), "{}", ran.out);
    // Without the recipe's options the doctor would complain.
    fs::write(&line, ran.out.replace("memory-backend=mem", "usb=off")).unwrap();
    assert!(doctor(&line).1.contains("is not the machine's memory"), "{}", doctor(&line).1);
}

#[test]
fn virtme_ng_boots_the_host_with_our_device() {
    if !full() {
        return;
    }
    if tool("vng").is_none() {
        return skip("recipes::virtme-ng guest", "vng is not installed");
    }
    let kernel = kernel();
    // virtme-ng's root is 9p; it loads modules only of kernels that the host has installed.
    let builtin =
        kernel.modules.as_ref().map(|modules| fs::read_to_string(modules.join("modules.builtin")).unwrap());
    if !builtin.unwrap_or_default().contains("/9p/9p.ko") {
        return skip(
            "recipes::virtme-ng guest",
            "the cache's kernel has 9p as a module only, and the host has no modules of it",
        );
    }
    let folder = tempfile::tempdir().unwrap();
    let _device = device(&folder.path().join("dma.sock"));
    let netdma = guest_program("netdma");
    let command = format!(
        "for f in /sys/bus/pci/devices/*; do grep -q 0x2021 $f/device && echo function $(cat $f/vendor) $(basename $(readlink $f/iommu_group)); done; {} list",
        netdma.display()
    );
    let ran = vng(&folder, &["--run", kernel.image.to_str().unwrap(), "--disable-kvm", "--", &command]);
    assert_eq!(ran.code, Some(0), "{}\n{}", ran.out, ran.err);
    assert!(ran.out.contains("function 0x8086"), "{}\n{}", ran.out, ran.err);
}
