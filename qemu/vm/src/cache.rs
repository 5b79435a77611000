//! The cache folder: QEMU, kernels and busybox, each complete or not there at all.

use std::env;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::syscall;

/// The cache folder. Nothing in it is a setting: it may be removed at any time between two runs.
#[derive(Clone, Debug)]
pub struct Cache {
    root: PathBuf,
}

/// What `setup` wrote about a part of the cache.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct About {
    /// A version: of QEMU, or the kernel's release.
    pub version: String,
    /// Where it came from: a suite's name.
    pub source: String,
}

/// Why the cache cannot be used.
#[derive(Debug, Error)]
pub enum CacheError {
    /// No variable says where it could be.
    #[error("no cache folder: set NETDMA_CACHE, XDG_CACHE_HOME or HOME")]
    Nowhere,
    /// A file operation failed.
    #[error("cache {path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The right to change the cache: one process at a time has it.
#[derive(Debug)]
pub struct CacheLock {
    _file: File,
}

impl Cache {
    /// `$NETDMA_CACHE`, else `$XDG_CACHE_HOME/netdma`, else `~/.cache/netdma`.
    pub fn from_environment() -> Result<Self, CacheError> {
        let variable = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let root = variable("NETDMA_CACHE")
            .or_else(|| variable("XDG_CACHE_HOME").map(|folder| folder.join("netdma")))
            .or_else(|| variable("HOME").map(|folder| folder.join(".cache/netdma")));
        let root = root.ok_or(CacheError::Nowhere)?;
        let root = std::path::absolute(&root).map_err(|source| CacheError::Io { path: root, source })?;
        Ok(Self { root })
    }

    /// The cache in a folder of the caller's choice.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Where it is.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// QEMU with all that it needs, as a file system tree.
    pub fn qemu(&self) -> PathBuf {
        self.root.join("qemu")
    }

    /// One folder for each kernel, named by its release.
    pub fn kernels(&self) -> PathBuf {
        self.root.join("kernels")
    }

    /// Busybox and the list of its applets.
    pub fn busybox(&self) -> PathBuf {
        self.root.join("busybox")
    }

    /// A small system that builds kernel modules: compiler, headers and sources of the guests' kernels.
    pub fn kbuild(&self) -> PathBuf {
        self.root.join("kbuild")
    }

    /// Modules that were built, one folder for each kernel, named by its release.
    pub fn modules(&self) -> PathBuf {
        self.root.join("modules")
    }

    /// What `boot --print` built.
    pub fn printed(&self) -> PathBuf {
        self.root.join("printed")
    }

    /// Package lists and archives, until a setup is complete: an interrupted one goes on from here.
    pub fn download(&self) -> PathBuf {
        self.root.join("download")
    }

    /// Half-made parts. Renamed into place when whole; whatever lies here is from an interrupted setup.
    pub fn making(&self) -> PathBuf {
        self.root.join("making")
    }

    /// Takes the lock, waiting for another setup if there is one; `on_wait` is called first in that case.
    pub fn lock(&self, on_wait: impl FnOnce()) -> Result<CacheLock, CacheError> {
        let path = self.root.join("lock");
        let named = |source| CacheError::Io { path: path.clone(), source };
        make_folder(&self.root)?;
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(named)?;
        if !syscall::lock(&file, false).map_err(named)? {
            on_wait();
            syscall::lock(&file, true).map_err(named)?;
        }
        Ok(CacheLock { _file: file })
    }

    /// Moves a finished folder into its place, over an older one.
    pub fn place(&self, made: &Path, place: &Path, _lock: &CacheLock) -> Result<(), CacheError> {
        remove_folder(place)?;
        if let Some(parent) = place.parent() {
            make_folder(parent)?;
        }
        fs::rename(made, place).map_err(|source| CacheError::Io { path: place.into(), source })
    }

    /// Bytes on the disk, hard links counted once for each name.
    pub fn size_bytes(&self) -> u64 {
        size_of_tree(&self.root)
    }

    /// Removes the cache whole.
    pub fn remove(&self) -> Result<(), CacheError> {
        remove_folder(&self.root)
    }
}

impl About {
    const NAME: &'static str = "about.json";

    /// Reads what is written about the part in `folder`; `None` if there is no such part.
    pub fn read(folder: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(folder.join(Self::NAME)).ok()?).ok()
    }

    /// Writes it. Done last, before the part moves into its place.
    pub fn write(&self, folder: &Path) -> Result<(), CacheError> {
        let path = folder.join(Self::NAME);
        let written = serde_json::to_vec_pretty(self).map_err(io::Error::from);
        written.and_then(|json| fs::write(&path, json)).map_err(|source| CacheError::Io { path, source })
    }
}

/// Makes a folder and those above it.
pub fn make_folder(path: &Path) -> Result<(), CacheError> {
    fs::create_dir_all(path).map_err(|source| CacheError::Io { path: path.into(), source })
}

/// Removes a folder that may not be there.
pub fn remove_folder(path: &Path) -> Result<(), CacheError> {
    match fs::remove_dir_all(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(CacheError::Io { path: path.into(), source })
        }
        _ => Ok(()),
    }
}

/// The bytes of the files in a tree; what cannot be read counts nothing.
pub fn size_of_tree(path: &Path) -> u64 {
    let Ok(metadata) = path.symlink_metadata() else { return 0 };
    if !metadata.is_dir() {
        return metadata.len();
    }
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries.map(|entry| size_of_tree(&entry.path())).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_placed_over_an_older_one_and_counted() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path().join("cache"));
        let lock = cache.lock(|| panic!("nobody else has it")).unwrap();
        for version in ["1", "22"] {
            let made = cache.making().join("qemu");
            make_folder(&made).unwrap();
            About { version: version.into(), source: "a suite".into() }.write(&made).unwrap();
            cache.place(&made, &cache.qemu(), &lock).unwrap();
        }
        assert_eq!(About::read(&cache.qemu()).unwrap().version, "22");
        assert!(cache.size_bytes() > 20);
        cache.remove().unwrap();
        assert!(!cache.root().exists());
    }

    #[test]
    fn a_second_lock_waits_for_the_first() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path());
        let first = cache.lock(|| {}).unwrap();
        let (sender, waits) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            let second = scope.spawn(|| cache.lock(|| sender.send(()).unwrap()).unwrap());
            waits.recv_timeout(std::time::Duration::from_secs(20)).unwrap();
            assert!(!second.is_finished());
            drop(first);
        });
    }
}
