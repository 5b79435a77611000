//! The kernel module under test: the guest kernel's own, or a file of the user's.

use std::path::{Path, PathBuf};

use netdma_vm::kernel::Kernel;
use netdma_vm::modules::{LoadedModule, ModuleError, ModuleRequest, resolve};

/// A module, with what it needs.
#[derive(Clone, Debug)]
pub struct Module {
    /// What is tested.
    pub tested: LoadedModule,
    /// What it needs, in loading order.
    pub needs: Vec<LoadedModule>,
}

/// Why a module cannot be tested.
#[derive(Debug, thiserror::Error)]
pub enum ModuleFault {
    /// No such module, or its file cannot be read.
    #[error(transparent)]
    Find(#[from] ModuleError),
    /// The kernel has it built in: it cannot be loaded and unloaded.
    #[error("kernel {release} has {name} built in: only a module can be tried")]
    BuiltIn {
        /// The module.
        name: String,
        /// The kernel's release.
        release: String,
    },
    /// The file is no module.
    #[error("{path} is no kernel module: it has no vermagic in its .modinfo section")]
    NoModule {
        /// The file.
        path: PathBuf,
    },
    /// It was built for another kernel.
    #[error(
        "{path} is built for kernel {built_for}, and the guest's is {release}: build it against the headers of {release} (Debian's package linux-headers-{release}), or choose another guest with --kernel"
    )]
    OtherKernel {
        /// The file.
        path: PathBuf,
        /// The first word of its vermagic.
        built_for: String,
        /// The guest kernel's release.
        release: String,
    },
}

impl Module {
    /// From a name, or a file, with `:param=value` behind it as often as needed.
    ///
    /// # Errors
    /// When there is none, or it cannot be loaded into this kernel.
    pub fn find(text: &str, kernel: &Kernel) -> Result<Self, ModuleFault> {
        let request = ModuleRequest::from(text);
        let mut modules = resolve(kernel, std::slice::from_ref(&request))?;
        let Some(mut tested) = modules.pop() else {
            return Err(ModuleFault::BuiltIn { name: request.module, release: kernel.release.clone() });
        };
        if request.module.contains(".ko") {
            fits(Path::new(&request.module), &tested.bytes, &kernel.release)?;
            // The kernel knows a module by the name that it was built with, whatever its file is called.
            tested.name = modinfo(&tested.bytes, "name").unwrap_or(tested.name);
        }
        Ok(Self { tested, needs: modules })
    }
}

/// A kernel takes a module only if the first word of both vermagics is the same.
fn fits(path: &Path, module: &[u8], release: &str) -> Result<(), ModuleFault> {
    let magic = modinfo(module, "vermagic").ok_or_else(|| ModuleFault::NoModule { path: path.into() })?;
    let built_for = magic.split_whitespace().next().unwrap_or_default().to_owned();
    if built_for == release {
        return Ok(());
    }
    Err(ModuleFault::OtherKernel { path: path.into(), built_for, release: release.to_owned() })
}

/// A value of `.modinfo`, which is a row of zero-terminated `key=value` texts. Searched for as bytes: the section table would only
/// say where to search.
fn modinfo(module: &[u8], key: &str) -> Option<String> {
    let key = format!("\0{key}=").into_bytes();
    let at = module.windows(key.len()).position(|window| window == key)?;
    let value = &module[at + key.len()..];
    let end = value.iter().position(|byte| *byte == 0)?;
    Some(String::from_utf8_lossy(&value[..end]).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kernel(folder: &Path) -> Kernel {
        Kernel { release: "6.12.1".into(), image: "vmlinuz".into(), modules: Some(folder.to_path_buf()) }
    }

    fn found(name: &str, bytes: &[u8]) -> Result<Module, ModuleFault> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("needed.ko"), b"\0depends=\0").unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        Module::find(&format!("{}:speed=3", path.display()), &kernel(folder.path()))
    }

    #[test]
    fn a_module_of_the_users_comes_with_what_it_needs() {
        let module = found("my-dma.ko", b"ELF\0depends=needed\0vermagic=6.12.1 SMP\0").unwrap();
        assert_eq!((module.tested.name.as_str(), module.tested.params.as_str()), ("my_dma", "speed=3"));
        assert_eq!(module.needs.len(), 1);
    }

    #[test]
    fn a_module_whose_file_was_renamed_is_still_itself() {
        let module = found("mine.ko", b"ELF\0depends=\0name=ioatdma\0vermagic=6.12.1 SMP\0").unwrap();
        assert_eq!(module.tested.name, "ioatdma");
    }

    #[test]
    fn a_module_of_another_kernel_says_how_to_build_it() {
        let error = found("mine.ko", b"\0depends=\0vermagic=6.1.0 SMP\0").unwrap_err().to_string();
        assert!(error.contains("mine.ko is built for kernel 6.1.0, and the guest's is 6.12.1"), "{error}");
        assert!(error.contains("linux-headers-6.12.1"), "{error}");
    }

    #[test]
    fn what_is_no_module_says_so() {
        let error = found("mine.ko", b"#!/bin/sh\n").unwrap_err().to_string();
        assert!(error.contains("is no kernel module"), "{error}");
        let error = Module::find("nosuch", &kernel(Path::new("/nowhere"))).unwrap_err().to_string();
        assert!(error.contains("has no module nosuch"), "{error}");
    }

    #[test]
    fn what_is_built_in_cannot_be_tried() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("modules.builtin"), "kernel/drivers/dma/ioatdma.ko\n").unwrap();
        let error = Module::find("ioatdma", &kernel(folder.path())).unwrap_err().to_string();
        assert_eq!(error, "kernel 6.12.1 has ioatdma built in: only a module can be tried");
    }
}
