//! What the program's man page says beside its options.

use netdma_pages::Notes;

pub(crate) const NOTES: Notes = Notes {
    examples: "\
netdma-lab whole-path
netdma-lab whole-path --kernel newest
netdma-lab sim --seeds 0..10000
netdma-lab sim --seeds 0..1000 stops
netdma-lab experiment plan scripts/experiments/own-sim.toml
netdma-lab experiment run scripts/experiments/own-sim.toml --journal own.jsonl
netdma-lab experiment run scripts/experiments/own-sim.toml --shard 2/4 --resume
netdma-lab experiment merge --out all.jsonl own-sim-*-of-4.jsonl
netdma-lab try --stock ioatdma --points complete
netdma-lab kmod dmatest
netdma-lab mend --list
netdma-lab mend completion-word",
    exit_codes: "\
0  all passed; a simulation went as its scenario expects; a patch mends its finding; an experiment found nothing new
1  something failed; a simulation, or an experiment, found something new; a patch does not mend its finding, or it is not there
2  the command line makes no sense
3  the machine room failed: no guest, no QEMU, no kernel, no module; a full disk, an interruption: resume the experiment
4  no experiment is to be run here",
    environment: &[
        (
            "NETDMA_CACHE",
            "the cache folder with QEMU and kernels [default: $XDG_CACHE_HOME/netdma, else ~/.cache/netdma]",
        ),
        (
            "NETDMA_LAB_PARTITION",
            "the shard of `experiment run`, as nextest writes it: hash:I/N, counted from 1; --shard wins",
        ),
        (
            "SLURM_ARRAY_TASK_ID, SLURM_ARRAY_TASK_MIN, SLURM_ARRAY_TASK_COUNT",
            "the same from a Slurm array; the task of the lowest number is shard 1",
        ),
        (
            "JOB_COMPLETION_INDEX, JOB_COMPLETIONS",
            "the same from a Kubernetes Indexed Job, counted from 0; the template has to set the second",
        ),
        (
            "RUST_LOG",
            "what is logged to standard error [default: warnings; nothing in a simulation or an experiment]",
        ),
    ],
    files: &[
        ("scripts/scenarios/*.toml", "what `sim` knows by name"),
        ("scripts/experiments/*.toml", "campaigns of experiments"),
        ("qemu/lab/patches/*.patch", "the patches of `mend`"),
        (
            "~/.cache/netdma/kbuild",
            "compiler, kernel headers and sources that `kmod` builds with; ~/.cache/netdma/modules what it built",
        ),
        ("~/.cache/netdma", "QEMU and kernels; made by netdma-vm-setup(1)"),
    ],
    see_also: &["netdma-lab", "netdma", "vfio-user-ioat", "netdma-vm"],
};
