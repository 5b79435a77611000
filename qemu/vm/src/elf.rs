//! What an ELF file needs to run: nothing (static), or an interpreter and libraries, found by the host's own loader.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use thiserror::Error;

const MAGIC: &[u8] = b"\x7fELF";
const CLASS_64_LITTLE_ENDIAN: [u8; 2] = [2, 1];
const PT_INTERP: u32 = 3;

/// What an ELF file needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Needs {
    /// It is no 64-bit ELF file: a script, data.
    NotElf,
    /// It runs as it is.
    Nothing,
    /// It is loaded by this interpreter.
    Interpreter(PathBuf),
}

/// Why an ELF file cannot be brought into the guest.
#[derive(Debug, Error)]
pub enum ElfError {
    /// The file cannot be read.
    #[error("{path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A program header points outside the file.
    #[error("{0}: a damaged ELF file")]
    Damaged(PathBuf),
    /// The loader does not find its libraries here, so they cannot go into the guest either.
    #[error("{path}: its libraries are not all on this machine: {why}")]
    Libraries {
        /// The file.
        path: PathBuf,
        /// What the loader said.
        why: String,
    },
}

/// What the file at `path` needs to run.
pub fn needs(path: &Path) -> Result<Needs, ElfError> {
    let bytes = fs::read(path).map_err(|source| ElfError::Read { path: path.into(), source })?;
    parse(&bytes).ok_or_else(|| ElfError::Damaged(path.into()))
}

/// Everything that a dynamic ELF file loads at its start, with the path at which the guest must have it. Asks the file's own
/// interpreter, so the search is the host loader's, whatever its configuration.
pub fn libraries(path: &Path, interpreter: &Path) -> Result<Vec<PathBuf>, ElfError> {
    let output = Command::new(interpreter).arg("--list").arg(path).output();
    let output = output.map_err(|source| ElfError::Read { path: interpreter.into(), source })?;
    let list = String::from_utf8_lossy(&output.stdout);
    let missing = list.lines().find(|line| line.contains("=> not found"));
    if missing.is_some() || !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        let why = missing.or_else(|| stderr.lines().next()).unwrap_or("the loader failed").trim().to_owned();
        return Err(ElfError::Libraries { path: path.into(), why });
    }
    let mut files = vec![interpreter.to_path_buf()];
    files.extend(list.lines().filter_map(library));
    files.dedup();
    Ok(files)
}

/// `libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x...)`, or `/lib64/ld-linux-x86-64.so.2 (0x...)`; the vDSO has no file.
fn library(line: &str) -> Option<PathBuf> {
    let (path, _address) = line.trim().rsplit_once(" (")?;
    let path = path.split_once(" => ").map_or(path, |(_name, path)| path);
    path.starts_with('/').then(|| PathBuf::from(path))
}

/// `None` for a damaged file.
fn parse(bytes: &[u8]) -> Option<Needs> {
    if !bytes.starts_with(MAGIC) || bytes.get(4..6)? != CLASS_64_LITTLE_ENDIAN {
        return Some(Needs::NotElf);
    }
    let table = usize::try_from(u64::from_le_bytes(bytes.get(32..40)?.try_into().ok()?)).ok()?;
    let entry_bytes = usize::from(u16::from_le_bytes(bytes.get(54..56)?.try_into().ok()?));
    let entries = usize::from(u16::from_le_bytes(bytes.get(56..58)?.try_into().ok()?));
    for index in 0..entries {
        let entry = bytes.get(table.checked_add(index.checked_mul(entry_bytes)?)?..)?;
        if u32::from_le_bytes(entry.get(0..4)?.try_into().ok()?) == PT_INTERP {
            return Some(Needs::Interpreter(PathBuf::from(interpreter(bytes, entry)?)));
        }
    }
    // A static position-independent program has a dynamic section too, and relocates itself.
    Some(Needs::Nothing)
}

fn interpreter(bytes: &[u8], entry: &[u8]) -> Option<String> {
    let offset = usize::try_from(u64::from_le_bytes(entry.get(8..16)?.try_into().ok()?)).ok()?;
    let len = usize::try_from(u64::from_le_bytes(entry.get(32..40)?.try_into().ok()?)).ok()?;
    let text = bytes.get(offset..offset.checked_add(len)?)?;
    Some(String::from_utf8_lossy(text).trim_end_matches('\0').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_test_program_needs_an_interpreter_and_libc() {
        let program = std::env::current_exe().unwrap();
        let Needs::Interpreter(interpreter) = needs(&program).unwrap() else {
            panic!("a test program is linked dynamically")
        };
        let files = libraries(&program, &interpreter).unwrap();
        assert!(files.contains(&interpreter));
        assert!(files.iter().any(|file| file.to_string_lossy().contains("libc.so")));
        assert!(files.iter().all(|file| file.exists()));
    }

    #[test]
    fn a_script_is_no_elf_file() {
        assert_eq!(parse(b"#!/bin/sh\n"), Some(Needs::NotElf));
    }

    #[test]
    fn a_program_header_outside_the_file_is_damage_and_not_a_panic() {
        let program = fs::read(std::env::current_exe().unwrap()).unwrap();
        for cut in [5, 30, 57, 64, 70] {
            assert_eq!(parse(&program[..cut]), None, "cut at {cut}");
        }
    }

    #[test]
    fn the_loaders_lines_give_paths() {
        assert_eq!(library("\tlinux-vdso.so.1 (0x00007ffe)"), None);
        assert_eq!(library("\tlibc.so.6 => /lib/libc.so.6 (0x00007f)"), Some("/lib/libc.so.6".into()));
        assert_eq!(library("\t/lib64/ld.so.2 (0x00007f)"), Some("/lib64/ld.so.2".into()));
    }
}
