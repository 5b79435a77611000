//! What the program's man page says beside its options.

use netdma_pages::Notes;

pub(crate) const NOTES: Notes = Notes {
    examples: "\
netdma-lab whole-path
netdma-lab whole-path --kernel newest
netdma-lab sim --seeds 0..10000
netdma-lab sim --seeds 0..1000 stops
netdma-lab kmod dmatest
netdma-lab mend --list
netdma-lab mend completion-word",
    exit_codes: "\
0  all passed; a simulation went as its scenario expects; a patch mends its finding
1  something failed; a simulation found something; a patch does not mend its finding, or it is not there
2  the command line makes no sense
3  the machine room failed: no guest, no QEMU, no kernel, no module",
    environment: &[
        (
            "NETDMA_CACHE",
            "the cache folder with QEMU and kernels [default: $XDG_CACHE_HOME/netdma, else ~/.cache/netdma]",
        ),
        ("RUST_LOG", "what is logged to standard error [default: warnings; nothing in a simulation]"),
    ],
    files: &[
        ("scripts/scenarios/*.toml", "what `sim` knows by name"),
        ("qemu/lab/patches/*.patch", "the patches of `mend`"),
        (
            "~/.cache/netdma/kbuild",
            "compiler, kernel headers and sources that `kmod` builds with; ~/.cache/netdma/modules what it built",
        ),
        ("~/.cache/netdma", "QEMU and kernels; made by netdma-vm-setup(1)"),
    ],
    see_also: &["netdma-lab", "netdma", "vfio-user-ioat", "netdma-vm"],
};
