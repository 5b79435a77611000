//! Fills the cache: finds out what is there, fetches what is missing, moves each part into place when it is whole.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use thiserror::Error;

use crate::apt::{self, Apt, AptError, Archive, BACKPORTS, STABLE};
use crate::cache::{About, Cache, CacheError, CacheLock, make_folder, remove_folder, size_of_tree};
use crate::kernel::{self, Kernel, is_version};
use crate::qemu::{self, Qemu, QemuError};
use crate::stop::Stop;
use crate::syscall;

/// Room that the package lists and QEMU need before anything can be said about the rest.
const LEAST_ROOM_BYTES: u64 = 400 << 20;

/// An archive with what is unpacked from it.
const UNPACKED_FACTOR: u64 = 5;

/// What the cache should have.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The cache.
    pub cache: Cache,
    /// Kernels: the beginning of a release, or `newest`.
    pub kernels: Vec<String>,
    /// This QEMU and no other.
    pub qemu: Option<PathBuf>,
    /// Fetch nothing: what is missing is an error.
    pub no_install: bool,
    /// Look at this while waiting.
    pub stop: Option<&'static Stop>,
}

/// What a setup reports while it works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// A line: what is used and why, or what begins.
    Line(String),
    /// A fetch begins: so many bytes.
    Fetch {
        /// What is fetched.
        what: String,
        /// How many bytes; 0 if that is not known.
        total_bytes: u64,
    },
    /// So many bytes are there.
    Bytes(u64),
    /// The fetch is complete.
    Fetched,
}

/// Why the cache is not filled.
#[derive(Debug, Error)]
pub enum SetupError {
    /// No packages.
    #[error(transparent)]
    Apt(#[from] AptError),
    /// The cache.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// The QEMU.
    #[error(transparent)]
    Qemu(#[from] QemuError),
    /// The disk is full.
    #[error(
        "{path} has {free} free and the setup needs about {needed}: make room, or put the cache elsewhere with NETDMA_CACHE"
    )]
    NoRoom {
        /// The cache.
        path: PathBuf,
        /// What is free.
        free: String,
        /// What is needed.
        needed: String,
    },
    /// No suite has that kernel.
    #[error("no kernel {wanted}: Debian has {present}")]
    NoKernel {
        /// What was asked for.
        wanted: String,
        /// What there is.
        present: String,
    },
    /// Something is missing, and nothing may be fetched.
    #[error("missing: {0}; run `netdma-vm setup` without --no-install")]
    Missing(String),
    /// A package is not as expected.
    #[error("package {package} has no {file}")]
    Package {
        /// The package.
        package: String,
        /// What it should have.
        file: String,
    },
    /// A file of the cache.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

type Report<'a> = &'a mut dyn FnMut(Progress);

impl Setup {
    /// Makes the cache have what it should. A second call finds everything and needs no network.
    pub fn run(&self, report: Report<'_>) -> Result<(), SetupError> {
        if self.report_missing(report)?.is_empty() {
            return Ok(());
        }
        let mut waiting = false;
        let lock = self.cache.lock(|| {
            waiting = true;
            report(Progress::Line("waiting for another setup".into()));
        })?;
        // Another setup may have done it meanwhile.
        let missing = if waiting { self.report_missing(report)? } else { self.missing()? };
        if !missing.is_empty() {
            self.fetch(&missing, &lock, report)?;
        }
        Ok(())
    }

    /// Says what is used and why; gives what is missing.
    fn report_missing(&self, report: Report<'_>) -> Result<Vec<Part>, SetupError> {
        report(Progress::Line(format!("cache {}", self.cache.root().display())));
        if let Some(Found { qemu, why }) = self.qemu()? {
            report(Progress::Line(format!("QEMU {} from {}: {why}", qemu.version, qemu.origin)));
        }
        for wanted in &self.kernels {
            if let Some(kernel) = self.cached_kernel(wanted) {
                report(Progress::Line(format!("kernel {} for {wanted}: in the cache", kernel.release)));
            }
        }
        let missing = self.missing()?;
        if self.no_install && !missing.is_empty() {
            let names: Vec<_> = missing.iter().map(Part::to_string).collect();
            return Err(SetupError::Missing(names.join(", ")));
        }
        Ok(missing)
    }

    fn missing(&self) -> Result<Vec<Part>, SetupError> {
        let mut missing = Vec::new();
        if self.qemu()?.is_none() {
            missing.push(Part::Qemu);
        }
        if About::read(&self.cache.busybox()).is_none() {
            missing.push(Part::Busybox);
        }
        let kernels = self.kernels.iter().filter(|wanted| self.cached_kernel(wanted).is_none());
        missing.extend(kernels.cloned().map(Part::Kernel));
        Ok(missing)
    }

    /// A named QEMU must fit; one on PATH is used if it does.
    fn qemu(&self) -> Result<Option<Found>, SetupError> {
        if let Some(path) = &self.qemu {
            return Ok(Some(Found { qemu: qemu::probe(path)?, why: "as asked".into() }));
        }
        let on_path = qemu::on_path().map(|path| qemu::probe(&path));
        if let Some(Ok(qemu)) = on_path {
            return Ok(Some(Found { qemu, why: "it is on PATH and has vfio-user-pci".into() }));
        }
        let why = match on_path {
            Some(Err(unfit)) => unfit.to_string(),
            _ => "there is none on PATH".into(),
        };
        Ok(qemu::in_cache(&self.cache).map(|qemu| Found { qemu, why }))
    }

    /// `newest` is one from backports; any other word is the beginning of a release.
    fn cached_kernel(&self, wanted: &str) -> Option<Kernel> {
        let mut kernels = kernel::in_cache(&self.cache);
        kernels.retain(|kernel| {
            let folder = self.cache.kernels().join(&kernel.release);
            match wanted {
                "newest" => About::read(&folder).is_some_and(|about| about.source == BACKPORTS),
                _ => is_version(&kernel.release, wanted),
            }
        });
        kernels.pop()
    }

    fn fetch(&self, missing: &[Part], lock: &CacheLock, report: Report<'_>) -> Result<(), SetupError> {
        remove_folder(&self.cache.making())?;
        make_folder(&self.cache.making())?;
        self.check_room(LEAST_ROOM_BYTES)?;
        let apt = Apt::at(&self.cache.download(), self.stop)?;
        report(Progress::Fetch { what: "package lists".into(), total_bytes: 0 });
        apt.update(&mut |bytes| report(Progress::Bytes(bytes)))?;
        report(Progress::Fetched);
        for part in missing {
            let order = self.order(part, &apt)?;
            let total_bytes: u64 = order.archives.iter().map(|archive| archive.bytes).sum();
            self.check_room(total_bytes.saturating_mul(UNPACKED_FACTOR))?;
            report(Progress::Fetch { what: part.to_string(), total_bytes });
            let before = size_of_tree(&self.cache.download().join("cache/archives"));
            let mut on_bytes = |bytes: u64| report(Progress::Bytes(bytes.saturating_sub(before)));
            let files = apt.fetch(&order.archives, &mut on_bytes)?;
            report(Progress::Fetched);
            let (version, place) = self.make(part, &order, &files, lock)?;
            let size = mebibytes(size_of_tree(&place));
            report(Progress::Line(format!("{part}: {version} from {}, {size}", order.suite)));
        }
        remove_folder(&self.cache.download())?;
        Ok(remove_folder(&self.cache.making())?)
    }

    /// Which packages of which suite a part is made of.
    fn order(&self, part: &Part, apt: &Apt) -> Result<Order, SetupError> {
        match part {
            Part::Qemu => {
                let archives = apt.resolve(BACKPORTS, &["qemu-system-x86"])?;
                Ok(Order { suite: BACKPORTS, archives, release: String::new() })
            }
            Part::Busybox => {
                let mut archives = apt.resolve(STABLE, &["busybox-static"])?;
                archives.retain(|archive| archive.package == "busybox-static");
                Ok(Order { suite: STABLE, archives, release: String::new() })
            }
            Part::Kernel(wanted) => kernel_order(wanted, apt),
        }
    }

    /// Unpacks beside the place, checks, and moves it there.
    fn make(
        &self,
        part: &Part,
        order: &Order,
        files: &[PathBuf],
        lock: &CacheLock,
    ) -> Result<(String, PathBuf), SetupError> {
        let tree = self.cache.making().join("tree");
        make_folder(&tree)?;
        for file in files {
            apt::unpack(file, &tree)?;
        }
        let (made, place, version) = match part {
            Part::Qemu => {
                let version = qemu::probe_folder(&tree)?.version.to_string();
                (tree.clone(), self.cache.qemu(), version)
            }
            Part::Busybox => {
                (self.make_busybox(&tree)?, self.cache.busybox(), order.archives[0].version.clone())
            }
            Part::Kernel(_) => {
                let place = self.cache.kernels().join(&order.release);
                (self.make_kernel(&tree, &order.release)?, place, order.release.clone())
            }
        };
        About { version: version.clone(), source: order.suite.into() }.write(&made)?;
        self.cache.place(&made, &place, lock)?;
        remove_folder(&tree)?;
        Ok((version, place))
    }

    fn make_busybox(&self, tree: &Path) -> Result<PathBuf, SetupError> {
        let made = self.cache.making().join("busybox");
        make_folder(&made)?;
        let places = ["usr/bin/busybox", "bin/busybox"].map(|path| tree.join(path));
        let program = made.join("busybox");
        move_first(&places, &program, "busybox-static")?;
        let list = Command::new(&program).arg("--list").output();
        let applets = made.join("applets");
        let written = list.and_then(|list| fs::write(&applets, list.stdout));
        written.map_err(|source| SetupError::Io { path: applets, source })?;
        Ok(made)
    }

    /// Only image and modules: the rest of the packages is for an installed system.
    fn make_kernel(&self, tree: &Path, release: &str) -> Result<PathBuf, SetupError> {
        let made = self.cache.making().join("kernel");
        make_folder(&made)?;
        let modules = [format!("usr/lib/modules/{release}"), format!("lib/modules/{release}")];
        let modules = modules.map(|path| tree.join(path));
        let beside = modules.clone().map(|folder| folder.join("vmlinuz"));
        let images = [&[tree.join(format!("boot/vmlinuz-{release}"))], beside.as_slice()].concat();
        move_first(&images, &made.join("vmlinuz"), release)?;
        move_first(&modules, &made.join("modules"), release)?;
        Ok(made)
    }

    fn check_room(&self, needed: u64) -> Result<(), SetupError> {
        let path = self.cache.root().to_path_buf();
        let free =
            syscall::free_bytes(&path).map_err(|source| SetupError::Io { path: path.clone(), source })?;
        if free >= needed {
            return Ok(());
        }
        Err(SetupError::NoRoom { path, free: mebibytes(free), needed: mebibytes(needed) })
    }
}

/// A part of the cache that can be missing.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Qemu,
    Busybox,
    Kernel(String),
}

impl std::fmt::Display for Part {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Qemu => out.write_str("QEMU"),
            Self::Busybox => out.write_str("busybox"),
            Self::Kernel(wanted) => write!(out, "kernel {wanted}"),
        }
    }
}

struct Found {
    qemu: Qemu,
    why: String,
}

struct Order {
    suite: &'static str,
    archives: Vec<Archive>,
    /// Of a kernel.
    release: String,
}

/// The release stands in the names of the packages on which the meta package depends; into how many a kernel is split changes
/// from one version to the next, so all that carry the release are taken.
fn kernel_order(wanted: &str, apt: &Apt) -> Result<Order, SetupError> {
    let mut present = Vec::new();
    let suites = if wanted == "newest" { vec![BACKPORTS] } else { vec![STABLE, BACKPORTS] };
    for suite in suites {
        let mut archives = apt.resolve(suite, &["linux-image-amd64"])?;
        let Some(release) = release_among(&archives) else { continue };
        if wanted == "newest" || is_version(&release, wanted) {
            archives.retain(|archive| {
                archive.package.starts_with("linux-") && archive.package.contains(&release)
            });
            return Ok(Order { suite, archives, release });
        }
        present.push(release);
    }
    Err(SetupError::NoKernel { wanted: wanted.into(), present: present.join(", ") })
}

fn release_among(archives: &[Archive]) -> Option<String> {
    let releases = archives.iter().filter_map(|archive| archive.package.strip_prefix("linux-image-"));
    releases.filter(|release| release.starts_with(|c: char| c.is_ascii_digit())).map(str::to_owned).next()
}

fn move_first(places: &[PathBuf], target: &Path, package: &str) -> Result<(), SetupError> {
    let file = || target.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let found = places.iter().find(|place| place.exists());
    let found = found.ok_or_else(|| SetupError::Package { package: package.into(), file: file() })?;
    fs::rename(found, target).map_err(|source| SetupError::Io { path: found.clone(), source })
}

/// `123 MiB`.
pub fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes.div_ceil(1 << 20))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_release_is_read_from_the_packages_and_not_from_the_meta_package() {
        let archive = |package: &str| Archive {
            package: package.into(),
            version: "1".into(),
            file: String::new(),
            bytes: 1,
        };
        let archives = [archive("linux-image-amd64"), archive("linux-image-7.2.12+deb13-amd64")];
        assert_eq!(release_among(&archives).as_deref(), Some("7.2.12+deb13-amd64"));
        assert_eq!(release_among(&archives[..1]), None);
    }

    #[test]
    fn a_full_disk_is_named_with_its_size_and_the_mend() {
        let folder = tempfile::tempdir().unwrap();
        let setup = Setup {
            cache: Cache::at(folder.path()),
            kernels: Vec::new(),
            qemu: None,
            no_install: false,
            stop: None,
        };
        assert!(setup.check_room(1).is_ok());
        let error = setup.check_room(u64::MAX).unwrap_err().to_string();
        assert!(error.contains("NETDMA_CACHE") && error.contains("MiB free"), "{error}");
    }

    #[test]
    fn no_install_names_what_is_missing_and_fetches_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path().join("cache"));
        let kernels = vec!["6.12".into()];
        let setup = Setup { cache: cache.clone(), kernels, qemu: None, no_install: true, stop: None };
        let error = setup.run(&mut |_| {}).unwrap_err().to_string();
        assert!(error.contains("busybox, kernel 6.12"), "{error}");
        assert!(!cache.root().exists());
    }
}
