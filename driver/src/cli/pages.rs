//! What the program's man page says beside its options.

use netdma_pages::Notes;

pub(crate) const NOTES: Notes = Notes {
    // In `args`, for `--help` shows them too.
    examples: "",
    exit_codes: "",
    environment: &[(
        "RUST_LOG",
        "what is logged to standard error, as `debug` or `netdma::ioat=trace`; wins over -v",
    )],
    files: &[
        (
            "/dev/vfio/GROUP",
            "the IOMMU group of a function that is bound to vfio-pci; must be the user's, or the user root",
        ),
        ("/sys/bus/pci/devices/BDF", "where a function, its driver and its IOMMU group are looked up"),
    ],
    see_also: &["netdma", "vfio-user-ioat", "netdma-vm", "netdma-lab"],
};
