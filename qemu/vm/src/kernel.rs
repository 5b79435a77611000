//! Which kernel the guest runs: one from the cache, or a file of the user's.

use std::cmp::Ordering;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::cache::{About, Cache};

/// What the user asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum KernelChoice {
    /// The oldest in the cache: Debian's stable kernel.
    #[default]
    Oldest,
    /// The newest in the cache.
    Newest,
    /// The newest in the cache whose release begins so: `6.12`.
    Version(String),
    /// This file.
    File(PathBuf),
}

/// A kernel that can be booted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kernel {
    /// Its release, as `uname -r` will say.
    pub release: String,
    /// The compressed image.
    pub image: PathBuf,
    /// The folder with its modules, `modules.builtin` and so on, if there is one.
    pub modules: Option<PathBuf>,
}

/// Why there is no kernel to boot.
#[derive(Debug, Error)]
pub enum KernelError {
    /// The cache is empty.
    #[error("no guest kernel in {0}: run `netdma-vm setup`")]
    None(PathBuf),
    /// The cache has others.
    #[error("no kernel {wanted} in the cache (it has {present}): run `netdma-vm setup --kernel {wanted}`")]
    NoVersion {
        /// What was asked for.
        wanted: String,
        /// What is there.
        present: String,
    },
    /// The file cannot be read.
    #[error("kernel {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is something else.
    #[error("kernel {0}: not an x86 Linux image (bzImage)")]
    NotAKernel(PathBuf),
}

impl From<&str> for KernelChoice {
    /// A path has a slash or names a file; all else is `newest` or the beginning of a release.
    fn from(text: &str) -> Self {
        let path = Path::new(text);
        match text {
            "newest" => Self::Newest,
            _ if text.contains('/') || path.is_file() => Self::File(path.into()),
            _ => Self::Version(text.into()),
        }
    }
}

/// Finds the kernel that `choice` means.
pub fn find(choice: &KernelChoice, cache: &Cache) -> Result<Kernel, KernelError> {
    if let KernelChoice::File(path) = choice {
        return from_file(path);
    }
    let mut kernels = in_cache(cache);
    let wanted = match choice {
        KernelChoice::Version(prefix) => {
            let present: Vec<_> = kernels.iter().map(|kernel| kernel.release.clone()).collect();
            kernels.retain(|kernel| is_version(&kernel.release, prefix));
            if kernels.is_empty() && !present.is_empty() {
                return Err(KernelError::NoVersion { wanted: prefix.clone(), present: present.join(", ") });
            }
            kernels.pop()
        }
        KernelChoice::Newest => kernels.pop(),
        _ => kernels.into_iter().next(),
    };
    wanted.ok_or_else(|| KernelError::None(cache.root().into()))
}

/// All kernels of the cache, oldest first.
pub fn in_cache(cache: &Cache) -> Vec<Kernel> {
    let folders = fs::read_dir(cache.kernels()).into_iter().flatten().flatten();
    let mut kernels: Vec<_> = folders.filter_map(|folder| from_cache(&folder.path())).collect();
    kernels.sort_by(|a, b| compare_versions(&a.release, &b.release));
    kernels
}

/// Whether `release` is a version that `prefix` means: `6.12` means 6.12.107 and not 6.120.
pub fn is_version(release: &str, prefix: &str) -> bool {
    let rest = release.strip_prefix(prefix);
    rest.is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_digit()))
}

/// Compares versions number by number.
pub fn compare_versions(a: &str, b: &str) -> Ordering {
    let numbers = |text: &str| -> Vec<u64> {
        text.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse().ok()).collect()
    };
    numbers(a).cmp(&numbers(b)).then_with(|| a.cmp(b))
}

fn from_cache(folder: &Path) -> Option<Kernel> {
    let about = About::read(folder)?;
    Some(Kernel {
        release: about.version,
        image: folder.join("vmlinuz"),
        modules: Some(folder.join("modules")),
    })
}

/// A kernel of the user's; its modules are looked for where distributions and `make modules_install` put them.
fn from_file(path: &Path) -> Result<Kernel, KernelError> {
    let image = fs::read(path).map_err(|source| KernelError::Read { path: path.into(), source })?;
    let release = release_of(&image).ok_or_else(|| KernelError::NotAKernel(path.into()))?;
    let beside = path.parent().unwrap_or(Path::new("."));
    let places = [
        beside.join("modules"),
        beside.join("lib/modules").join(&release),
        beside.join("../lib/modules").join(&release),
        beside.join("../usr/lib/modules").join(&release),
        Path::new("/lib/modules").join(&release),
    ];
    let modules = places.into_iter().find(|place| place.join("kernel").is_dir());
    Ok(Kernel { release, image: path.into(), modules })
}

/// The release in a bzImage: the header at 0x202 says "HdrS", the word at 0x20e says where the text is, less 0x200
/// (Documentation/arch/x86/boot.rst of the kernel).
fn release_of(image: &[u8]) -> Option<String> {
    if image.get(0x202..0x206)? != b"HdrS" {
        return None;
    }
    let offset = usize::from(u16::from_le_bytes(image.get(0x20e..0x210)?.try_into().ok()?));
    let text = image.get(offset + 0x200..)?;
    let text = &text[..text.iter().take(256).position(|byte| *byte == 0 || *byte == b' ')?];
    String::from_utf8(text.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache_with(releases: &[&str]) -> (tempfile::TempDir, Cache) {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path());
        for release in releases {
            let folder = cache.kernels().join(release);
            fs::create_dir_all(&folder).unwrap();
            About { version: (*release).into(), source: "test".into() }.write(&folder).unwrap();
        }
        (folder, cache)
    }

    #[test]
    fn oldest_newest_and_version_choose_by_number_and_not_by_letter() {
        let (_folder, cache) = cache_with(&["6.12.107+deb13-amd64", "6.12.99+deb13-amd64", "10.0.1"]);
        let release = |choice| find(&choice, &cache).unwrap().release;
        assert_eq!(release(KernelChoice::Oldest), "6.12.99+deb13-amd64");
        assert_eq!(release(KernelChoice::Newest), "10.0.1");
        assert_eq!(release(KernelChoice::from("6.12")), "6.12.107+deb13-amd64");
    }

    #[test]
    fn a_missing_version_names_itself_what_there_is_and_the_mend() {
        let (_folder, cache) = cache_with(&["6.12.107"]);
        let error = find(&KernelChoice::from("6.1"), &cache).unwrap_err().to_string();
        assert_eq!(error, "no kernel 6.1 in the cache (it has 6.12.107): run `netdma-vm setup --kernel 6.1`");
    }

    #[test]
    fn an_empty_cache_names_setup() {
        let (_folder, cache) = cache_with(&[]);
        assert!(
            find(&KernelChoice::Oldest, &cache).unwrap_err().to_string().ends_with("run `netdma-vm setup`")
        );
    }

    #[test]
    fn the_release_of_an_image_is_read_from_its_header() {
        let mut image = vec![0; 0x400];
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[0x20e..0x210].copy_from_slice(&0x100u16.to_le_bytes());
        image[0x300..0x30c].copy_from_slice(b"7.2.12 (x@y)");
        assert_eq!(release_of(&image).as_deref(), Some("7.2.12"));
        image[0x20e..0x210].copy_from_slice(&0xffffu16.to_le_bytes());
        assert_eq!(release_of(&image), None);
        assert_eq!(release_of(b"MZ"), None);
    }
}
