//! The guest's file system: init, busybox, modules, the plan, and what the user adds, as one cpio archive.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use cpio::newc;
use thiserror::Error;

use crate::cache::Cache;
use crate::elf::{self, ElfError, Needs};
use crate::message::{Module, PLAN_PATH, Plan};
use crate::modules::LoadedModule;

const FOLDER: u32 = 0o040_755;
const FILE: u32 = 0o100_000;
const LINK: u32 = 0o120_777;

/// Where the guest's C library looks by itself.
const DEFAULT_LIBRARY_FOLDERS: [&str; 6] =
    ["/lib", "/usr/lib", "/lib64", "/usr/lib64", "/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu"];

/// Something of the host's that goes into the guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addition {
    /// A file or a folder here.
    pub host: PathBuf,
    /// Its path in the guest. `None`: a program goes into `/usr/bin`, all else into `/`.
    pub guest: Option<String>,
}

/// Why the guest's file system cannot be made.
#[derive(Debug, Error)]
pub enum InitramfsError {
    /// A file of the host's cannot be read.
    #[error("{path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The archive cannot be written.
    #[error("writing the initramfs: {0}")]
    Write(#[from] io::Error),
    /// An addition has no name to give it in the guest.
    #[error("--add {0}: give it a path in the guest, as HOST:GUEST")]
    NoName(PathBuf),
    /// The busybox of the cache is missing.
    #[error("no busybox in {0}: run `netdma-vm setup`")]
    NoBusybox(PathBuf),
    /// An added program lacks something.
    #[error(transparent)]
    Elf(#[from] ElfError),
}

impl From<&str> for Addition {
    /// `HOST` or `HOST:GUEST`; the last colon counts, if an absolute path follows it.
    fn from(text: &str) -> Self {
        match text.rsplit_once(':') {
            Some((host, guest)) if guest.starts_with('/') => {
                Self { host: host.into(), guest: Some(guest.into()) }
            }
            _ => Self { host: text.into(), guest: None },
        }
    }
}

/// The guest's file system while it is made. Paths are absolute; folders appear by themselves.
#[derive(Clone, Debug, Default)]
pub struct Initramfs {
    entries: BTreeMap<String, Entry>,
    library_folders: BTreeSet<String>,
}

#[derive(Clone, Debug)]
enum Entry {
    Folder,
    File { mode: u32, bytes: Vec<u8> },
    Link(String),
}

impl Initramfs {
    /// Puts a file in, over an older one of the same path.
    pub fn file(&mut self, path: &str, mode: u32, bytes: impl Into<Vec<u8>>) {
        self.insert(path, Entry::File { mode, bytes: bytes.into() });
    }

    /// Puts a symbolic link in.
    pub fn link(&mut self, path: &str, target: &str) {
        self.insert(path, Entry::Link(target.into()));
    }

    /// Puts a folder in.
    pub fn folder(&mut self, path: &str) {
        self.insert(path, Entry::Folder);
    }

    /// Puts the cache's busybox in, with a link for each of its applets.
    pub fn busybox(&mut self, cache: &Cache) -> Result<(), InitramfsError> {
        let folder = cache.busybox();
        let missing = |_| InitramfsError::NoBusybox(cache.root().into());
        let program = fs::read(folder.join("busybox")).map_err(missing)?;
        let applets = fs::read_to_string(folder.join("applets")).map_err(missing)?;
        for applet in applets.lines() {
            self.link(&format!("/bin/{applet}"), "busybox");
        }
        self.file("/bin/busybox", 0o755, program);
        Ok(())
    }

    /// Puts modules in; what comes back is for the plan.
    pub fn modules(&mut self, modules: Vec<LoadedModule>) -> Vec<Module> {
        let mut planned = Vec::new();
        for module in modules {
            let path = format!("/netdma-vm/modules/{}.ko", module.name);
            self.file(&path, 0o644, module.bytes);
            planned.push(Module { name: module.name, path, params: module.params });
        }
        planned
    }

    /// Puts a file or folder of the host's in, and for a program that is not static what it loads.
    pub fn add(&mut self, addition: &Addition) -> Result<(), InitramfsError> {
        let host = &addition.host;
        let metadata = fs::metadata(host).map_err(|source| read_error(host, source))?;
        let guest = match &addition.guest {
            Some(guest) => guest.clone(),
            None => {
                let name = host.canonicalize().ok();
                let name = name.as_deref().and_then(Path::file_name);
                let name =
                    name.ok_or_else(|| InitramfsError::NoName(host.clone()))?.to_string_lossy().into_owned();
                let is_program = metadata.is_file() && metadata.permissions().mode() & 0o111 != 0;
                if is_program { format!("/usr/bin/{name}") } else { format!("/{name}") }
            }
        };
        if metadata.is_dir() { self.add_folder(host, &guest) } else { self.add_file(host, &guest) }
    }

    /// Puts the plan in and writes the archive.
    pub fn write(mut self, mut plan: Plan, out: impl Write) -> Result<(), InitramfsError> {
        if !self.library_folders.is_empty() {
            let folders: Vec<_> = self.library_folders.iter().map(String::as_str).collect();
            plan.env.insert("LD_LIBRARY_PATH".into(), folders.join(":"));
        }
        for folder in ["/dev", "/proc", "/sys", "/tmp", "/run", "/root", "/etc"] {
            self.folder(folder);
        }
        self.file("/etc/passwd", 0o644, "root:x:0:0:root:/root:/bin/sh\n");
        self.file("/etc/group", 0o644, "root:x:0:\n");
        self.file(PLAN_PATH, 0o644, serde_json::to_vec_pretty(&plan).map_err(io::Error::from)?);
        self.write_archive(out)
    }

    fn write_archive(&self, mut out: impl Write) -> Result<(), InitramfsError> {
        for (number, (path, entry)) in (1..).zip(&self.entries) {
            let (mode, bytes) = match entry {
                Entry::Folder => (FOLDER, &[][..]),
                Entry::File { mode, bytes } => (FILE | mode, bytes.as_slice()),
                Entry::Link(target) => (LINK, target.as_bytes()),
            };
            let size = u32::try_from(bytes.len()).map_err(io::Error::other)?;
            let name = path.trim_start_matches('/');
            let mut writer = newc::Builder::new(name).ino(number).mode(mode).write(&mut out, size);
            writer.write_all(bytes)?;
            writer.finish()?;
        }
        newc::trailer(out)?;
        Ok(())
    }

    fn insert(&mut self, path: &str, entry: Entry) {
        let path = format!("/{}", path.trim_matches('/'));
        let mut parent = path.as_str();
        while let Some((above, _name)) = parent.rsplit_once('/') {
            if above.is_empty() {
                break;
            }
            self.entries.entry(above.to_owned()).or_insert(Entry::Folder);
            parent = above;
        }
        // A folder that is asked for twice keeps what is in it.
        if !(matches!(entry, Entry::Folder) && self.entries.contains_key(&path)) {
            self.entries.insert(path, entry);
        }
    }

    fn add_folder(&mut self, host: &Path, guest: &str) -> Result<(), InitramfsError> {
        self.folder(guest);
        for entry in fs::read_dir(host).map_err(|source| read_error(host, source))? {
            let entry = entry.map_err(|source| read_error(host, source))?;
            let (host, guest) = (entry.path(), format!("{guest}/{}", entry.file_name().to_string_lossy()));
            let kind = entry.file_type().map_err(|source| read_error(&host, source))?;
            if kind.is_dir() {
                self.add_folder(&host, &guest)?;
            } else if kind.is_symlink() {
                let target = fs::read_link(&host).map_err(|source| read_error(&host, source))?;
                self.link(&guest, &target.to_string_lossy());
            } else if kind.is_file() {
                self.add_file(&host, &guest)?;
            }
        }
        Ok(())
    }

    fn add_file(&mut self, host: &Path, guest: &str) -> Result<(), InitramfsError> {
        self.copy(host, guest)?;
        if let Needs::Interpreter(interpreter) = elf::needs(host)? {
            for library in elf::libraries(host, &interpreter)? {
                let path = library.to_string_lossy().into_owned();
                let folder = path.rsplit_once('/').map_or("", |(folder, _name)| folder).to_owned();
                if !DEFAULT_LIBRARY_FOLDERS.contains(&folder.as_str()) {
                    self.library_folders.insert(folder);
                }
                self.copy(&library, &path)?;
            }
        }
        Ok(())
    }

    fn copy(&mut self, host: &Path, guest: &str) -> Result<(), InitramfsError> {
        let metadata = fs::metadata(host).map_err(|source| read_error(host, source))?;
        let bytes = fs::read(host).map_err(|source| read_error(host, source))?;
        self.file(guest, metadata.permissions().mode() & 0o7777, bytes);
        Ok(())
    }
}

fn read_error(path: &Path, source: io::Error) -> InitramfsError {
    InitramfsError::Read { path: path.into(), source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    /// Name, mode and bytes of each entry, in the archive's order.
    fn read_back(mut archive: &[u8]) -> Vec<(String, u32, Vec<u8>)> {
        let mut entries = Vec::new();
        loop {
            let mut reader = newc::Reader::new(archive).unwrap();
            if reader.entry().is_trailer() {
                return entries;
            }
            let (name, mode) = (reader.entry().name().to_owned(), reader.entry().mode());
            let mut bytes = Vec::new();
            reader.read_to_end(&mut bytes).unwrap();
            entries.push((name, mode, bytes));
            archive = reader.finish().unwrap();
        }
    }

    fn archive(initramfs: Initramfs) -> Vec<(String, u32, Vec<u8>)> {
        let mut bytes = Vec::new();
        initramfs.write(Plan::default(), &mut bytes).unwrap();
        read_back(&bytes)
    }

    #[test]
    fn folders_come_before_what_is_in_them() {
        let mut initramfs = Initramfs::default();
        initramfs.file("/a/b/c", 0o755, "text");
        initramfs.link("/a/link", "b/c");
        let entries = archive(initramfs);
        let at = |name: &str| entries.iter().position(|(entry, ..)| entry == name).unwrap();
        assert!(at("a") < at("a/b") && at("a/b") < at("a/b/c"));
        assert_eq!(entries[at("a/b/c")], ("a/b/c".into(), 0o100_755, b"text".to_vec()));
        assert_eq!(entries[at("a/link")], ("a/link".into(), 0o120_777, b"b/c".to_vec()));
        assert_eq!(entries[at("a")].1, 0o040_755);
    }

    #[test]
    fn the_plan_is_in_the_archive_and_reads_back() {
        let plan = Plan { devices: vec!["0000:00:10.0".into()], bind: true, ..Plan::default() };
        let mut bytes = Vec::new();
        Initramfs::default().write(plan.clone(), &mut bytes).unwrap();
        let entries = read_back(&bytes);
        let (.., json) = entries.iter().find(|(name, ..)| format!("/{name}") == PLAN_PATH).unwrap();
        assert_eq!(serde_json::from_slice::<Plan>(json).unwrap(), plan);
    }

    #[test]
    fn a_dynamic_program_brings_its_loader_and_libraries() {
        let mut initramfs = Initramfs::default();
        let host = std::env::current_exe().unwrap();
        initramfs.add(&Addition { host, guest: Some("/usr/bin/test".into()) }).unwrap();
        let entries = archive(initramfs);
        for part in ["usr/bin/test", "ld-linux", "libc.so"] {
            assert!(entries.iter().any(|(name, ..)| name.contains(part)), "{part}");
        }
    }

    #[test]
    fn a_folder_keeps_its_shape_and_its_links() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("sub")).unwrap();
        fs::write(folder.path().join("sub/data"), "1").unwrap();
        std::os::unix::fs::symlink("sub/data", folder.path().join("link")).unwrap();
        let mut initramfs = Initramfs::default();
        initramfs.add(&Addition { host: folder.path().into(), guest: Some("/x".into()) }).unwrap();
        let entries = archive(initramfs);
        let names: Vec<_> =
            entries.iter().map(|(name, ..)| name.as_str()).filter(|name| name.starts_with('x')).collect();
        assert_eq!(names, ["x", "x/link", "x/sub", "x/sub/data"]);
    }

    #[test]
    fn a_missing_addition_is_named() {
        let error = Initramfs::default().add(&"/no/such/file".into()).unwrap_err().to_string();
        assert!(error.starts_with("/no/such/file: "), "{error}");
    }

    #[test]
    fn an_addition_is_a_host_path_and_perhaps_a_guest_path() {
        let addition =
            |host: &str, guest: Option<&str>| Addition { host: host.into(), guest: guest.map(Into::into) };
        assert_eq!(Addition::from("a/b"), addition("a/b", None));
        assert_eq!(Addition::from("a:/b"), addition("a", Some("/b")));
        assert_eq!(Addition::from("a:b"), addition("a:b", None));
    }
}
