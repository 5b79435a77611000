//! What the program's man page says beside its options.

use netdma_pages::Notes;

pub(crate) const NOTES: Notes = Notes {
    examples: "\
netdma-vm setup --kernel 6.12 --kernel newest
netdma-vm doctor
netdma-vm doctor --qemu PID
virsh domxml-to-native qemu-argv domain.xml | netdma-vm doctor --argv -
netdma-vm boot --add netdma -- netdma selftest --quick --on {bdf}
netdma-vm boot --print -- true
netdma-vm qemu -- -device vfio-user-pci,help
netdma-vm runner target/debug/deps/driver-0123456789abcdef
netdma-vm clean --dry-run",
    exit_codes: "\
boot and runner: as the command in the guest; and else
  124  the time limit came first
  125  the harness failed: no QEMU, no kernel, no device, a wrong option
  134  the guest panicked; the end of its console was printed
  128 + N  signal N asked this program to stop
doctor:
  0  nothing is missing; no mistake on QEMU's line
  1  something is missing; a mistake was named
  125  there is no such process, or it is not QEMU
qemu: as QEMU ends
setup, clean: 0, or 125 with the reason",
    environment: &[
        ("NETDMA_CACHE", "the cache folder [default: $XDG_CACHE_HOME/netdma, else ~/.cache/netdma]"),
        (
            "NETDMA_VM_INIT",
            "the static netdma-vm-init, where it is not beside this program or in its target folder",
        ),
        (
            "NETDMA_VM_KERNEL and others",
            "options of `runner`, each named beside its option in netdma-vm-runner(1)",
        ),
        ("PATH", "where a QEMU of 10.1 or newer is looked for before the cache's is used"),
        ("RUST_LOG", "what is logged to standard error [default: errors]"),
        ("TMPDIR", "where the folders of runs are made"),
        (
            "NETDMA_VM_BDF, NETDMA_VM_BDFS",
            "set for commands in the guest: the first device's PCI address, and all of them",
        ),
        ("NETDMA_BDF, NETDMA_BDFS", "the same, set for the program of `runner`"),
    ],
    files: &[
        ("~/.cache/netdma/qemu", "a QEMU with all that it needs, where PATH has none"),
        ("~/.cache/netdma/kernels/RELEASE", "a guest kernel and its modules"),
        ("~/.cache/netdma/busybox", "the guest's shell and tools"),
        ("~/.cache/netdma/printed", "what `boot --print` built"),
    ],
    see_also: &["netdma-vm", "netdma", "vfio-user-ioat", "netdma-lab"],
};
