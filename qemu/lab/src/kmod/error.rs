//! Why there is no module.

use std::io;
use std::path::{Path, PathBuf};

use netdma_vm::apt::AptError;
use netdma_vm::cache::CacheError;
use netdma_vm::kernel::KernelError;
use thiserror::Error;

/// Why a module was not built.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum KmodError {
    /// No guest kernel.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// The cache.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// No packages.
    #[error(transparent)]
    Apt(#[from] AptError),
    /// Nothing may be fetched.
    #[error(
        "the cache has no compiler and headers for kernel {0}: run `netdma-lab kmod dmatest --kernel {0}` without --no-install"
    )]
    NotPrepared(String),
    /// The kernel is none of Debian's.
    #[error(
        "kernel {0}: its release is none of Debian's, which end in `-amd64`: there are no packages to build modules from"
    )]
    NotDebians(String),
    /// The mirror went on to the next point release.
    #[error(
        "kernel {release} is in the cache, but the mirror has no {package} any more ({why}): remove {place} and run `netdma-vm setup --kernel {wanted}` for the kernel that the mirror has"
    )]
    Gone {
        /// The kernel.
        release: String,
        /// The package.
        package: String,
        /// What apt said.
        why: String,
        /// The kernel's folder.
        place: PathBuf,
        /// What to ask setup for.
        wanted: String,
    },
    /// Source and headers are of two point releases.
    #[error(
        "kernel {release} is of package version {kernel}, but the mirror's {package} is {source_version}: a module of that source would not be this kernel's; remove {place} and run `netdma-vm setup` again for a kernel that fits"
    )]
    OtherPointRelease {
        /// The kernel.
        release: String,
        /// Its version.
        kernel: String,
        /// The source's package.
        package: String,
        /// The source's version.
        source_version: String,
        /// The kernel's folder.
        place: PathBuf,
    },
    /// A package is not as expected.
    #[error("package {package} has no {what}")]
    Package {
        /// The package.
        package: String,
        /// What it should have.
        what: String,
    },
    /// No busybox.
    #[error("no busybox in {0}: run `netdma-vm setup`")]
    NoBusybox(PathBuf),
    /// Neither root nor a namespace.
    #[error(
        "the compiler runs in a root folder of its own, and that is not allowed here: {0}; run as root, or allow user namespaces (sysctl kernel.unprivileged_userns_clone=1), or allow sudo without a password"
    )]
    NoWayIn(String),
    /// A patch that is not one.
    #[error("patch {name}: {why}")]
    BadPatch {
        /// The patch.
        name: String,
        /// Why.
        why: String,
    },
    /// It does not fit the source.
    #[error("patch {name} does not apply to the source of {version}:\n{said}")]
    Patch {
        /// The patch.
        name: String,
        /// The source's version.
        version: String,
        /// What `patch` said.
        said: String,
    },
    /// The compiler refused.
    #[error("{module}.ko was not built for {release}:\n{said}")]
    Compile {
        /// The module.
        module: &'static str,
        /// The kernel.
        release: String,
        /// The end of what make said.
        said: String,
    },
    /// The module is another kernel's.
    #[error("{module}.ko says it is for `{found}`, not for {release}: the headers are another kernel's")]
    Vermagic {
        /// The module.
        module: &'static str,
        /// What it says.
        found: String,
        /// The kernel.
        release: String,
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

impl KmodError {
    /// For `map_err`: an error with the file's name.
    pub(super) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }
}
