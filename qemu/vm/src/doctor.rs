//! What this machine has and lacks, each with the command that mends it.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::Command;

use thiserror::Error;

use crate::accel;
use crate::apt;
use crate::cache::{About, Cache};
use crate::device;
use crate::init_program;
use crate::kernel;
use crate::mistakes::{self, Mistake};
use crate::qemu::{self, Version};
use crate::setup::mebibytes;
use crate::syscall;

/// Room for a first setup with two kernels.
const ROOM_BYTES: u64 = 1 << 30;

/// Memory for one guest of the default size and its device.
const MEMORY_BYTES: u64 = 1536 << 20;

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What.
    pub name: &'static str,
    /// How it stands.
    pub state: State,
}

/// How a thing stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It is there: this one.
    Ok(String),
    /// It is not as good as it could be, and everything works.
    Note(String),
    /// It is needed and missing.
    Missing {
        /// What is missing.
        what: String,
        /// The command that mends it.
        mend: String,
    },
}

/// Why a running QEMU cannot be looked at.
#[derive(Debug, Error)]
#[error("process {pid}: {source}")]
pub struct NoProcess {
    /// The process number.
    pub pid: u32,
    /// Why.
    pub source: io::Error,
}

/// Why a written command line cannot be looked at.
#[derive(Debug, Error)]
#[error("not QEMU's command line: {0}")]
pub struct NoLine(String);

/// Looks at everything that `boot` needs.
pub fn checks(cache: &Cache) -> Vec<Check> {
    let checks: [(&'static str, State); 8] = [
        ("qemu", of_qemu(cache)),
        ("kernel", of_kernel(cache)),
        ("busybox", of_busybox(cache)),
        ("guest init", of_init()),
        ("kvm", of_kvm()),
        ("memory", of_memory()),
        ("disk", of_disk(cache)),
        ("apt", of_apt(cache)),
    ];
    checks.into_iter().map(|(name, state)| Check { name, state }).collect()
}

/// Reads the command line of a running QEMU and names each mistake for vfio-user.
pub fn running_qemu(pid: u32) -> Result<Vec<Mistake>, NoProcess> {
    let folder = PathBuf::from(format!("/proc/{pid}"));
    let line = fs::read(folder.join("cmdline")).map_err(|source| NoProcess { pid, source })?;
    let words: Vec<_> = line
        .split(|byte| *byte == 0)
        .filter(|word| !word.is_empty())
        .map(|word| String::from_utf8_lossy(word).into_owned())
        .collect();
    let program = program_words(&words);
    if program.is_empty() {
        let source = io::Error::other("not a running QEMU (its command line names no qemu program)");
        return Err(NoProcess { pid, source });
    }
    Ok(mistakes::find(&words[program.len()..], version_of(program)))
}

/// Reads a command line that somebody wrote, or that a tool printed, and names each mistake for vfio-user: words as a shell takes
/// them, or ended by zeros as in `/proc/PID/cmdline`. Settings of the environment and a loader may stand before QEMU's name.
/// Nothing is started, so QEMU's version is not known and not judged.
pub fn written_line(line: &str) -> Result<Vec<Mistake>, NoLine> {
    let words = if line.contains('\0') {
        line.split('\0').filter(|word| !word.trim().is_empty()).map(str::to_owned).collect()
    } else {
        device::split(&without_comments(line)).map_err(|why| NoLine(why.into()))?
    };
    let program = program_words(&words);
    if program.is_empty() {
        return Err(NoLine("it names no qemu program".into()));
    }
    Ok(mistakes::find(&words[program.len()..], None))
}

/// Whole lines of comment only: elsewhere `#` may belong to a word.
fn without_comments(text: &str) -> String {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    lines.collect::<Vec<_>>().join("\n")
}

/// The words up to and with the QEMU program: more than one when a loader runs it.
fn program_words(words: &[String]) -> &[String] {
    let is_qemu = |word: &String| word.rsplit('/').next().is_some_and(|name| name.starts_with("qemu"));
    let end = words.iter().position(is_qemu).map_or(0, |position| position + 1);
    &words[..end]
}

fn version_of(program: &[String]) -> Option<Version> {
    let output = Command::new(&program[0]).args(&program[1..]).arg("--version").output().ok()?;
    Version::from_answer(&String::from_utf8_lossy(&output.stdout))
}

fn missing(what: impl ToString, mend: &str) -> State {
    State::Missing { what: what.to_string(), mend: mend.into() }
}

fn of_qemu(cache: &Cache) -> State {
    match qemu::find(None, cache) {
        Ok(qemu) => State::Ok(format!("{} from {}", qemu.version, qemu.origin)),
        Err(error) => missing(error, "netdma-vm setup"),
    }
}

fn of_kernel(cache: &Cache) -> State {
    let kernels: Vec<_> = kernel::in_cache(cache).into_iter().map(|kernel| kernel.release).collect();
    if kernels.is_empty() {
        missing("none in the cache", "netdma-vm setup")
    } else {
        State::Ok(kernels.join(", "))
    }
}

fn of_busybox(cache: &Cache) -> State {
    match About::read(&cache.busybox()) {
        Some(about) => State::Ok(about.version),
        None => missing("not in the cache", "netdma-vm setup"),
    }
}

fn of_init() -> State {
    match init_program::find() {
        Ok(path) => State::Ok(path.display().to_string()),
        Err(_) => missing("no static netdma-vm-init", crate::error::INIT_BUILD),
    }
}

fn of_kvm() -> State {
    match accel::kvm_obstacle() {
        None => State::Ok("the processor virtualises; each boot makes a trial".into()),
        Some(obstacle) => State::Note(format!("{obstacle}; guests run under TCG, slower")),
    }
}

fn of_memory() -> State {
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let available = available_bytes(&meminfo);
    let text = format!("{} available", mebibytes(available));
    if available >= MEMORY_BYTES { State::Ok(text) } else { missing(text, "netdma-vm boot --mem 512M ...") }
}

/// `MemAvailable:   123 kB`.
fn available_bytes(meminfo: &str) -> u64 {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kibibytes.unwrap_or_default().saturating_mul(1024)
}

/// The cache may not be there yet; then the nearest folder above it counts.
fn of_disk(cache: &Cache) -> State {
    let folder = cache.root().ancestors().find(|folder| folder.exists());
    let free = folder.and_then(|folder| syscall::free_bytes(folder).ok()).unwrap_or_default();
    let text = format!("{} free for {}", mebibytes(free), cache.root().display());
    let is_filled = !kernel::in_cache(cache).is_empty();
    if is_filled || free >= ROOM_BYTES {
        State::Ok(text)
    } else {
        missing(text, "export NETDMA_CACHE=FOLDER on a disk with 1 GiB free")
    }
}

/// Only a cache that still lacks something needs apt.
fn of_apt(cache: &Cache) -> State {
    match apt::mirror() {
        Ok(_) => State::Ok("a Debian mirror is set up".into()),
        Err(error) if kernel::in_cache(cache).is_empty() => missing(error, "sudo apt-get update"),
        Err(error) => State::Note(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn qemu_is_found_behind_a_loader() {
        let line = words("/c/ld-linux-x86-64.so.2 --library-path /c/lib /c/usr/bin/qemu-system-x86_64 -L /c");
        assert_eq!(program_words(&line).len(), 4);
        assert_eq!(program_words(&words("qemu-system-x86_64 -M q35")).len(), 1);
        assert!(program_words(&words("/bin/bash -l")).is_empty());
    }

    #[test]
    fn a_written_line_may_have_settings_comments_and_continued_lines() {
        let good = "#!/bin/sh\nexec FOO=1 /usr/bin/qemu-system-x86_64 \\\n \
            -M q35,kernel-irqchip=split,memory-backend=mem -object memory-backend-memfd,id=mem,size=1G,share=on \\\n \
            -device intel-iommu,intremap=on,caching-mode=on \\\n \
            -device '{\"driver\":\"vfio-user-pci\",\"socket\":{\"type\":\"unix\",\"path\":\"/s\"}}'\n";
        assert_eq!(written_line(good).unwrap(), []);
        let private = good.replace("share=on", "share=off");
        assert_eq!(written_line(&private).unwrap(), [Mistake::Unshared { id: "mem".into() }]);
    }

    #[test]
    fn zeros_end_words_as_in_proc() {
        let line = "/lib/ld.so\0--library-path\0/c\0/c/qemu-system-x86_64\0-M\0q35\0";
        assert_eq!(written_line(line).unwrap(), [Mistake::NoDevice, Mistake::NoBackend]);
    }

    #[test]
    fn what_is_no_command_line_of_qemus_is_refused() {
        let error = written_line("ls -l").unwrap_err().to_string();
        assert_eq!(error, "not QEMU's command line: it names no qemu program");
        assert!(written_line("qemu 'open").unwrap_err().to_string().ends_with("a quote is not closed"));
        assert!(written_line("").is_err());
    }

    #[test]
    fn available_memory_is_read_in_bytes() {
        assert_eq!(available_bytes("MemTotal: 9 kB\nMemAvailable:   2048 kB\n"), 2 << 20);
        assert_eq!(available_bytes(""), 0);
    }

    #[test]
    fn a_process_that_is_no_qemu_and_one_that_is_not_there_are_named() {
        let error = running_qemu(std::process::id()).unwrap_err().to_string();
        assert!(error.contains("not a running QEMU"), "{error}");
        assert!(running_qemu(u32::MAX).is_err());
    }

    #[test]
    fn an_empty_cache_names_setup_as_the_mend() {
        let folder = tempfile::tempdir().unwrap();
        let checks = checks(&Cache::at(folder.path()));
        let kernel = checks.iter().find(|check| check.name == "kernel").unwrap();
        assert!(matches!(&kernel.state, State::Missing { mend, .. } if mend == "netdma-vm setup"));
    }
}
