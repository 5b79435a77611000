//! The user's own QEMU line, and in its guest the two ways to give a function to user space.

use std::fs;
use std::process::Command;

use netdma_tests::process::{Running, run};
use netdma_tests::{full, program, skip};

use crate::guest::{self, APPEND, DONE};
use crate::host::{device, doctor, path, tool};
use crate::text::{block, blocks, read, recipe, source};

#[test]
fn the_script_is_the_readmes_line() {
    let readme = fs::read_to_string(source("README.md")).unwrap();
    let lines: Vec<_> = blocks(&readme, "sh")
        .into_iter()
        .filter(|block| block.starts_with("qemu-system-x86_64 -M"))
        .collect();
    assert_eq!(lines.len(), 1, "the README's own line of QEMU");
    let line = lines[0].replace(" ...", " \"$@\"");
    let script = read("qemu/qemu-line");
    assert!(
        script.ends_with(&format!("exec \\\n{line}")),
        "README.md:\n{line}\nscripts/recipes/qemu/qemu-line:\n{script}"
    );
}

#[test]
fn the_doctor_finds_no_mistake_in_the_script_and_one_in_a_changed_one() {
    assert_eq!(doctor(&recipe("qemu/qemu-line")).0, Some(0));
    let folder = tempfile::tempdir().unwrap();
    let changed = folder.path().join("line");
    fs::write(&changed, read("qemu/qemu-line").replace("share=on", "share=off")).unwrap();
    let (code, said) = doctor(&changed);
    assert_eq!(
        (code, said.trim()),
        (Some(1), "memory backend mem is not shared, so the device cannot reach it: add share=on")
    );
    fs::write(&changed, "#!/bin/sh\nexec ls\n").unwrap();
    let (code, said) = doctor(&changed);
    assert_eq!(code, Some(125), "{said}");
    assert!(said.contains("it names no qemu program"), "{said}");
}

/// What runs in the guest: the blocks of binding.md, word for word but for the address.
fn script(with_driverctl: bool) -> String {
    let sysfs = block("binding.md", "sh sysfs");
    let back = block("binding.md", "sh sysfs-back");
    let example = sysfs.lines().next().unwrap().strip_prefix("BDF=").unwrap().to_owned();
    let mut script = format!(
        "set -e
        # modprobe looks for its list before it sees that the kernel has the module.
        mkdir -p /lib/modules/$(uname -r) /sbin && touch /lib/modules/$(uname -r)/modules.dep
        [ -e /sbin/modprobe ] || ln -s /bin/busybox /sbin/modprobe
        for function in /sys/bus/pci/devices/*; do
            [ $(cat $function/vendor)$(cat $function/device) = 0x80860x2021 ] && found=${{function##*/}}
        done
        driver() {{ basename $(readlink /sys/bus/pci/devices/$found/driver); }}
        echo before: $(driver)
        sed -i s/{example}/$found/ /sysfs
        . /sysfs
        echo sysfs: $(driver)
        netdma selftest --quick --on $found
        . /back
        echo back: $(driver)
        "
    );
    if with_driverctl {
        script += &format!(
            "sed -i s/{example}/$found/ /driverctl
            bash /driverctl
            echo driverctl: $(driver)
            netdma info --on $found | head -n 1
            bash /usr/sbin/driverctl unset-override $found
            echo unset: $(driver)
            "
        );
    }
    let file = |name: &str, text: &str| format!("cat > /{name} <<'END'\n{text}END\n");
    let files =
        [file("sysfs", &sysfs), file("back", &back), file("driverctl", &block("binding.md", "sh driverctl"))];
    // The end of a session takes with it what its terminal has not sent yet.
    files.concat() + script.as_str() + "sleep 1\n"
}

#[test]
fn the_line_boots_and_the_bindings_of_the_recipe_give_the_function_to_our_driver() {
    // Its shell is slow in a guest without KVM.
    let driverctl = if full() { tool("driverctl").zip(tool("bash")) } else { None };
    if full() && driverctl.is_none() {
        skip("recipes::binding by driverctl", "driverctl or bash is not installed");
    }
    let additions = driverctl.iter().flat_map(|(driverctl, bash)| {
        [(driverctl.to_str().unwrap(), "/usr/sbin/driverctl"), (bash.to_str().unwrap(), "/bin/bash")]
    });
    let additions: Vec<_> = additions.collect();
    // The kernel's own driver has the function first.
    let modules = ["ioatdma", "vfio-pci", "vfio_iommu_type1"];
    let parts = guest::parts(&script(driverctl.is_some()), &modules, &additions);
    let socket = parts.folder.path().join("dma.sock");
    let line = parts.folder.path().join("qemu-line");
    guest::executable(&line, &read("qemu/qemu-line").replace("/tmp/dma.sock", socket.to_str().unwrap()));
    let _device = device(&socket);

    let mut command = Command::new(&line);
    command.env("PATH", path()).args([
        "-m",
        "1G",
        "-smp",
        "2",
        "-nodefaults",
        "-display",
        "none",
        "-no-reboot",
    ]);
    command.args(["-serial", "stdio", "-append", APPEND]).arg("-kernel").arg(&parts.kernel);
    let qemu = Running::start(command.arg("-initrd").arg(&parts.initramfs));
    let doctor = ask_about_the_running_one(&qemu);
    let ended = qemu.wait();

    let out = ended.out.replace('\r', "");
    assert!(out.contains(DONE), "{out}\n{}", ended.err);
    let mut expected = vec!["before: ioatdma", "sysfs: vfio-pci", ", 0 failed", "back: ioatdma"];
    if driverctl.is_some() {
        expected.extend(["driverctl: vfio-pci", "unset: ioatdma"]);
    }
    let mut rest = out.as_str();
    for said in expected {
        let at = rest.find(said).unwrap_or_else(|| panic!("no {said:?} in its place:\n{out}"));
        rest = &rest[at..];
    }
    assert_eq!(doctor.0, Some(0), "{}", doctor.1);
}

/// The script becomes QEMU, after some steps; until then the doctor says that it is none.
fn ask_about_the_running_one(qemu: &Running) -> (Option<i32>, String) {
    let pid = qemu.pid().to_string();
    loop {
        let ran = run(Command::new(program("netdma-vm")).args(["doctor", "--qemu", &pid]));
        let is_none_yet = ran.err.contains("not a running QEMU");
        if !is_none_yet || qemu.end().is_some() {
            return (ran.code, ran.out + ran.err.as_str());
        }
    }
}
