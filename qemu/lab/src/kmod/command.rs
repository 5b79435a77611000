//! `netdma-lab kmod`: builds a module for a guest's kernel and says where it is.

use std::fs;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use netdma_vm::kernel::KernelChoice;

use super::{KmodError, Module, Patch, build, is_prepared};

/// Build a kernel module for a guest's kernel from Debian's source and header packages
///
/// Compiler, headers and source are fetched into the cache folder once for each kernel; what was built before is used again.
/// Prints the path of the module.
#[derive(Args, Debug)]
pub struct Arguments {
    /// The module
    #[arg(value_enum)]
    module: Name,
    /// The guest's kernel: a version prefix from the cache, or `newest`
    #[arg(long, value_name = "VERSION", default_value = "6.12")]
    kernel: String,
    /// A unified diff (`-p1`) against drivers/dma/ioat of that kernel; repeatable
    #[arg(long = "patch", value_name = "FILE")]
    patches: Vec<PathBuf>,
    /// Also copy the module into this folder
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Fetch nothing: compiler, headers and source must be in the cache
    #[arg(long)]
    no_install: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Name {
    /// The kernel's own test of DMA engines
    Dmatest,
    /// The driver of our device
    Ioatdma,
}

/// Why the command line makes no sense.
#[derive(Debug, thiserror::Error)]
#[error("--patch changes ioatdma; dmatest is built as it is")]
pub struct PatchedDmatest;

/// Builds it, and prints its path.
///
/// # Errors
/// The outer error is a bad command line; the inner one is that there is no module.
pub fn run(arguments: &Arguments) -> Result<Result<(), KmodError>, PatchedDmatest> {
    if arguments.module == Name::Dmatest && !arguments.patches.is_empty() {
        return Err(PatchedDmatest);
    }
    Ok(built(arguments))
}

fn built(arguments: &Arguments) -> Result<(), KmodError> {
    let patches = arguments.patches.iter().map(|path| Patch::read(path)).collect::<Result<_, _>>()?;
    let module = match arguments.module {
        Name::Dmatest => Module::Dmatest,
        Name::Ioatdma => Module::Ioatdma(patches),
    };
    let kernel = KernelChoice::from(arguments.kernel.as_str());
    if arguments.no_install && !is_prepared(&kernel)? {
        return Err(KmodError::NotPrepared(arguments.kernel.clone()));
    }
    let mut file = build(&kernel, &module)?;
    if let Some(folder) = &arguments.out {
        fs::create_dir_all(folder).map_err(KmodError::io(folder))?;
        let copy = folder.join(format!("{}.ko", module.name()));
        fs::copy(&file, &copy).map_err(KmodError::io(&copy))?;
        file = copy;
    }
    println!("{}", file.display());
    Ok(())
}
