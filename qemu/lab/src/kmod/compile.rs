//! One module: its sources copied, patched and compiled in the small system, checked, and put into the cache.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use netdma_vm::cache::{About, Cache, make_folder};
use tempfile::TempDir;

use super::enter::Way;
use super::{KmodError, Module, Report, kernel};

/// Counts up when the way of building changes, so that no older module is taken for a new one.
const RECIPE: u64 = 1;

/// Lines of make's output in an error.
const SAID_LINES: usize = 30;

/// The module from the cache, or built.
pub(super) fn module(
    cache: &Cache,
    release: &str,
    about: &About,
    module: &Module,
    report: Report<'_>,
) -> Result<PathBuf, KmodError> {
    let sources = kernel::folder(cache, release);
    let key = key(&sources, about, module)?;
    // The file keeps the module's own name, by which guests load it.
    let place = cache.modules().join(release).join(format!("{}-{key:016x}", module.name()));
    let file = place.join(format!("{}.ko", module.name()));
    if file.is_file() {
        return Ok(file);
    }
    report(&format!("building {}.ko for {release}", module.name()));
    let bytes = Build::begin(cache, release, about, module)?.run()?;
    make_folder(&place)?;
    // Another build of the same may have been faster; both made the same file.
    let beside = place.join(format!("{}.{}", module.name(), std::process::id()));
    fs::write(&beside, bytes).map_err(KmodError::io(&beside))?;
    fs::rename(&beside, &file).map_err(KmodError::io(&file))?;
    Ok(file)
}

/// A build under way, in a folder of its own that goes with it.
struct Build<'a> {
    root: PathBuf,
    folder: TempDir,
    way: Way,
    release: &'a str,
    about: &'a About,
    module: &'a Module,
}

impl<'a> Build<'a> {
    fn begin(
        cache: &Cache,
        release: &'a str,
        about: &'a About,
        module: &'a Module,
    ) -> Result<Self, KmodError> {
        let root = cache.kbuild();
        let builds = root.join("build");
        let folder = TempDir::new_in(&builds).map_err(KmodError::io(&builds))?;
        copy_tree(&kernel::folder(cache, release).join("drivers"), &folder.path().join("drivers"))?;
        let way = Way::find(&root)?;
        Ok(Self { root, folder, way, release, about, module })
    }

    fn run(&self) -> Result<Vec<u8>, KmodError> {
        for patch in self.module.patches() {
            self.patch(&patch.name, &patch.text)?;
        }
        self.make()?;
        let file = self.folder.path().join(self.module.folder()).join(format!("{}.ko", self.module.name()));
        let bytes = fs::read(&file).map_err(KmodError::io(&file))?;
        self.check(&bytes)?;
        Ok(bytes)
    }

    fn patch(&self, name: &str, text: &str) -> Result<(), KmodError> {
        let file = self.folder.path().join("patch");
        fs::write(&file, text).map_err(KmodError::io(&file))?;
        let inside = self.inside();
        let words = ["patch", "-p1", "--batch", "--forward", "-d", &inside, "-i", &format!("{inside}/patch")];
        let output = self.way.run(&self.root, &inside, &words)?;
        if output.status.success() {
            return Ok(());
        }
        let (name, version) = (name.to_owned(), self.about.version.clone());
        Err(KmodError::Patch { name, version, said: said(&output) })
    }

    fn make(&self) -> Result<(), KmodError> {
        let inside = self.inside();
        let folder = format!("{inside}/{}", self.module.folder());
        if *self.module == Module::Dmatest {
            // The folder's own Makefile is not among our files, and asks for the whole kernel's choices.
            let file = self.folder.path().join(self.module.folder()).join("Kbuild");
            fs::write(&file, "obj-m := dmatest.o\n").map_err(KmodError::io(&file))?;
        }
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let words = [
            "make",
            &format!("-j{processors}"),
            "-C",
            &format!("/usr/src/linux-headers-{}", self.release),
            &format!("M={folder}"),
            "CONFIG_INTEL_IOATDMA=m",
            // Type information wants the kernel's own, and a guest does not look at it.
            "CONFIG_DEBUG_INFO_BTF_MODULES=",
            // A BUG then names the file as the kernel's own module does.
            &format!("KCFLAGS=-fmacro-prefix-map={inside}/="),
            "modules",
        ];
        let output = self.way.run(&self.root, &inside, &words)?;
        let built = folder + "/" + self.module.name() + ".ko";
        let stripped = if output.status.success() {
            self.way.run(&self.root, &inside, &["strip", "--strip-debug", &built])?
        } else {
            output
        };
        if stripped.status.success() {
            return Ok(());
        }
        let (module, release) = (self.module.name(), self.release.to_owned());
        Err(KmodError::Compile { module, release, said: said(&stripped) })
    }

    /// The kernel would refuse a module of another release, and say less.
    fn check(&self, bytes: &[u8]) -> Result<(), KmodError> {
        let found = text_after(bytes, b"vermagic=").unwrap_or_default();
        if found.split(' ').next() == Some(self.release) {
            return Ok(());
        }
        Err(KmodError::Vermagic { module: self.module.name(), found, release: self.release.into() })
    }

    /// The build's folder as commands in the root folder see it.
    fn inside(&self) -> String {
        let name = self.folder.path().file_name().map(OsStr::to_string_lossy);
        format!("/build/{}", name.unwrap_or_default())
    }
}

/// What of a module's making can change: the packages, the files, the patches, the recipe.
fn key(sources: &Path, about: &About, module: &Module) -> Result<u64, KmodError> {
    let mut hash = Fnv::default();
    hash.add(&RECIPE.to_le_bytes());
    hash.add(about.version.as_bytes());
    let mut files = Vec::new();
    list_tree(sources, &mut files)?;
    files.sort();
    for file in files {
        hash.add(file.to_string_lossy().strip_prefix(&*sources.to_string_lossy()).unwrap_or("").as_bytes());
        hash.add(&fs::read(&file).map_err(KmodError::io(&file))?);
    }
    for patch in module.patches() {
        hash.add(patch.text.as_bytes());
    }
    Ok(hash.0)
}

/// Fowler, Noll and Vo's hash, 64 bits, variant 1a: the same on every machine and of every compiler.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv {
    /// A part; its length goes along, so that parts do not run into each other.
    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes.iter().chain(&(bytes.len() as u64).to_le_bytes()) {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

fn list_tree(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), KmodError> {
    for entry in fs::read_dir(folder).map_err(KmodError::io(folder))?.flatten() {
        let path = entry.path();
        if path.is_dir() {
            list_tree(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}

fn copy_tree(from: &Path, to: &Path) -> Result<(), KmodError> {
    make_folder(to)?;
    for entry in fs::read_dir(from).map_err(KmodError::io(from))?.flatten() {
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy_tree(&path, &target)?;
        } else {
            fs::copy(&path, &target).map_err(KmodError::io(&path))?;
        }
    }
    Ok(())
}

fn text_after(bytes: &[u8], key: &[u8]) -> Option<String> {
    let at = bytes.windows(key.len()).position(|window| window == key)? + key.len();
    let text = bytes[at..].split(|byte| *byte == 0).next()?;
    Some(String::from_utf8_lossy(text).into_owned())
}

/// The end of what a command said, both outputs.
fn said(output: &Output) -> String {
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(SAID_LINES)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kmod::Patch;

    #[test]
    fn a_key_changes_with_version_file_and_patch_and_only_with_them() {
        let folder = tempfile::tempdir().unwrap();
        let about = |version: &str| About { version: version.into(), source: "trixie".into() };
        let patch = |text: &str| Module::Ioatdma(vec![Patch { name: "p".into(), text: text.into() }]);
        let write = |text: &str| fs::write(folder.path().join("dma.c"), text).unwrap();
        let key = |about: &About, module: &Module| key(folder.path(), about, module).unwrap();
        write("a");
        let first = key(&about("1"), &patch("x"));
        assert_eq!(first, key(&about("1"), &patch("x")));
        assert_ne!(first, key(&about("2"), &patch("x")));
        assert_ne!(first, key(&about("1"), &patch("y")));
        assert_ne!(first, key(&about("1"), &Module::Ioatdma(Vec::new())));
        write("b");
        assert_ne!(first, key(&about("1"), &patch("x")));
    }

    #[test]
    fn the_hash_is_the_published_one() {
        let mut hash = Fnv::default();
        // The published value of "foobar", then its length as eight bytes.
        for byte in b"foobar" {
            hash.0 = (hash.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
        assert_eq!(hash.0, 0x8594_4171_f739_67e8);
    }

    #[test]
    fn the_release_is_read_from_the_module() {
        let module = b"\0license=GPL\0vermagic=6.12.107+deb13-amd64 SMP\0";
        assert_eq!(text_after(module, b"vermagic=").as_deref(), Some("6.12.107+deb13-amd64 SMP"));
        assert_eq!(text_after(b"", b"vermagic="), None);
    }
}
