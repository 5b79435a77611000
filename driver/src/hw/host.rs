//! PCI functions as this host's sysfs shows them.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Where sysfs, procfs and the device nodes are. Elsewhere than `/` only in tests.
#[derive(Clone, Debug)]
pub struct Host {
    root: PathBuf,
}

impl Host {
    /// This host.
    #[must_use]
    pub fn this() -> Self {
        Self::at(Path::new("/"))
    }

    /// A host whose `sys`, `proc` and `dev` are under `root`.
    #[must_use]
    pub fn at(root: &Path) -> Self {
        Self { root: root.into() }
    }

    /// A function's directory.
    pub(crate) fn function(&self, address: Address) -> Function {
        Function { path: self.functions_path().join(address.to_string()) }
    }

    /// The addresses of all functions, sorted. A host without PCI has none.
    pub(crate) fn functions(&self) -> io::Result<Vec<Address>> {
        let entries = match fs::read_dir(self.functions_path()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(vec![]),
            entries => entries?,
        };
        let names = entries.map(|entry| Ok(entry?.file_name())).collect::<io::Result<Vec<_>>>()?;
        let mut all: Vec<Address> = names.iter().filter_map(|name| name.to_str()?.parse().ok()).collect();
        all.sort_unstable();
        Ok(all)
    }

    /// The names of the functions in an IOMMU group.
    pub(crate) fn group_members(&self, group: u32) -> Vec<String> {
        let path = self.root.join(format!("sys/kernel/iommu_groups/{group}/devices"));
        let names = fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.file_name());
        let mut names: Vec<String> = names.map(|name| name.to_string_lossy().into_owned()).collect();
        names.sort_unstable();
        names
    }

    /// The VFIO device nodes.
    pub(crate) fn vfio(&self, node: &str) -> PathBuf {
        self.root.join("dev/vfio").join(node)
    }

    /// The kernel's interrupts.
    pub(crate) fn irq(&self, number: u32) -> PathBuf {
        self.root.join(format!("proc/irq/{number}"))
    }

    fn functions_path(&self) -> PathBuf {
        self.root.join("sys/bus/pci/devices")
    }
}

/// A function's address: domain, bus, device, function, as in `0000:00:10.0`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Address {
    domain: u32,
    bus: u8,
    device: u8,
    function: u8,
}

/// A text that is not a PCI address.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0:?} is not a PCI address: write it as in 0000:00:10.0 or 00:10.0")]
pub struct AddressError(String);

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        parse(text).ok_or_else(|| AddressError(text.into()))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { domain, bus, device, function } = self;
        write!(f, "{domain:04x}:{bus:02x}:{device:02x}.{function}")
    }
}

fn parse(text: &str) -> Option<Address> {
    let (rest, function) = text.rsplit_once('.')?;
    let mut parts = rest.rsplit(':');
    let (device, bus) = (parts.next()?, parts.next()?);
    let domain = parts.next().unwrap_or("0000");
    let none = parts.next().is_none();
    let device = u8::try_from(hex(device, 2..=2)?).ok().filter(|device| *device < 32)?;
    let function = u8::try_from(hex(function, 1..=1)?).ok().filter(|function| *function < 8)?;
    let bus = u8::try_from(hex(bus, 2..=2)?).ok()?;
    none.then_some(Address { domain: hex(domain, 4..=8)?, bus, device, function })
}

/// A hexadecimal number of so many digits; `from_str_radix` alone would take a sign.
fn hex(text: &str, digits: std::ops::RangeInclusive<usize>) -> Option<u32> {
    let plain = digits.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    plain.then(|| u32::from_str_radix(text, 16).ok())?
}

/// One function's directory in sysfs.
#[derive(Clone, Debug)]
pub(crate) struct Function {
    path: PathBuf,
}

impl Function {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn exists(&self) -> bool {
        self.path.exists()
    }

    /// Vendor and device id.
    pub(crate) fn ids(&self) -> io::Result<(u16, u16)> {
        Ok((self.id("vendor")?, self.id("device")?))
    }

    /// The driver that it is bound to.
    pub(crate) fn driver(&self) -> Option<String> {
        self.link("driver")
    }

    /// Its IOMMU group; none if no IOMMU translates for it.
    pub(crate) fn iommu_group(&self) -> Option<u32> {
        self.link("iommu_group")?.parse().ok()
    }

    /// Its NUMA node, where the platform says.
    pub(crate) fn numa_node(&self) -> Option<u32> {
        self.text("numa_node").ok()?.parse().ok()
    }

    /// The kernel's numbers of its message interrupts, in rising order.
    pub(crate) fn message_irqs(&self) -> Vec<u32> {
        let names = fs::read_dir(self.path.join("msi_irqs")).into_iter().flatten().flatten();
        let mut irqs: Vec<u32> = names.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
        irqs.sort_unstable();
        irqs
    }

    fn id(&self, name: &str) -> io::Result<u16> {
        let text = self.text(name)?;
        u16::from_str_radix(text.trim_start_matches("0x"), 16).map_err(io::Error::other)
    }

    fn link(&self, name: &str) -> Option<String> {
        let target = fs::read_link(self.path.join(name)).ok()?;
        Some(target.file_name()?.to_str()?.into())
    }

    fn text(&self, name: &str) -> io::Result<String> {
        fs::read_to_string(self.path.join(name)).map(|text| text.trim().into())
    }
}
