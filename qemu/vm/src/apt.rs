//! Debian packages without root: an apt of its own, in a folder, with the mirror that this machine's apt is set up for.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use thiserror::Error;

use crate::cache::{CacheError, make_folder, size_of_tree};
use crate::child::Child;
use crate::qemu::program_on_path;
use crate::stop::Stop;

/// Debian's stable suite: kernel and busybox.
pub const STABLE: &str = "trixie";

/// Its backports: QEMU and the newest kernel.
pub const BACKPORTS: &str = "trixie-backports";

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// How often a running apt is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// An apt with its own lists and archives, below one folder.
#[derive(Debug)]
pub struct Apt {
    root: PathBuf,
    stop: Option<&'static Stop>,
}

/// A package file that apt would fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Archive {
    /// The package.
    pub package: String,
    /// Its version.
    pub version: String,
    /// The file's name.
    pub file: String,
    /// Its size.
    pub bytes: u64,
}

/// Why packages cannot be had.
#[derive(Debug, Error)]
pub enum AptError {
    /// This is no Debian.
    #[error(
        "no apt-get and dpkg-deb on PATH: this machine is no Debian; install QEMU >= 10.1 with vfio-user-pci by its own means, and name a kernel to `boot --kernel FILE`"
    )]
    NoApt,
    /// A fresh machine.
    #[error(
        "apt has no package lists, so it cannot say which mirror it uses: run `sudo apt-get update` once"
    )]
    NoLists,
    /// Another distribution with apt.
    #[error(
        "apt here uses no Debian mirror (its repositories: {0}); install QEMU >= 10.1 with vfio-user-pci by its own means, and name a kernel to `boot --kernel FILE`"
    )]
    NoMirror(String),
    /// No key to check with.
    #[error("{KEYRING} is missing: run `sudo apt-get install debian-archive-keyring`")]
    NoKeyring,
    /// The key is too old.
    #[error(
        "{KEYRING} lacks the key of {STABLE}: run `sudo apt-get install --only-upgrade debian-archive-keyring`"
    )]
    OldKeyring,
    /// apt said no.
    #[error("apt-get {what}: {why}")]
    Failed {
        /// What it was to do.
        what: String,
        /// What it said.
        why: String,
    },
    /// A file of ours.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The folder.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// A signal asked this process to stop.
    #[error("stopped by signal {0}; what was fetched stays, and the next setup goes on from there")]
    Stopped(i32),
}

/// Whether this machine has apt with lists of a Debian mirror.
pub fn mirror() -> Result<String, AptError> {
    if program_on_path("apt-get").is_none() || program_on_path("dpkg-deb").is_none() {
        return Err(AptError::NoApt);
    }
    let mut ask = Command::new("apt-get");
    ask.args(["indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"]).stdin(Stdio::null());
    let output = ask.output().map_err(|source| AptError::Io { path: "apt-get".into(), source })?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    mirror_among(&text).map(str::to_owned)
}

impl Apt {
    /// Makes the folder with its settings; lists and archives that are there stay.
    pub fn at(root: &Path, stop: Option<&'static Stop>) -> Result<Self, AptError> {
        let mirror = mirror()?;
        if !Path::new(KEYRING).exists() {
            return Err(AptError::NoKeyring);
        }
        for folder in ["state/lists/partial", "cache/archives/partial"] {
            make_folder(&root.join(folder))?;
        }
        let sources =
            [STABLE, BACKPORTS].map(|suite| format!("deb [signed-by={KEYRING}] {mirror} {suite} main\n"));
        let apt = Self { root: root.into(), stop };
        apt.write("state/status", "")?;
        apt.write("sources.list", &sources.concat())?;
        Ok(apt)
    }

    /// Fetches the package lists.
    pub fn update(&self, on_bytes: &mut dyn FnMut(u64)) -> Result<(), AptError> {
        // Without lists of descriptions it is a third of the bytes.
        let result = self.run(
            "update",
            &["-o", "Acquire::Languages=none", "update"],
            &self.root.join("state"),
            on_bytes,
        );
        match result {
            Err(AptError::Failed { why, .. }) if why.contains("NO_PUBKEY") => Err(AptError::OldKeyring),
            other => other.map(drop),
        }
    }

    /// What apt would fetch to install `packages` from `suite` onto an empty machine.
    pub fn resolve(&self, suite: &str, packages: &[&str]) -> Result<Vec<Archive>, AptError> {
        // apt names only what it would fetch: archives that are there already must not be seen.
        let nowhere = format!("Dir::Cache::archives={}", self.root.join("nowhere").display());
        make_folder(&self.root.join("nowhere/partial"))?;
        let what = [&["-o", &nowhere, "-y", "--print-uris", "-t", suite, "install"], packages].concat();
        let install = format!("install {}", packages.join(" "));
        let answer = self.run(&install, &what, &self.root.join("state"), &mut |_| {})?;
        let archives: Vec<_> = answer.lines().filter_map(Archive::from_uri_line).collect();
        if archives.is_empty() {
            let why = format!("{suite} has no such package");
            return Err(AptError::Failed { what: install, why });
        }
        Ok(archives)
    }

    /// Fetches archives; those that are there already are not fetched again.
    pub fn fetch(
        &self,
        archives: &[Archive],
        on_bytes: &mut dyn FnMut(u64),
    ) -> Result<Vec<PathBuf>, AptError> {
        let folder = self.root.join("cache/archives");
        let missing = archives.iter().filter(|archive| archive.missing_in(&folder));
        let names: Vec<_> =
            missing.map(|archive| format!("{}={}", archive.package, archive.version)).collect();
        if !names.is_empty() {
            let mut words = vec!["download"];
            words.extend(names.iter().map(String::as_str));
            self.run("download", &words, &folder, on_bytes)?;
        }
        Ok(archives.iter().map(|archive| folder.join(&archive.file)).collect())
    }

    /// Runs apt-get and gives its standard output. `watched` is the folder that grows meanwhile.
    fn run(
        &self,
        what: &str,
        words: &[&str],
        watched: &Path,
        on_bytes: &mut dyn FnMut(u64),
    ) -> Result<String, AptError> {
        let (answer, log) = (self.root.join("answer"), self.root.join("log"));
        let create =
            |path: &PathBuf| File::create(path).map_err(|source| AptError::Io { path: path.clone(), source });
        let mut command = Command::new("apt-get");
        command.args(self.options()).args(words).current_dir(watched).env("LC_ALL", "C");
        command.stdin(Stdio::null()).stdout(create(&answer)?).stderr(create(&log)?);
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let failed = |why: String| AptError::Failed { what: what.into(), why };
        let child = Child::spawn(command, |_| {}).map_err(|error| failed(error.to_string()))?;
        let status = loop {
            if let Some(status) = child.wait(LOOK) {
                break status;
            }
            on_bytes(size_of_tree(watched));
            if let Some(signal) = self.stop.and_then(Stop::signal) {
                return Err(AptError::Stopped(signal));
            }
        };
        let said = fs::read_to_string(&log).unwrap_or_default();
        // A list that cannot be fetched is only a warning to apt, but there is no use in going on without it.
        let complaint = said.lines().find(|line| line.starts_with("E:") || line.contains("Failed to fetch"));
        if !status.success() || complaint.is_some() {
            return Err(failed(complaint.map_or_else(|| status.to_string(), str::to_owned)));
        }
        fs::read_to_string(&answer).map_err(|source| AptError::Io { path: answer, source })
    }

    fn options(&self) -> Vec<String> {
        let path = |name: &str| self.root.join(name).display().to_string();
        let settings = [
            format!("Dir::State={}", path("state")),
            format!("Dir::State::status={}", path("state/status")),
            format!("Dir::Cache={}", path("cache")),
            format!("Dir::Etc::sourcelist={}", path("sources.list")),
            "Dir::Etc::sourceparts=/dev/null".into(),
            "Dir::Etc::preferences=/dev/null".into(),
            "Dir::Etc::preferencesparts=/dev/null".into(),
            "APT::Install-Recommends=false".into(),
            "APT::Architecture=amd64".into(),
            "APT::Architectures=amd64".into(),
            // As root, apt would fetch as its own user, who may not enter our folder.
            "APT::Sandbox::User=root".into(),
            "Acquire::Retries=3".into(),
        ];
        settings.into_iter().flat_map(|setting| ["-o".to_owned(), setting]).collect()
    }

    fn write(&self, name: &str, text: &str) -> Result<(), AptError> {
        let path = self.root.join(name);
        fs::write(&path, text).map_err(|source| AptError::Io { path, source })
    }
}

impl Archive {
    /// `'URI' name_version_arch.deb size hash`; a colon in the version is written `%3a`.
    fn from_uri_line(line: &str) -> Option<Self> {
        let mut words = line.strip_prefix('\'')?.split_whitespace().skip(1);
        let (file, bytes) = (words.next()?, words.next()?);
        let mut parts = file.strip_suffix(".deb")?.split('_');
        Some(Self {
            package: parts.next()?.into(),
            version: parts.next()?.replace("%3a", ":"),
            file: file.into(),
            bytes: bytes.parse().ok()?,
        })
    }

    fn missing_in(&self, folder: &Path) -> bool {
        folder.join(&self.file).metadata().map_or(true, |metadata| metadata.len() != self.bytes)
    }
}

/// Unpacks a package into a folder.
pub fn unpack(archive: &Path, folder: &Path) -> Result<(), AptError> {
    let output = Command::new("dpkg-deb").arg("-x").arg(archive).arg(folder).stdin(Stdio::null()).output();
    let output = output.map_err(|source| AptError::Io { path: "dpkg-deb".into(), source })?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let why = said.lines().next().unwrap_or("dpkg-deb failed").to_owned();
    Err(AptError::Failed { what: format!("unpack {}", archive.display()), why })
}

/// Debian's own archive ends in `/debian`; the security archive has no backports.
fn mirror_among(repositories: &str) -> Result<&str, AptError> {
    let mut repositories_in_use =
        repositories.lines().map(str::trim).filter(|line| !line.is_empty()).peekable();
    if repositories_in_use.peek().is_none() {
        return Err(AptError::NoLists);
    }
    repositories_in_use
        .find(|repository| repository.trim_end_matches('/').ends_with("/debian"))
        .ok_or_else(|| AptError::NoMirror(repositories.split_whitespace().collect::<Vec<_>>().join(" ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mirror_is_the_main_archive_and_not_the_security_one() {
        assert_eq!(mirror_among("x://m/debian-security/\nx://m/debian/\n").unwrap(), "x://m/debian/");
        assert!(matches!(mirror_among("\n"), Err(AptError::NoLists)));
        assert!(matches!(mirror_among("x://m/ubuntu/\n"), Err(AptError::NoMirror(_))));
    }

    #[test]
    fn a_line_of_print_uris_is_an_archive_and_other_lines_are_not() {
        let line = "'x://m/pool/b.deb' busybox-static_1%3a1.37.0-6_amd64.deb 955316 SHA256:00";
        let archive = Archive::from_uri_line(line).unwrap();
        assert_eq!((archive.package.as_str(), archive.version.as_str()), ("busybox-static", "1:1.37.0-6"));
        assert_eq!(archive.bytes, 955_316);
        assert_eq!(Archive::from_uri_line("Reading package lists..."), None);
    }
}
