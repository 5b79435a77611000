//! Kernel modules for the guests, built here: `dmatest.ko`, which Debian's kernels leave out, and `ioatdma.ko` with patches
//! of ours.
//!
//! Source, headers and compiler are Debian's own packages, of the guest's kernel and its release; they are unpacked into a
//! small system of its own in the cache, and nothing of this machine is touched. Reading order is a build's way: the system
//! (`tools`), the kernel's packages in it (`kernel`), its sources (`source`), how a command gets in (`enter`), the
//! module (`compile`).

pub mod command;

mod compile;

pub mod dmatest;

mod enter;

mod error;

mod kernel;

mod patch;

mod source;

mod tools;

use std::path::PathBuf;

use netdma_vm::cache::{About, Cache};
use netdma_vm::kernel::{KernelChoice, find};

pub use error::KmodError;
pub use patch::Patch;

/// A module that can be built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Module {
    /// The kernel's own test of DMA engines.
    Dmatest,
    /// The stock driver, with these patches in their order; none is fine too.
    Ioatdma(Vec<Patch>),
}

/// Says one line about what takes long.
pub type Report<'a> = &'a mut dyn FnMut(&str);

impl Module {
    /// The module's name; its file is that with `.ko` behind it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Dmatest => "dmatest",
            Self::Ioatdma(_) => "ioatdma",
        }
    }

    /// Its folder in the kernel's source.
    const fn folder(&self) -> &'static str {
        match self {
            Self::Dmatest => "drivers/dma",
            Self::Ioatdma(_) => "drivers/dma/ioat",
        }
    }

    fn patches(&self) -> &[Patch] {
        match self {
            Self::Dmatest => &[],
            Self::Ioatdma(patches) => patches,
        }
    }
}

/// The file of `module`, built for the kernel that `choice` means, in the user's cache. What was built before is used again;
/// what takes long is said on standard error.
///
/// # Errors
/// When the packages cannot be had or do not fit the kernel, a patch does not apply, or the compiler refuses.
pub fn build(choice: &KernelChoice, module: &Module) -> Result<PathBuf, KmodError> {
    let cache = Cache::from_environment()?;
    build_in(&cache, choice, module, &mut |line| eprintln!("netdma-lab: {line}"))
}

/// Whether modules for that kernel can be built without a network.
///
/// # Errors
/// When there is no such kernel, or no place for the cache.
pub fn is_prepared(choice: &KernelChoice) -> Result<bool, KmodError> {
    let cache = Cache::from_environment()?;
    let release = find(choice, &cache)?.release;
    Ok(About::read(&kernel::folder(&cache, &release)).is_some())
}

/// As [`build`], in a cache of the caller's choice.
///
/// # Errors
/// As [`build`].
pub fn build_in(
    cache: &Cache,
    choice: &KernelChoice,
    module: &Module,
    report: Report<'_>,
) -> Result<PathBuf, KmodError> {
    let kernel = find(choice, cache)?;
    let about = kernel::prepare(cache, &kernel.release, report)?;
    compile::module(cache, &kernel.release, &about, module, report)
}
