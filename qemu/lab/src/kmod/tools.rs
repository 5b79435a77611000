//! The small system that builds modules: the compiler, make and patch of the guest's release, and busybox for all the rest.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use netdma_vm::apt::{self, Apt, Archive, STABLE};
use netdma_vm::cache::{About, Cache, CacheLock, make_folder, remove_folder};

use super::{KmodError, Report};

/// What a compiler brings that a kernel does not use: sanitizers, runtimes, documentation's helpers.
const UNUSED: [&str; 14] = [
    "libasan",
    "libatomic",
    "libcc1",
    "libgomp",
    "libhwasan",
    "libitm",
    "liblsan",
    "libquadmath",
    "libtsan",
    "libubsan",
    "openssl-provider",
    "pahole",
    "libdw1",
    "libbpf",
];

/// The files of link-time optimisation, half of a compiler's size.
const LINK_TIME: [&str; 3] = ["lto1", "lto-wrapper", "lto-dump"];

/// objtool of newer kernels wants to know where its stack is, to name an overflow if it comes to that. A line of the right form
/// is enough for it; a mount of `/proc` is not allowed everywhere.
const MAPS: &str = "7ffc00000000-7ffc00800000 rw-p 00000000 00:00 0                          [stack]\n";

/// Debian's layout: these are links into `usr`.
const LINKS: [&str; 4] = ["bin", "sbin", "lib", "lib64"];

/// Makes the system, unless it is there. `compiler` is the package of the compiler that the kernel was built with, `kbuild`
/// that of the kernel's own build programs, which want libraries.
pub(super) fn prepare(
    cache: &Cache,
    apt: &Apt,
    compiler: &str,
    kbuild: &str,
    lock: &CacheLock,
    report: Report<'_>,
) -> Result<(), KmodError> {
    let root = cache.kbuild();
    if About::read(&root).is_some_and(|about| about.version == compiler) {
        return Ok(());
    }
    let mut archives = apt.resolve(STABLE, &[compiler, kbuild, "make", "patch", "xz-utils"])?;
    archives.retain(|archive| {
        let unused = UNUSED.iter().any(|name| archive.package.starts_with(name));
        // The kernel's own come by kernel.
        !unused && !archive.package.starts_with("linux-")
    });
    let made = cache.making().join("kbuild");
    unpack(apt, &archives, &made, report)?;
    remove_folder(&made.join("usr/share"))?;
    remove_link_time(&made)?;
    links(&made)?;
    busybox(cache, &made)?;
    About { version: compiler.into(), source: STABLE.into() }.write(&made)?;
    Ok(cache.place(&made, &root, lock)?)
}

/// Fetches archives and unpacks them into `folder`.
pub(super) fn unpack(
    apt: &Apt,
    archives: &[Archive],
    folder: &Path,
    report: Report<'_>,
) -> Result<(), KmodError> {
    let bytes: u64 = archives.iter().map(|archive| archive.bytes).sum();
    let first = archives.iter().max_by_key(|archive| archive.bytes);
    let first = first.map_or("", |archive| archive.package.as_str());
    report(&format!("fetching {first} and {} more, {} MiB", archives.len().saturating_sub(1), bytes >> 20));
    remove_folder(folder)?;
    make_folder(folder)?;
    for file in apt.fetch(archives, &mut |_| {})? {
        apt::unpack(&file, folder)?;
    }
    Ok(())
}

fn remove_link_time(root: &Path) -> Result<(), KmodError> {
    let programs = root.join("usr/bin");
    let versions = root.join("usr/libexec/gcc/x86_64-linux-gnu");
    let versions = fs::read_dir(&versions).map_err(KmodError::io(&versions))?.flatten();
    for folder in versions.map(|version| version.path()).chain([programs]) {
        for file in fs::read_dir(&folder).map_err(KmodError::io(&folder))?.flatten() {
            let name = file.file_name().to_string_lossy().into_owned();
            if LINK_TIME.iter().any(|part| name.contains(part)) {
                fs::remove_file(file.path()).map_err(KmodError::io(&file.path()))?;
            }
        }
    }
    Ok(())
}

fn links(root: &Path) -> Result<(), KmodError> {
    for folder in
        ["usr/bin", "usr/sbin", "usr/lib", "usr/lib64", "usr/src", "dev", "proc/self", "tmp", "build"]
    {
        make_folder(&root.join(folder))?;
    }
    for name in LINKS {
        let link = root.join(name);
        if !link.is_symlink() {
            symlink(Path::new("usr").join(name), &link).map_err(KmodError::io(&link))?;
        }
    }
    // The place of the mount.
    let null = root.join("dev/null");
    fs::write(&null, "").map_err(KmodError::io(&null))?;
    let maps = root.join("proc/self/maps");
    fs::write(&maps, MAPS).map_err(KmodError::io(&maps))
}

/// The guests' busybox stands for shell and tools; what a package brought stays.
fn busybox(cache: &Cache, root: &Path) -> Result<(), KmodError> {
    let from = cache.busybox();
    let applets = fs::read_to_string(from.join("applets"));
    let applets = applets.map_err(|_| KmodError::NoBusybox(from.clone()))?;
    let folder = root.join("usr/bin");
    let program = folder.join("busybox");
    fs::copy(from.join("busybox"), &program).map_err(KmodError::io(&program))?;
    for applet in applets.lines() {
        let link = folder.join(applet);
        if !link.exists() && !link.is_symlink() {
            symlink("busybox", &link).map_err(KmodError::io(&link))?;
        }
    }
    Ok(())
}
