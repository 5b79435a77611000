//! QEMU: found on PATH or in the cache, asked for its version and whether it knows vfio-user.

use std::env;
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use thiserror::Error;

use crate::cache::{About, Cache};

/// The program's name.
pub const QEMU_PROGRAM: &str = "qemu-system-x86_64";

/// The first version with `vfio-user-pci`.
pub const OLDEST_QEMU: Version = Version(10, 1, 0);

/// Set for a QEMU that is asked what it is. A script of QEMU's name that calls `netdma-vm qemu` sees by it that it would go round
/// in a circle.
pub const ASKED: &str = "NETDMA_VM_ASKS_QEMU";

/// A QEMU version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u32, pub u32, pub u32);

/// A QEMU that can be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Qemu {
    /// The words that start it; its options come behind them. More than one when it runs by the cache's own loader.
    pub words: Vec<OsString>,
    /// Its version.
    pub version: Version,
    /// For messages: where it is from.
    pub origin: String,
}

/// Why there is no QEMU.
#[derive(Debug, Error)]
pub enum QemuError {
    /// Neither on PATH nor in the cache.
    #[error("no QEMU >= {OLDEST_QEMU} with vfio-user-pci on PATH{0} or in the cache: run `netdma-vm setup`")]
    None(String),
    /// It cannot be started.
    #[error("{path}: {source}")]
    Start {
        /// The program.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It says no version.
    #[error("{0}: `--version` does not answer as QEMU does")]
    NoVersion(PathBuf),
    /// It is too old.
    #[error(
        "{path} is QEMU {version}; vfio-user-pci needs {OLDEST_QEMU} or newer: run `netdma-vm setup` and leave out --qemu"
    )]
    TooOld {
        /// The program.
        path: PathBuf,
        /// Its version.
        version: Version,
    },
    /// It was built without vfio-user.
    #[error("{0} lists no vfio-user-pci in `-device help`: it was built without it")]
    NoVfioUser(PathBuf),
}

impl fmt::Display for Version {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}.{}.{}", self.0, self.1, self.2)
    }
}

impl Version {
    /// Reads `QEMU emulator version 11.1.3 (Debian ...)`.
    pub fn from_answer(answer: &str) -> Option<Self> {
        let text = answer.lines().next()?.strip_prefix("QEMU emulator version ")?;
        let text = text.split([' ', '(', '-']).next()?;
        let mut numbers = text.split('.').map(|number| number.parse().ok());
        Some(Self(numbers.next()??, numbers.next()??, numbers.next().flatten().unwrap_or(0)))
    }
}

/// The QEMU that `boot` uses: the user's own if one is named, else a fit one on PATH, else the cache's.
pub fn find(named: Option<&Path>, cache: &Cache) -> Result<Qemu, QemuError> {
    if let Some(path) = named {
        return probe(path);
    }
    let on_path = on_path().map(|path| probe(&path));
    match on_path {
        Some(Ok(qemu)) => Ok(qemu),
        Some(Err(unfit)) => in_cache(cache).ok_or_else(|| QemuError::None(format!(" ({unfit})"))),
        None => in_cache(cache).ok_or_else(|| QemuError::None(String::new())),
    }
}

/// Asks the program at `path` what it is.
pub fn probe(path: &Path) -> Result<Qemu, QemuError> {
    let words = vec![path.as_os_str().to_owned()];
    probe_words(words, path, path.display().to_string())
}

/// The QEMU of the cache, which `setup` asked when it put it there.
pub fn in_cache(cache: &Cache) -> Option<Qemu> {
    let folder = cache.qemu();
    let about = About::read(&folder)?;
    let version = Version::from_answer(&format!("QEMU emulator version {}", about.version))?;
    Some(Qemu { words: words_in(&folder)?, version, origin: "the cache".into() })
}

/// Asks a QEMU that lies unpacked in `folder`.
pub fn probe_folder(folder: &Path) -> Result<Qemu, QemuError> {
    let program = folder.join("usr/bin").join(QEMU_PROGRAM);
    let words = words_in(folder).ok_or_else(|| QemuError::NoVersion(program.clone()))?;
    probe_words(words, &program, "the cache".into())
}

/// The first program of QEMU's name on PATH.
pub fn on_path() -> Option<PathBuf> {
    program_on_path(QEMU_PROGRAM)
}

/// The first executable file of this name on PATH.
pub(crate) fn program_on_path(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

fn probe_words(words: Vec<OsString>, path: &Path, origin: String) -> Result<Qemu, QemuError> {
    let answer = ask(&words, path, &["--version"])?;
    let version = Version::from_answer(&answer).ok_or_else(|| QemuError::NoVersion(path.into()))?;
    if version < OLDEST_QEMU {
        return Err(QemuError::TooOld { path: path.into(), version });
    }
    if !ask(&words, path, &["-device", "help"])?.contains("\"vfio-user-pci\"") {
        return Err(QemuError::NoVfioUser(path.into()));
    }
    Ok(Qemu { words, version, origin })
}

/// A program of a newer system runs here by that system's own loader and libraries, without chroot and without root.
fn words_in(folder: &Path) -> Option<Vec<OsString>> {
    let loaders = ["usr/lib64/ld-linux-x86-64.so.2", "lib64/ld-linux-x86-64.so.2"];
    let loader = loaders.iter().map(|path| folder.join(path)).find(|path| path.exists());
    // The tree's own /lib64 link may be absent; the loader is then beside the C library.
    let loader = loader.or_else(|| {
        let beside = folder.join("usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2");
        beside.exists().then_some(beside)
    })?;
    let libraries = ["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"].map(|path| folder.join(path));
    let share = folder.join("usr/share");
    Some(vec![
        loader.into(),
        "--library-path".into(),
        env::join_paths(libraries).ok()?,
        folder.join("usr/bin").join(QEMU_PROGRAM).into(),
        "-L".into(),
        share.join("qemu").into(),
        "-L".into(),
        share.join("seabios").into(),
    ])
}

fn ask(words: &[OsString], path: &Path, question: &[&str]) -> Result<String, QemuError> {
    let output = Command::new(&words[0]).args(&words[1..]).args(question).env(ASKED, "1").output();
    let output = output.map_err(|source| QemuError::Start { path: path.into(), source })?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_and_ordered() {
        let version = |answer| Version::from_answer(answer);
        assert_eq!(
            version("QEMU emulator version 11.1.3 (Debian 1:11.1.3)\nCopyright"),
            Some(Version(11, 1, 3))
        );
        assert_eq!(version("QEMU emulator version 10.1-rc1"), Some(Version(10, 1, 0)));
        assert_eq!(version("GNU bash, version 5"), None);
        assert!(Version(10, 0, 9) < OLDEST_QEMU);
    }

    /// Asks a false QEMU that gives these answers.
    fn probe_false(version: &str, devices: &str) -> Result<Qemu, QemuError> {
        let script = format!(
            "case $0 in --version) echo 'QEMU emulator version {version}';; *) echo '{devices}';; esac"
        );
        let words = vec!["sh".into(), "-c".into(), script.into()];
        probe_words(words, Path::new("false-qemu"), String::new())
    }

    #[test]
    fn an_old_qemu_and_one_without_vfio_user_are_refused_by_name() {
        let old = probe_false("9.2.0", "name \"vfio-user-pci\"");
        assert!(matches!(old, Err(QemuError::TooOld { version: Version(9, 2, 0), .. })));
        let without = probe_false("10.1.0", "name \"vfio-pci\"");
        assert!(matches!(without, Err(QemuError::NoVfioUser(_))));
        let fit = probe_false("10.1.0", "name \"vfio-user-pci\", bus PCI").unwrap();
        assert_eq!(fit.version, Version(10, 1, 0));
    }

    #[test]
    fn a_missing_qemu_is_named() {
        let error = probe(Path::new("/no/such/qemu")).unwrap_err().to_string();
        assert!(error.starts_with("/no/such/qemu: "), "{error}");
    }
}
