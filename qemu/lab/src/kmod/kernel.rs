//! A kernel's packages in the small system: headers, build programs, and the few source files that we build.

use std::fs;
use std::path::{Path, PathBuf};

use netdma_vm::apt::{Apt, AptError, Archive, BACKPORTS, STABLE};
use netdma_vm::cache::{About, Cache, CacheLock, make_folder, remove_folder};

use super::{KmodError, Report, source, tools};

/// The name of a kernel's folder of sources, below `usr/src`; it is written last, so it says that all is there.
pub(super) fn folder(cache: &Cache, release: &str) -> PathBuf {
    cache.kbuild().join("usr/src").join(format!("netdma-{release}"))
}

/// Makes the small system have what modules of this kernel need. The result tells the version of the packages.
pub(super) fn prepare(cache: &Cache, release: &str, report: Report<'_>) -> Result<About, KmodError> {
    if let Some(about) = About::read(&folder(cache, release)) {
        return Ok(about);
    }
    debians(release)?;
    let lock = cache.lock(|| report("waiting for another setup"))?;
    // The other may have done it meanwhile.
    if let Some(about) = About::read(&folder(cache, release)) {
        return Ok(about);
    }
    remove_folder(&cache.making())?;
    make_folder(&cache.making())?;
    let about = fetch(cache, release, &lock, report)?;
    remove_folder(&cache.download())?;
    remove_folder(&cache.making())?;
    Ok(about)
}

fn fetch(cache: &Cache, release: &str, lock: &CacheLock, report: Report<'_>) -> Result<About, KmodError> {
    let apt = Apt::at(&cache.download(), None)?;
    report("fetching package lists");
    apt.update(&mut |_| {})?;
    let order = Order::of(cache, release, &apt)?;
    tools::prepare(cache, &apt, &order.compiler, &order.kbuild, lock, report)?;

    let tree = cache.making().join("linux");
    tools::unpack(&apt, &order.archives, &tree, report)?;
    let about = About { version: order.version, source: order.suite.into() };
    let made = cache.making().join("source");
    source::take(cache, &tree, &order.source, &made, report)?;
    place(cache, &tree, release, lock)?;
    about.write(&made)?;
    cache.place(&made, &folder(cache, release), lock)?;
    Ok(about)
}

/// What is to be fetched for a kernel.
struct Order {
    suite: &'static str,
    /// Headers, build programs and source.
    archives: Vec<Archive>,
    /// Of the headers, and so of the kernel.
    version: String,
    compiler: String,
    kbuild: String,
    /// The source's package.
    source: String,
}

impl Order {
    fn of(cache: &Cache, release: &str, apt: &Apt) -> Result<Self, KmodError> {
        let headers = format!("linux-headers-{release}");
        let (suite, closure) = in_a_suite(cache, release, &headers, apt)?;
        let named = |wanted: &dyn Fn(&str) -> bool, what: &str| {
            let found = closure.iter().find(|archive| wanted(&archive.package));
            found.cloned().ok_or_else(|| KmodError::Package { package: headers.clone(), what: what.into() })
        };
        let compiler = closure.iter().find_map(|archive| compiler(&archive.package));
        let compiler = compiler.ok_or_else(|| KmodError::Package {
            package: headers.clone(),
            what: "compiler (gcc-*) among those that it needs".into(),
        })?;
        let kbuild = named(&|name| name.starts_with("linux-kbuild-"), "build programs (linux-kbuild-*)")?;
        let is_common = |name: &str| name.starts_with("linux-headers-") && name.ends_with("-common");
        let common = named(&is_common, "common headers (linux-headers-*-common)")?;
        let own = named(&|name| name == headers, "file of its own")?;
        let package = source_package(release);
        let mut source = apt.resolve(suite, &[&package])?;
        source.retain(|archive| archive.package == package);
        if let Some(source) = source.iter().find(|source| source.version != own.version) {
            return Err(KmodError::OtherPointRelease {
                release: release.into(),
                kernel: own.version.clone(),
                package,
                source_version: source.version.clone(),
                place: cache.kernels().join(release),
            });
        }
        let version = own.version.clone();
        let program = kbuild.package.clone();
        let archives = [vec![own, common, kbuild], source].concat();
        Ok(Self { suite, archives, version, compiler, kbuild: program, source: package })
    }
}

/// The suite that the kernel came from, if setup wrote it down; else the first that has its headers.
fn in_a_suite(
    cache: &Cache,
    release: &str,
    headers: &str,
    apt: &Apt,
) -> Result<(&'static str, Vec<Archive>), KmodError> {
    let place = cache.kernels().join(release);
    let noted = About::read(&place).map(|about| about.source);
    let mut why = String::new();
    for suite in [STABLE, BACKPORTS] {
        if noted.as_deref().is_some_and(|noted| noted != suite) {
            continue;
        }
        match apt.resolve(suite, &[headers]) {
            Ok(closure) => return Ok((suite, closure)),
            Err(AptError::Failed { why: said, .. }) => why = said,
            Err(error) => return Err(error.into()),
        }
    }
    let wanted = if noted.as_deref() == Some(BACKPORTS) { "newest".into() } else { series(release) };
    Err(KmodError::Gone { release: release.into(), package: headers.into(), why, place, wanted })
}

/// Moves the unpacked folders into the small system; each is named by the release, so kernels do not meet.
fn place(cache: &Cache, tree: &Path, release: &str, lock: &CacheLock) -> Result<(), KmodError> {
    // The type information of the whole kernel, which the modules go without.
    let types = tree.join(format!("usr/src/linux-headers-{release}/vmlinux"));
    if types.exists() {
        fs::remove_file(&types).map_err(KmodError::io(&types))?;
    }
    for (folder, prefix) in [("usr/src", "linux-headers-"), ("usr/lib", "linux-kbuild-")] {
        let parent = tree.join(folder);
        for entry in fs::read_dir(&parent).map_err(KmodError::io(&parent))?.flatten() {
            let name = entry.file_name();
            if name.to_string_lossy().starts_with(prefix) {
                cache.place(&entry.path(), &cache.kbuild().join(folder).join(name), lock)?;
            }
        }
    }
    Ok(())
}

/// Whether there can be packages for it.
fn debians(release: &str) -> Result<(), KmodError> {
    if release.ends_with("-amd64") { Ok(()) } else { Err(KmodError::NotDebians(release.into())) }
}

/// `gcc-14` of `gcc-14`, or of `gcc-14-x86-64-linux-gnu`, which is that without its short names; not of `gcc-14-base`.
fn compiler(package: &str) -> Option<String> {
    let version = package.strip_prefix("gcc-")?;
    let version = version.strip_suffix("-x86-64-linux-gnu").unwrap_or(version);
    let is_version = !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_digit());
    is_version.then(|| format!("gcc-{version}"))
}

/// `linux-source-6.12`.
fn source_package(release: &str) -> String {
    format!("linux-source-{}", series(release))
}

/// `6.12` of `6.12.107+deb13-amd64`.
fn series(release: &str) -> String {
    let numbers: Vec<&str> = release.split(['.', '+', '-']).take(2).collect();
    numbers.join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_packages_come_from_the_release() {
        assert_eq!(source_package("6.12.107+deb13-amd64"), "linux-source-6.12");
        assert_eq!(source_package("7.3~rc1-amd64"), "linux-source-7.3~rc1");
        assert_eq!(compiler("gcc-14").as_deref(), Some("gcc-14"));
        assert_eq!(compiler("gcc-14-x86-64-linux-gnu").as_deref(), Some("gcc-14"));
        assert_eq!(compiler("gcc-14-base"), None);
        assert_eq!(compiler("gcc-"), None);
    }

    #[test]
    fn a_kernel_of_somebody_elses_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path().join("cache"));
        let refused = prepare(&cache, "6.12.0-custom", &mut |line| panic!("no mirror is asked: {line}"));
        assert!(matches!(refused, Err(KmodError::NotDebians(release)) if release == "6.12.0-custom"));
        assert!(!cache.root().exists());
    }
}
