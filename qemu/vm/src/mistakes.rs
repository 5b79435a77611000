//! What is wrong with a QEMU command line when vfio-user devices are to do DMA in its guest.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

use crate::qemu::{OLDEST_QEMU, Version};

/// A mistake on a QEMU command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mistake {
    /// No vfio-user device at all.
    NoDevice,
    /// QEMU is older than vfio-user-pci.
    Version(Version),
    /// There is no memory backend object, so the device program gets no memory.
    NoBackend,
    /// A memory backend that is private to QEMU.
    Unshared {
        /// Its id.
        id: String,
    },
    /// The machine does not use this backend as its memory.
    Unlinked {
        /// Its id.
        id: String,
    },
    /// Memory from the middle of a file.
    Offset {
        /// Its id.
        id: String,
    },
    /// QEMU is not told of the guest's mappings.
    NoCachingMode,
    /// Interrupt remapping with an irqchip that cannot do it.
    NoSplitIrqchip,
    /// The AMD IOMMU does not remap DMA.
    NoDmaRemap,
    /// The IOMMU is plugged after a device that needs it.
    IommuAfterDevice {
        /// The IOMMU's driver.
        iommu: String,
    },
}

impl fmt::Display for Mistake {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoDevice => out.write_str("no vfio-user device: add -device '{\"driver\":\"vfio-user-pci\",\"socket\":{\"type\":\"unix\",\"path\":\"...\"}}'"),
            Self::Version(version) => write!(out, "QEMU {version} has no vfio-user-pci: use {OLDEST_QEMU} or newer"),
            Self::NoBackend => out.write_str("no shared memory: add -object memory-backend-memfd,id=mem,size=...,share=on and -machine memory-backend=mem"),
            Self::Unshared { id } => write!(out, "memory backend {id} is not shared, so the device cannot reach it: add share=on"),
            Self::Unlinked { id } => write!(out, "memory backend {id} is not the machine's memory: add -machine memory-backend={id}"),
            Self::Offset { id } => write!(out, "memory backend {id} begins inside its file: leave out offset="),
            Self::NoCachingMode => out.write_str("intel-iommu without caching-mode=on: QEMU does not learn of the guest's mappings, DMA fails"),
            Self::NoSplitIrqchip => out.write_str("interrupt remapping needs -machine kernel-irqchip=split"),
            Self::NoDmaRemap => out.write_str("amd-iommu without dma-remap=on: DMA is not remapped for the device"),
            Self::IommuAfterDevice { iommu } => write!(out, "{iommu} stands after a vfio-user-pci device: put the IOMMU first"),
        }
    }
}

/// Reads a QEMU command line, without the program's name, and names each mistake.
pub fn find(arguments: &[String], version: Option<Version>) -> Vec<Mistake> {
    let options = options(arguments);
    let devices: Vec<_> = options.iter().filter(|option| option.name == "device").collect();
    let is_ours = |option: &&Opt| option.head() == "vfio-user-pci";
    let mut mistakes = Vec::new();
    let first_device = devices.iter().position(is_ours);
    if first_device.is_none() {
        mistakes.push(Mistake::NoDevice);
    }
    mistakes.extend(version.filter(|version| *version < OLDEST_QEMU).map(Mistake::Version));
    memory(&options, &mut mistakes);
    for (position, device) in devices.iter().enumerate() {
        if !is_iommu(device.head()) {
            continue;
        }
        iommu(device, &options, &mut mistakes);
        if first_device.is_some_and(|first| first < position) {
            mistakes.push(Mistake::IommuAfterDevice { iommu: device.head().to_owned() });
        }
    }
    mistakes
}

fn is_iommu(driver: &str) -> bool {
    matches!(driver, "intel-iommu" | "amd-iommu" | "virtio-iommu-pci" | "virtio-iommu")
}

fn memory(options: &[Opt], mistakes: &mut Vec<Mistake>) {
    let is_backend = |option: &&Opt| option.name == "object" && option.head().starts_with("memory-backend-");
    let backends: Vec<_> = options.iter().filter(is_backend).collect();
    if backends.is_empty() {
        mistakes.push(Mistake::NoBackend);
    }
    for backend in backends {
        let id = backend.get("id").unwrap_or_default().to_owned();
        // A memfd and shm are shared unless told otherwise; RAM and a file are private unless told otherwise.
        let shared_by_itself = matches!(backend.head(), "memory-backend-memfd" | "memory-backend-shm");
        if !backend.is_on("share").unwrap_or(shared_by_itself) {
            mistakes.push(Mistake::Unshared { id: id.clone() });
        }
        if backend.get("offset").is_some_and(|offset| !matches!(offset, "0" | "0x0")) {
            mistakes.push(Mistake::Offset { id: id.clone() });
        }
        let machine = machine_property(options, "memory-backend") == Some(id.as_str());
        let node =
            options.iter().any(|option| option.name == "numa" && option.get("memdev") == Some(id.as_str()));
        // A DIMM names its backend too.
        let dimm =
            options.iter().any(|option| option.name == "device" && option.get("memdev") == Some(id.as_str()));
        if !machine && !node && !dimm {
            mistakes.push(Mistake::Unlinked { id });
        }
    }
}

fn iommu(device: &Opt, options: &[Opt], mistakes: &mut Vec<Mistake>) {
    match device.head() {
        "intel-iommu" if device.is_on("caching-mode") != Some(true) => mistakes.push(Mistake::NoCachingMode),
        "amd-iommu" if device.is_on("dma-remap") != Some(true) => mistakes.push(Mistake::NoDmaRemap),
        _ => {}
    }
    let remaps_interrupts = device.is_on("intremap") == Some(true) || device.is_on("eim") == Some(true);
    let irqchip = machine_property(options, "kernel-irqchip");
    if remaps_interrupts && !matches!(irqchip, Some("split" | "off")) {
        mistakes.push(Mistake::NoSplitIrqchip);
    }
}

/// The machine's properties come from every -machine and -M; the last counts.
fn machine_property<'a>(options: &'a [Opt], key: &str) -> Option<&'a str> {
    let machines = options.iter().rev().filter(|option| matches!(option.name.as_str(), "M" | "machine"));
    machines.filter_map(|machine| machine.get(key).or_else(|| machine.get(&key.replace('-', "_")))).next()
}

/// One option with its properties.
#[derive(Debug)]
struct Opt {
    name: String,
    head: String,
    properties: BTreeMap<String, String>,
}

impl Opt {
    /// The driver, the object's type, the machine's name.
    fn head(&self) -> &str {
        &self.head
    }

    fn get(&self, key: &str) -> Option<&str> {
        self.properties.get(key).map(String::as_str)
    }

    fn is_on(&self, key: &str) -> Option<bool> {
        self.get(key).map(|value| matches!(value, "on" | "yes" | "true" | "y"))
    }

    fn new(name: &str, value: &str) -> Self {
        let mut option = Self { name: name.into(), head: String::new(), properties: BTreeMap::new() };
        match serde_json::from_str(value) {
            Ok(Value::Object(map)) => {
                for (key, value) in map {
                    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                    option.properties.insert(key, text);
                }
            }
            _ => option.read_words(value),
        }
        let named = ["driver", "qom-type", "type"].iter().find_map(|key| option.get(key).map(str::to_owned));
        if let (true, Some(named)) = (option.head.is_empty(), named) {
            option.head = named;
        }
        option
    }

    /// `head,key=value,key`; a doubled comma belongs to the value.
    fn read_words(&mut self, value: &str) {
        let value = value.replace(",,", "\0");
        for (index, word) in value.split(',').enumerate() {
            let word = word.replace('\0', ",");
            match word.split_once('=') {
                Some((key, value)) => drop(self.properties.insert(key.into(), value.into())),
                None if index == 0 => self.head = word,
                None => drop(self.properties.insert(word, "on".into())),
            }
        }
    }
}

/// Options that matter here all have a value; a word with a dash before another such word is a flag.
fn options(arguments: &[String]) -> Vec<Opt> {
    let mut options = Vec::new();
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        let name = word.trim_start_matches('-');
        if word.starts_with('-') && matches!(name, "device" | "object" | "M" | "machine" | "numa") {
            if let Some(value) = words.next() {
                options.push(Opt::new(name, value));
            }
        }
    }
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEVICE: &str = r#"-device {"driver":"vfio-user-pci","socket":{"type":"unix","path":"/s"}}"#;
    const IOMMU: &str = "-device intel-iommu,intremap=on,caching-mode=on";
    const MEMORY: &str = "-object memory-backend-memfd,id=mem,size=1G,share=on";
    const MACHINE: &str = "-M q35,kernel-irqchip=split,memory-backend=mem";

    fn mistakes(options: &[&str]) -> Vec<Mistake> {
        let words = options.iter().flat_map(|option| option.splitn(2, ' ')).map(str::to_owned);
        find(&words.collect::<Vec<_>>(), Some(Version(11, 1, 3)))
    }

    #[test]
    fn our_own_line_has_no_mistake() {
        assert_eq!(mistakes(&[MACHINE, MEMORY, IOMMU, DEVICE]), []);
    }

    #[test]
    fn each_kind_of_memory_mistake_is_named() {
        let id = || "mem".to_owned();
        assert_eq!(mistakes(&["-M q35,kernel-irqchip=split", IOMMU, DEVICE]), [Mistake::NoBackend]);
        let private = "-object memory-backend-memfd,id=mem,size=1G,share=off";
        assert_eq!(mistakes(&[MACHINE, private, IOMMU, DEVICE]), [Mistake::Unshared { id: id() }]);
        let ram = "-object memory-backend-ram,id=mem,size=1G";
        assert_eq!(mistakes(&[MACHINE, ram, IOMMU, DEVICE]), [Mistake::Unshared { id: id() }]);
        let file = "-object memory-backend-file,id=mem,size=1G,mem-path=/x,share=on,offset=4096";
        assert_eq!(mistakes(&[MACHINE, file, IOMMU, DEVICE]), [Mistake::Offset { id: id() }]);
        let machine = "-machine q35,kernel-irqchip=split";
        assert_eq!(mistakes(&[machine, MEMORY, IOMMU, DEVICE]), [Mistake::Unlinked { id: id() }]);
    }

    #[test]
    fn a_numa_node_or_a_second_machine_option_links_memory_too() {
        let machine = "-machine q35,kernel-irqchip=split";
        assert_eq!(mistakes(&[machine, "-numa node,memdev=mem", MEMORY, IOMMU, DEVICE]), []);
        assert_eq!(mistakes(&[machine, "-machine memory-backend=mem", MEMORY, IOMMU, DEVICE]), []);
    }

    #[test]
    fn each_iommu_mistake_is_named() {
        let iommu = "-device intel-iommu,intremap=on";
        assert_eq!(mistakes(&[MACHINE, MEMORY, iommu, DEVICE]), [Mistake::NoCachingMode]);
        let machine = "-M q35,memory-backend=mem";
        assert_eq!(mistakes(&[machine, MEMORY, IOMMU, DEVICE]), [Mistake::NoSplitIrqchip]);
        assert_eq!(mistakes(&[MACHINE, MEMORY, "-device amd-iommu", DEVICE]), [Mistake::NoDmaRemap]);
        let late = mistakes(&[MACHINE, MEMORY, DEVICE, IOMMU]);
        assert_eq!(late, [Mistake::IommuAfterDevice { iommu: "intel-iommu".into() }]);
    }

    #[test]
    fn objects_and_devices_as_json_are_read_too() {
        let memory =
            r#"-object {"qom-type":"memory-backend-file","id":"mem","size":1,"mem-path":"/x","share":true}"#;
        let iommu = r#"-device {"driver":"intel-iommu","intremap":"on","caching-mode":false}"#;
        assert_eq!(mistakes(&[MACHINE, memory, iommu, DEVICE]), [Mistake::NoCachingMode]);
    }

    #[test]
    fn an_old_version_and_a_missing_device_are_named() {
        let words: Vec<_> = [MACHINE, MEMORY, IOMMU]
            .iter()
            .flat_map(|option| option.splitn(2, ' '))
            .map(str::to_owned)
            .collect();
        let old = Version(10, 0, 2);
        assert_eq!(find(&words, Some(old)), [Mistake::NoDevice, Mistake::Version(old)]);
    }
}
