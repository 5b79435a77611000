//! Where the kernel delivers a vector: its IRQ number, and that IRQ's processors.

use std::fs;
use std::io;

use crate::hw::Routed;
use crate::hw::host::{Address, Host};

/// Asks the kernel to deliver `vector` of the function on `processor`.
pub(super) fn route(host: &Host, address: Address, vector: u32, processor: u32) -> Routed {
    let Some(irq) = number(host, address, vector) else {
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
fn number(host: &Host, address: Address, vector: u32) -> Option<u32> {
    let irqs = host.function(address).message_irqs();
    let name = format!("vfio-msix[{vector}]({address})");
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
