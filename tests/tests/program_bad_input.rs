//! What each program says of a command line, a device or a machine that is not as it should be: one line on standard error
//! that names the thing and the mend, an exit code, and nothing left behind.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::fs;
use std::path::Path;
use std::process::Command;

use netdma_tests::process::{Ran, run};
use netdma_tests::program;
use tempfile::TempDir;

/// A command line, with `DIR` for the case's own folder; the exit code; and parts of the one line.
type Case = (&'static str, i32, &'static [&'static str]);

/// A machine with nothing on it: an empty cache, an empty temporary folder, no QEMU on PATH.
struct Bare {
    folder: TempDir,
}

impl Bare {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["tmp", "home", "work"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        fs::write(folder.path().join("work/file"), "data").unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn run(&self, name: &str, arguments: &str) -> Ran {
        let work = self.path("work");
        let arguments = arguments.split('|').filter(|word| !word.is_empty());
        let arguments = arguments.map(|word| word.replace("DIR", work.to_str().unwrap()));
        run(Command::new(program(name))
            .args(arguments)
            .current_dir(&work)
            .env("TMPDIR", self.path("tmp"))
            .env("HOME", self.path("home"))
            .env("NETDMA_CACHE", self.path("home/cache"))
            .env("PATH", self.path("home"))
            .env_remove("XDG_CACHE_HOME")
            .env_remove("XDG_RUNTIME_DIR"))
    }

    fn is_untouched(&self, what: &str) {
        let names = |name| {
            let entries = fs::read_dir(self.path(name)).unwrap();
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(names("tmp"), [""; 0], "{what} left temporary files behind");
        assert_eq!(names("work"), ["file"], "{what} left files behind");
        assert_eq!(fs::read_to_string(self.path("work/file")).unwrap(), "data", "{what} changed a file");
        assert_eq!(names_of_processes_in(self.folder.path()), [""; 0], "{what} left processes behind");
    }
}

/// Processes that have something of this folder as their working folder or on their command line.
fn names_of_processes_in(folder: &Path) -> Vec<String> {
    let folder = folder.to_str().unwrap();
    let processes = fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let path = entry.ok()?.path();
        path.file_name()?.to_str()?.parse::<u32>().ok()?;
        // A process that ended meanwhile has neither.
        let line = fs::read(path.join("cmdline")).ok()?;
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        let place = fs::read_link(path.join("cwd")).unwrap_or_default();
        (line.contains(folder) || place.starts_with(folder)).then_some(line)
    });
    processes.collect()
}

/// `|` separates the words.
fn each_is_one_line(name: &str, cases: &[Case]) {
    let bare = Bare::new();
    for (arguments, code, parts) in cases {
        let ran = bare.run(name, arguments);
        let what = format!("{name} {}", arguments.replace('|', " "));
        assert_eq!(ran.err.lines().count(), 1, "{what} says\n{}{}", ran.err, ran.out);
        assert!(ran.err.starts_with(&format!("{name}: ")), "{what} says\n{}", ran.err);
        for part in *parts {
            let part = part.replace("DIR", bare.path("work").to_str().unwrap());
            assert!(ran.err.contains(&part), "{what}: no {part:?} in\n{}", ran.err);
        }
        assert_eq!((ran.code, ran.out.as_str()), (Some(*code), ""), "{what}: {}", ran.err);
        bare.is_untouched(&what);
    }
}

#[test]
fn vfio_user_ioat() {
    each_is_one_line(
        "vfio-user-ioat",
        &[
            ("", 2, &["no place to serve: give --socket-path PATH or --fd N"]),
            ("--socket", 2, &["unexpected argument '--socket'", "see `vfio-user-ioat --help`"]),
            ("--socket-path", 2, &["--socket-path <PATH>", "see `vfio-user-ioat --help`"]),
            ("--socket-path|DIR/s|--fd|3", 2, &["--socket-path and --fd exclude each other: give one"]),
            ("--socket-path|DIR/file", 1, &["DIR/file", "is not a socket; remove it or choose another"]),
            (
                "--socket-path|DIR/no/s",
                1,
                &["DIR/no/s: cannot listen: No such file or directory (os error 2)\n"],
            ),
            ("--fd|99", 1, &["file descriptor 99 is not a listening or connected UNIX stream socket"]),
            ("--fd|x", 2, &["invalid value 'x' for '--fd <N>'"]),
            ("--socket-path|DIR/s|--channels|9", 2, &["invalid value '9' for '--channels", "1..=8"]),
            (
                "--socket-path|DIR/s|--profile|icx",
                2,
                &["unknown profile 'icx': the profiles are skx, netdma\n"],
            ),
            (
                "--socket-path|DIR/s|--vectors|9",
                2,
                &["--vectors: 9 MSI-X vectors: a device of 4 channels has 0"],
            ),
            ("--socket-path|DIR/s|--vectors|x", 2, &["invalid value 'x' for '--vectors <N>'"]),
            (
                "--socket-path|DIR/s|--fault|x",
                2,
                &["fault rule 'x': expected '[NAME =] POINT[FILTER, ...]: TRIGGER [TRIGGER ...] ACTION'"],
            ),
            ("--socket-path|DIR/s|--lint=maybe", 2, &["invalid value 'maybe' for '--lint", "report, deny"]),
            ("--socket-path|DIR/s|--trace|DIR/no/t", 1, &["cannot create the trace file DIR/no/t"]),
            (
                "--socket-path|DIR/s|--trace|DIR/t|--trace-detail|all",
                2,
                &["invalid value 'all' for '--trace-detail <WHAT>'", "expected descriptors or stages"],
            ),
            ("--socket-path|DIR/s|--trace-detail|stages", 2, &["required", "--trace <FILE>"]),
        ],
    );
}

#[test]
fn netdma() {
    each_is_one_line(
        "netdma",
        &[
            ("", 2, &["no command given: see `netdma --help`"]),
            ("lst", 2, &["unrecognized subcommand 'lst'", "'list'"]),
            ("info|--on|foo", 2, &["--on foo: this is no device: write sim, socket:PATH, or a PCI address"]),
            ("info|--on|socket:DIR/s", 3, &["DIR/s: no such socket: start the device with --socket-path"]),
            ("info|--on|socket:DIR/file", 3, &["DIR/file: this is not a socket"]),
            ("info|--on|ffff:ff:1f.7", 3, &["ffff:ff:1f.7: there is no such PCI function: `netdma list`"]),
            ("info|--profile|icx", 2, &["--profile icx: unknown: the profiles are skx"]),
            ("info|--channels|0", 2, &["invalid value '0' for '--channels <1..=8>'"]),
            ("selftest|--fault|msix: drop", 2, &["fault rule 'msix: drop'"]),
            ("selftest|--processors|33", 2, &["invalid value '33' for '--processors <1..=32>'"]),
            ("selftest|--trace|DIR/no/t", 1, &["cannot create the trace file DIR/no/t"]),
            (
                "copy|--trace|DIR/t|--trace-detail|off",
                2,
                &["invalid value 'off'", "expected descriptors or stages"],
            ),
            ("copy|--input|DIR/no", 1, &["cannot read DIR/no: No such file or directory"]),
            ("copy|--input|DIR", 1, &["cannot read DIR: Is a directory"]),
            ("copy|--size|1M|--output|DIR/no/out", 1, &["cannot write DIR/no/out: No such file"]),
            ("copy|--size|1M|--output|/dev/full", 1, &["cannot write /dev/full: No space left on device"]),
            ("copy|--size|lots", 2, &["--size 'lots'"]),
            ("copy|--channel|7", 2, &["--channel 7: this engine has 4 channels: give 0 to 3"]),
            ("copy|--size|2M|--output|DIR/out|--fault|copy: nth(2) corrupt(5)", 1, &["offset 1048581"]),
        ],
    );
}

#[test]
fn netdma_vm() {
    each_is_one_line(
        "netdma-vm",
        &[
            ("", 125, &["no command given: see `netdma-vm --help`"]),
            ("boot", 125, &["nothing to run: give `-- COMMAND`, --shell or --print"]),
            ("boot|--smp|0|--|true", 125, &["invalid value '0' for '--smp <N>'", "see `netdma-vm --help`"]),
            ("boot|--mem|much|--|true", 125, &["'much'", "give for example 512M or 1G"]),
            ("boot|--|true", 125, &["no guest kernel in ", "run `netdma-vm setup`"]),
            ("boot|--print", 125, &["no guest kernel in ", "run `netdma-vm setup`"]),
            ("boot|--kernel|DIR/no|--|true", 125, &["kernel DIR/no: No such file or directory"]),
            ("boot|--kernel|DIR/file|--|true", 125, &["kernel DIR/file: not an x86 Linux image (bzImage)"]),
            ("boot|--shell|--|true", 125, &["'--shell' cannot be used with", "see `netdma-vm --help`"]),
            ("doctor|--qemu|4194305", 125, &["process 4194305: No such file or directory (os error 2)\n"]),
        ],
    );
}

#[test]
fn netdma_lab() {
    each_is_one_line(
        "netdma-lab",
        &[
            ("", 2, &["no command given: see `netdma-lab --help`"]),
            ("whole", 2, &["unrecognized subcommand 'whole'", "see `netdma-lab --help`"]),
            ("whole-path|--kernl|6", 2, &["unexpected argument '--kernl'", "see `netdma-lab --help`"]),
        ],
    );
}
