//! Where the kernel delivers a vector: its IRQ number, and that IRQ's processors.

use std::fs;
use std::io;

use crate::hw::Routed;
use crate::hw::host::{Address, Host};

/// Asks the kernel to deliver `vector` of the function on `processor`. `kind` is "msi" or "msix".
pub(super) fn route(host: &Host, address: Address, kind: &str, vector: u32, processor: u32) -> Routed {
    let Some(irq) = number(host, address, kind, vector) else {
        return Routed::NotPermitted(format!(
            "{address} has no interrupt for vector {vector}: is it enabled?"
        ));
    };
    let path = host.irq(irq).join("smp_affinity_list");
    match fs::write(&path, format!("{processor}\n")) {
        Ok(()) => Routed::Kernel(processor),
        Err(error) => Routed::NotPermitted(format!("{}: {}", path.display(), reason(&error, processor))),
    }
}

/// The kernel's number of the vector's interrupt. vfio-pci names each interrupt after its vector, and procfs has
/// a directory of that name; where it is not seen, the numbers are taken in rising order, which is the order
/// in which the kernel gives them.
fn number(host: &Host, address: Address, kind: &str, vector: u32) -> Option<u32> {
    let irqs = host.function(address).message_irqs();
    let name = format!("vfio-{kind}[{vector}]({address})");
    let named = irqs.iter().copied().find(|irq| host.irq(*irq).join(&name).exists());
    named.or_else(|| irqs.get(usize::try_from(vector).ok()?).copied())
}

fn reason(error: &io::Error, processor: u32) -> String {
    match error.raw_os_error() {
        // The kernel writes EINVAL for an empty set of processors that are online.
        Some(libc::EINVAL) => format!("processor {processor} is not there"),
        Some(libc::EIO) => "the kernel manages this interrupt's processors itself".into(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const FUNCTION: &str = "0000:00:10.0";

    /// A function with interrupts 40 and 41, whose vectors were given the other way round.
    fn tree(root: &Path) -> (Host, Address) {
        let irqs = root.join("sys/bus/pci/devices").join(FUNCTION).join("msi_irqs");
        fs::create_dir_all(&irqs).unwrap();
        for (irq, vector) in [(40, 1), (41, 0)] {
            fs::write(irqs.join(irq.to_string()), "msix\n").unwrap();
            let name = format!("vfio-msix[{vector}]({FUNCTION})");
            fs::create_dir_all(root.join(format!("proc/irq/{irq}")).join(name)).unwrap();
        }
        (Host::at(root), FUNCTION.parse().unwrap())
    }

    fn list(root: &Path, irq: u32) -> Option<String> {
        fs::read_to_string(root.join(format!("proc/irq/{irq}/smp_affinity_list"))).ok()
    }

    #[test]
    fn a_vector_goes_by_its_name_not_by_its_place() {
        let root = tempfile::tempdir().unwrap();
        let (host, address) = tree(root.path());
        assert_eq!(route(&host, address, "msix", 0, 3), Routed::Kernel(3));
        assert_eq!(list(root.path(), 41).as_deref(), Some("3\n"));
        assert_eq!(list(root.path(), 40), None);
    }

    #[test]
    fn without_names_the_rising_numbers_are_the_vectors() {
        let root = tempfile::tempdir().unwrap();
        let (host, address) = tree(root.path());
        fs::remove_dir_all(root.path().join("proc/irq")).unwrap();
        fs::create_dir_all(root.path().join("proc/irq/41")).unwrap();
        assert_eq!(route(&host, address, "msix", 1, 0), Routed::Kernel(0));
        assert_eq!(list(root.path(), 41).as_deref(), Some("0\n"));
    }

    #[test]
    fn what_was_not_done_is_said_with_the_reason() {
        let root = tempfile::tempdir().unwrap();
        let (host, address) = tree(root.path());
        let Routed::NotPermitted(missing) = route(&host, address, "msix", 7, 0) else {
            panic!("vector 7 was routed")
        };
        assert!(missing.contains("no interrupt for vector 7"), "{missing}");
        fs::create_dir(root.path().join("proc/irq/40/smp_affinity_list")).unwrap();
        let Routed::NotPermitted(refused) = route(&host, address, "msix", 1, 0) else {
            panic!("vector 1 was routed")
        };
        assert!(refused.contains("irq/40/smp_affinity_list: "), "{refused}");
        assert!(reason(&io::Error::from_raw_os_error(libc::EINVAL), 9).contains("processor 9 is not there"));
    }
}
