//! What the program's man page says beside its options.

use netdma_pages::Notes;

pub(crate) const NOTES: Notes = Notes {
    // In `options`, for `--help` shows them too.
    examples: "",
    exit_codes: "\
0  ended by SIGTERM or SIGINT, or with --once by its client
1  the place cannot be served, or serving it failed
2  the command line makes no sense
5  --lint=deny, and the driver broke a rule
137  a fault rule said `kill`: the program ended as in a crash",
    environment: &[(
        "RUST_LOG",
        "what is logged to standard error, as `warn` or `vfio_user_ioat=debug` [default: info]",
    )],
    files: &[
        (
            "PATH of --socket-path",
            "the UNIX socket; made at the start, removed at the end. A stale one is replaced, a live one is not",
        ),
        (
            "share/qemu/vfio-user/50-netdma-ioat.json",
            "says to a management program what this device is, in the manner of QEMU's vhost-user folder (not standardised)",
        ),
    ],
    see_also: &["vfio-user-ioat", "netdma", "netdma-vm", "netdma-lab"],
};
