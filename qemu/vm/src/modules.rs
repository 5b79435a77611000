//! Kernel modules: found by name, decompressed here, ordered so that each comes after those it needs.
//!
//! Debian's packages carry no `modules.dep`; each module says in its `.modinfo` section what it depends on.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::kernel::Kernel;

/// A module that the user asked for: a name or a file, and parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModuleRequest {
    /// A name (`vfio-pci`) or the path of a `.ko`, `.ko.xz` or `.ko.zst` file.
    pub module: String,
    /// Its parameters, separated by spaces: `a=1 b=2`.
    pub params: String,
}

/// A module, ready to be loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadedModule {
    /// Its name, with underscores.
    pub name: String,
    /// The decompressed file.
    pub bytes: Vec<u8>,
    /// Its parameters.
    pub params: String,
}

/// Why a module cannot be brought into the guest.
#[derive(Debug, Error)]
pub enum ModuleError {
    /// The kernel has none of this name.
    #[error("kernel {release} has no module {name}: see {place}")]
    Unknown {
        /// The module's name.
        name: String,
        /// The kernel's release.
        release: String,
        /// Where its modules are.
        place: String,
    },
    /// The file cannot be read or decompressed.
    #[error("module {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl From<&str> for ModuleRequest {
    /// `name`, `path.ko`, either with `:param=value` behind it, as often as needed.
    fn from(text: &str) -> Self {
        let name_at = text.rfind('/').map_or(0, |slash| slash + 1);
        match text[name_at..].find(':') {
            None => Self { module: text.into(), params: String::new() },
            Some(colon) => {
                let (module, params) = text.split_at(name_at + colon);
                Self { module: module.into(), params: params[1..].replace(':', " ") }
            }
        }
    }
}

/// The requested modules and all that they depend on, in loading order. What is built into the kernel is left out.
pub fn resolve(kernel: &Kernel, requests: &[ModuleRequest]) -> Result<Vec<LoadedModule>, ModuleError> {
    let mut resolver = Resolver { tree: Tree::of(kernel), seen: HashSet::new(), order: Vec::new() };
    for request in requests {
        resolver.add(&request.module, &request.params)?;
    }
    Ok(resolver.order)
}

struct Resolver {
    tree: Tree,
    seen: HashSet<String>,
    order: Vec<LoadedModule>,
}

impl Resolver {
    fn add(&mut self, module: &str, params: &str) -> Result<(), ModuleError> {
        let name = module_name(module);
        if self.seen.contains(&name) {
            if let Some(earlier) = self.order.iter_mut().find(|earlier| earlier.name == name) {
                earlier.params = format!("{} {params}", earlier.params).trim().to_owned();
            }
            return Ok(());
        }
        let path = if is_file(module) { Some(PathBuf::from(module)) } else { self.tree.path(&name)? };
        // Marked before its dependencies, so that a circle (which depmod would refuse) ends.
        self.seen.insert(name.clone());
        let Some(path) = path else { return Ok(()) };
        let bytes = read(&path)?;
        for dependency in dependencies(&bytes) {
            self.add(&dependency, "")?;
        }
        self.order.push(LoadedModule { name, bytes, params: params.into() });
        Ok(())
    }
}

/// The modules of one kernel by name.
struct Tree {
    release: String,
    /// `None`: the user's kernel came without modules; then everything counts as built in.
    files: Option<HashMap<String, PathBuf>>,
    builtin: HashSet<String>,
    place: String,
}

impl Tree {
    fn of(kernel: &Kernel) -> Self {
        let Some(folder) = &kernel.modules else {
            let release = kernel.release.clone();
            return Self { release, files: None, builtin: HashSet::new(), place: String::new() };
        };
        let mut files = HashMap::new();
        collect(folder, &mut files);
        let builtin = fs::read_to_string(folder.join("modules.builtin")).unwrap_or_default();
        Self {
            release: kernel.release.clone(),
            files: Some(files),
            builtin: builtin.lines().map(module_name).collect(),
            place: folder.display().to_string(),
        }
    }

    /// `None`: it is built in.
    fn path(&self, name: &str) -> Result<Option<PathBuf>, ModuleError> {
        let Some(files) = &self.files else { return Ok(None) };
        if let Some(path) = files.get(name) {
            return Ok(Some(path.clone()));
        }
        if self.builtin.contains(name) {
            return Ok(None);
        }
        let (name, release, place) = (name.into(), self.release.clone(), self.place.clone());
        Err(ModuleError::Unknown { name, release, place })
    }
}

fn collect(folder: &Path, files: &mut HashMap<String, PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if is_folder {
            collect(&path, files);
        } else if is_file(&path.to_string_lossy()) {
            files.insert(module_name(&path.to_string_lossy()), path);
        }
    }
}

fn is_file(module: &str) -> bool {
    [".ko", ".ko.xz", ".ko.zst"].iter().any(|suffix| module.ends_with(suffix))
}

/// The kernel takes dash and underscore for the same.
fn module_name(module: &str) -> String {
    let file = module.rsplit('/').next().unwrap_or(module);
    let stem = file.split_once(".ko").map_or(file, |(stem, _suffix)| stem);
    stem.replace('-', "_")
}

fn read(path: &Path) -> Result<Vec<u8>, ModuleError> {
    let decompressed = fs::read(path).and_then(|file| decompress(path, file));
    decompressed.map_err(|source| ModuleError::Read { path: path.into(), source })
}

fn decompress(path: &Path, file: Vec<u8>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    match path.extension().and_then(|suffix| suffix.to_str()) {
        Some("xz") => {
            let done = lzma_rs::xz_decompress(&mut BufReader::new(file.as_slice()), &mut bytes);
            done.map_err(|error| io::Error::other(format!("{error:?}")))?;
        }
        Some("zst") => {
            let decoder = ruzstd::decoding::StreamingDecoder::new(file.as_slice());
            decoder.map_err(io::Error::other)?.read_to_end(&mut bytes)?;
        }
        _ => bytes = file,
    }
    Ok(bytes)
}

/// The names after `depends=` in `.modinfo`, which is a row of zero-terminated texts. Searched for as bytes: the section table
/// would only say where to search.
fn dependencies(module: &[u8]) -> Vec<String> {
    const KEY: &[u8] = b"\0depends=";
    let Some(at) = module.windows(KEY.len()).position(|window| window == KEY) else { return Vec::new() };
    let value = &module[at + KEY.len()..];
    let value = &value[..value.iter().position(|byte| *byte == 0).unwrap_or(0)];
    let names = String::from_utf8_lossy(value).into_owned();
    names.split(',').filter(|name| !name.is_empty()).map(module_name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tree of false modules: (path below `kernel`, dependencies).
    fn kernel(modules: &[(&str, &str)], builtin: &str) -> (tempfile::TempDir, Kernel) {
        let folder = tempfile::tempdir().unwrap();
        for (path, depends) in modules {
            let path = folder.path().join("kernel").join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, format!("ELF\0license=GPL\0depends={depends}\0name=x\0")).unwrap();
        }
        fs::write(folder.path().join("modules.builtin"), builtin).unwrap();
        let modules = Some(folder.path().to_path_buf());
        (folder, Kernel { release: "6.12".into(), image: "vmlinuz".into(), modules })
    }

    fn names(modules: &[LoadedModule]) -> Vec<&str> {
        modules.iter().map(|module| module.name.as_str()).collect()
    }

    #[test]
    fn dependencies_come_first_and_once_and_dashes_are_underscores() {
        let (_folder, kernel) = kernel(
            &[
                ("drivers/vfio/pci/vfio-pci.ko", "vfio-pci-core"),
                ("drivers/vfio/pci/vfio-pci-core.ko", "vfio,irqbypass"),
                ("drivers/vfio/vfio.ko", ""),
                ("drivers/vfio/vfio_iommu_type1.ko", "vfio"),
                ("virt/lib/irqbypass.ko", ""),
            ],
            "",
        );
        let order = resolve(&kernel, &["vfio_pci".into(), "vfio-iommu-type1".into()]).unwrap();
        assert_eq!(names(&order), ["vfio", "irqbypass", "vfio_pci_core", "vfio_pci", "vfio_iommu_type1"]);
    }

    #[test]
    fn what_is_built_in_is_left_out_and_what_is_nowhere_is_named() {
        let (_folder, kernel) = kernel(&[("a.ko", "b")], "kernel/lib/b.ko\n");
        assert_eq!(names(&resolve(&kernel, &["a".into()]).unwrap()), ["a"]);
        let error = resolve(&kernel, &["no-such".into()]).unwrap_err().to_string();
        assert!(error.starts_with("kernel 6.12 has no module no_such"), "{error}");
    }

    #[test]
    fn a_circle_of_dependencies_ends() {
        let (_folder, kernel) = kernel(&[("a.ko", "b"), ("b.ko", "a")], "");
        assert_eq!(names(&resolve(&kernel, &["a".into()]).unwrap()), ["b", "a"]);
    }

    #[test]
    fn a_module_of_the_users_own_brings_the_kernels_modules_that_it_needs() {
        let (folder, kernel) = kernel(&[("dca.ko", "")], "");
        let own = folder.path().join("own-driver.ko");
        fs::write(&own, "ELF\0depends=dca\0").unwrap();
        let request = format!("{}:debug=1:name=x", own.display());
        let order = resolve(&kernel, &[request.as_str().into()]).unwrap();
        assert_eq!(names(&order), ["dca", "own_driver"]);
        assert_eq!(order[1].params, "debug=1 name=x");
    }

    #[test]
    fn a_missing_file_is_named() {
        let (_folder, kernel) = kernel(&[], "");
        let error = resolve(&kernel, &["./missing.ko".into()]).unwrap_err().to_string();
        assert!(error.starts_with("module ./missing.ko: "), "{error}");
    }

    #[test]
    fn parameters_follow_the_first_colon_of_the_name_and_not_of_a_folder() {
        let request =
            |module: &str, params: &str| ModuleRequest { module: module.into(), params: params.into() };
        assert_eq!(ModuleRequest::from("ioatdma"), request("ioatdma", ""));
        assert_eq!(ModuleRequest::from("ioatdma:a=1:b=2"), request("ioatdma", "a=1 b=2"));
        assert_eq!(ModuleRequest::from("/a:b/c.ko:a=1"), request("/a:b/c.ko", "a=1"));
    }

    #[test]
    fn damaged_compressed_modules_are_errors() {
        assert!(decompress(Path::new("a.ko.xz"), b"not xz".to_vec()).is_err());
        assert!(decompress(Path::new("a.ko.zst"), b"not zstd".to_vec()).is_err());
    }
}
