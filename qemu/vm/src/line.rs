//! QEMU's command line for a guest with vfio-user devices. What each option is for is said where it is written.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::accel::AccelKind;
use crate::channel::PORT_NAME;
use crate::emulated::Emulated;
use crate::kernel::Kernel;
use crate::qemu::Qemu;

/// The slot of the first vfio-user device on the root bus.
const FIRST_SLOT: usize = 0x10;

/// How many vfio-user devices fit: slot 0x1f is the chip set's.
pub const MOST_DEVICES: usize = 0x1f - FIRST_SLOT;

/// Everything that QEMU's command line depends on.
#[derive(Clone, Debug)]
pub struct Line {
    /// The program.
    pub qemu: Qemu,
    /// KVM or TCG.
    pub accel: AccelKind,
    /// The kernel.
    pub kernel: Kernel,
    /// The initramfs.
    pub initramfs: PathBuf,
    /// More kernel command line.
    pub append: Vec<String>,
    /// Processors.
    pub processors: u32,
    /// Memory, as QEMU writes it: `1G`.
    pub memory: String,
    /// The devices' sockets.
    pub devices: Vec<PathBuf>,
    /// QEMU's own devices.
    pub emulated: Vec<Emulated>,
    /// The guest channel's socket.
    pub channel: PathBuf,
    /// Where the console goes.
    pub console: Console,
    /// The socket on which QEMU waits for gdb before the first instruction.
    pub gdb: Option<PathBuf>,
    /// Let the kernel say everything on the console.
    pub verbose: bool,
    /// The user's own options, last.
    pub more: Vec<String>,
}

/// Where the guest's console goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Console {
    /// Into a file.
    File(PathBuf),
    /// To the terminal, with QEMU's monitor behind Ctrl-A c.
    Terminal,
}

/// The address in the guest of vfio-user device `index`.
pub fn bdf(index: usize) -> String {
    format!("0000:00:{:02x}.0", FIRST_SLOT + index)
}

impl Line {
    /// The program and all its arguments.
    pub fn words(&self) -> Vec<OsString> {
        let mut words = self.qemu.words.clone();
        words.extend(self.machine().into_iter().map(OsString::from));
        words.extend(["-kernel".into(), self.kernel.image.clone().into()]);
        words.extend(["-initrd".into(), self.initramfs.clone().into()]);
        words.extend(["-append".into(), self.kernel_command_line().into()]);
        words.extend(self.peripherals().into_iter().map(OsString::from));
        words.extend(self.more.iter().map(OsString::from));
        words
    }

    /// The kernel's command line.
    pub fn kernel_command_line(&self) -> String {
        // panic=-1 restarts at once, which -no-reboot turns into QEMU's end; an oops is a panic, so that a BUG in an
        // interrupt and one in a process end the same way.
        let mut words = vec!["console=ttyS0", "rdinit=/init", "panic=-1", "oops=panic", "intel_iommu=on"];
        if self.gdb.is_some() {
            words.push("nokaslr");
        }
        if !self.verbose {
            words.push("quiet");
        }
        words.extend(self.append.iter().map(String::as_str));
        words.join(" ")
    }

    fn machine(&self) -> Vec<String> {
        let mut words: Vec<String> = self.accel.words().map(str::to_owned).into();
        let mut option =
            |words_of_it: &[&str]| words.extend(words_of_it.iter().map(|word| (*word).to_owned()));
        // Interrupt remapping needs the split irqchip under KVM; the device program needs the guest's memory in one shared file.
        option(&["-M", "q35,kernel-irqchip=split,memory-backend=mem"]);
        option(&["-object", &format!("memory-backend-memfd,id=mem,size={},share=on", self.memory)]);
        option(&["-m", &self.memory, "-smp", &self.processors.to_string()]);
        option(&["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]);
        words
    }

    fn peripherals(&self) -> Vec<String> {
        // caching-mode tells QEMU of every mapping that the guest makes, so that it can pass it on as DMA_MAP. The IOMMU comes
        // first: a device that is plugged before it does not know it.
        let mut words = vec!["-device".into(), "intel-iommu,intremap=on,caching-mode=on".into()];
        let mut option = |name: &str, value: String| words.extend([name.to_owned(), value]);
        let channel = escaped(&self.channel);
        option("-chardev", format!("socket,id=channel,path={channel},server=on,wait=off"));
        option("-device", "virtio-serial-pci,id=serial".into());
        option("-device", format!("virtserialport,bus=serial.0,chardev=channel,name={PORT_NAME}"));
        for (index, socket) in self.devices.iter().enumerate() {
            option("-device", vfio_user(index, &socket.to_string_lossy()));
        }
        for (index, device) in self.emulated.iter().enumerate() {
            option("-device", device.option(index));
        }
        match &self.console {
            Console::File(file) => {
                option("-chardev", format!("file,id=console,path={}", escaped(file)));
                option("-serial", "chardev:console".into());
            }
            Console::Terminal => option("-serial", "mon:stdio".into()),
        }
        if let Some(gdb) = &self.gdb {
            option("-chardev", format!("socket,id=gdb,path={},server=on,wait=off", escaped(gdb)));
            option("-gdb", "chardev:gdb".into());
            words.push("-S".into());
        }
        words
    }
}

/// Options as JSON: only so does the socket's address, a structure, fit into a device's option.
fn vfio_user(index: usize, socket: &str) -> String {
    let device = serde_json::json!({
        "driver": "vfio-user-pci",
        "id": format!("vfio-user{index}"),
        "bus": "pcie.0",
        "addr": format!("{:#x}", FIRST_SLOT + index),
        "socket": { "type": "unix", "path": socket },
    });
    device.to_string()
}

/// QEMU's option language doubles a comma that belongs to the value.
fn escaped(path: &std::path::Path) -> String {
    path.to_string_lossy().replace(',', ",,")
}

/// A command line that a shell takes as it is.
pub fn copyable(words: &[OsString]) -> String {
    let quoted: Vec<_> = words.iter().map(|word| quote(&word.to_string_lossy())).collect();
    quoted.join(" ")
}

fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=+,.:/@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::qemu::Version;

    fn line() -> Line {
        let qemu = Qemu { words: vec!["qemu".into()], version: Version(11, 1, 3), origin: String::new() };
        let kernel = Kernel { release: "6.12".into(), image: "/k/vmlinuz".into(), modules: None };
        Line {
            qemu,
            accel: AccelKind::Tcg,
            kernel,
            initramfs: "/r/initramfs.cpio".into(),
            append: vec!["extra=1".into()],
            processors: 2,
            memory: "1G".into(),
            devices: vec!["/r/a.sock".into(), "/r/b.sock".into()],
            emulated: vec!["edu".parse().unwrap()],
            channel: "/r/channel,1.sock".into(),
            console: Console::File("/r/console.log".into()),
            gdb: None,
            verbose: false,
            more: vec!["-name".into(), "mine".into()],
        }
    }

    fn text(line: &Line) -> String {
        copyable(&line.words())
    }

    #[test]
    fn the_iommu_comes_before_every_device_that_does_dma_behind_it() {
        let text = text(&line());
        let iommu = text.find("intel-iommu,").unwrap();
        let devices: Vec<_> = text.match_indices("vfio-user-pci").map(|(at, _)| at).collect();
        assert_eq!(devices.len(), 2);
        assert!(devices.iter().all(|at| *at > iommu));
        assert!(text.find("-device edu,id=emulated0,bus=pcie.0,addr=0x8").unwrap() > iommu, "{text}");
    }

    #[test]
    fn each_device_sits_where_its_address_says() {
        assert_eq!(bdf(0), "0000:00:10.0");
        assert_eq!(bdf(MOST_DEVICES - 1), "0000:00:1e.0");
        let device: serde_json::Value = serde_json::from_str(&vfio_user(1, "/a b")).unwrap();
        assert_eq!(device["addr"], "0x11");
        assert_eq!(device["socket"]["path"], "/a b");
    }

    #[test]
    fn a_comma_in_a_path_is_doubled_and_the_users_options_come_last() {
        let text = text(&line());
        assert!(text.contains("path=/r/channel,,1.sock,server=on"), "{text}");
        assert!(text.ends_with("-name mine"), "{text}");
    }

    #[test]
    fn gdb_stops_before_the_first_instruction_at_known_addresses() {
        let line = Line { gdb: Some("/r/gdb.sock".into()), ..line() };
        assert!(line.words().contains(&"-S".into()));
        assert!(line.kernel_command_line().contains("nokaslr"));
    }

    #[test]
    fn a_printed_line_survives_the_shell() {
        let words: Vec<OsString> = ["a b", "it's", "", "{\"a\":1}", "plain"].map(OsString::from).into();
        let output = std::process::Command::new("sh")
            .arg("-c")
            .arg(format!("for word in {}; do echo \"$word\"; done", copyable(&words)))
            .output()
            .unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), "a b\nit's\n\n{\"a\":1}\nplain\n");
    }
}
