//! A patch against the kernel's source: a unified diff, with what a reader must know above it.

use std::fs;
use std::path::Path;

use super::KmodError;

/// The only files that we build: a patch of others would do nothing.
const FOLDER: &str = "drivers/dma/";

/// A patch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patch {
    /// Its name, for messages.
    pub name: String,
    /// The unified diff, as `patch -p1` reads it.
    pub text: String,
}

impl Patch {
    /// Reads a patch of the user's.
    ///
    /// # Errors
    /// When there is no such file, or it is no unified diff of files below `drivers/dma/`.
    pub fn read(path: &Path) -> Result<Self, KmodError> {
        let text = fs::read_to_string(path).map_err(KmodError::io(path))?;
        let patch = Self { name: path.display().to_string(), text };
        patch.check()?;
        Ok(patch)
    }

    /// The files that it changes.
    pub fn files(&self) -> impl Iterator<Item = &str> {
        let named = self.text.lines().filter_map(|line| line.strip_prefix("+++ "));
        named.map(|name| name.split('\t').next().unwrap_or(name).trim())
    }

    fn check(&self) -> Result<(), KmodError> {
        let bad = |why: String| Err(KmodError::BadPatch { name: self.name.clone(), why });
        if self.files().next().is_none() {
            return bad("no `+++ ` line: not a unified diff".into());
        }
        // `-p1` takes one folder off the front, `a/` or `b/`.
        let strange = self.files().find(|file| {
            let below = file.split_once('/').map_or("", |(_, below)| below);
            !below.starts_with(FOLDER) || below.split('/').any(|part| part == "..")
        });
        match strange {
            Some(file) => bad(format!("it changes {file}, and only files below b/{FOLDER} are built here")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Result<(), String> {
        Patch { name: "x.patch".into(), text: text.into() }.check().map_err(|error| error.to_string())
    }

    #[test]
    fn only_a_diff_of_files_that_are_built_is_a_patch() {
        assert_eq!(check("--- a/drivers/dma/ioat/dma.c\n+++ b/drivers/dma/ioat/dma.c\t2026\n"), Ok(()));
        assert_eq!(check("hello\n"), Err("patch x.patch: no `+++ ` line: not a unified diff".into()));
        for file in ["b/kernel/fork.c", "b/drivers/dma/../../fork.c", "fork.c"] {
            let error = check(&format!("+++ {file}\n")).unwrap_err();
            assert!(error.contains(&format!("it changes {file}, and only")), "{error}");
        }
    }

    #[test]
    fn a_missing_patch_is_named() {
        let error = Patch::read(Path::new("/no/such.patch")).unwrap_err().to_string();
        assert!(error.starts_with("/no/such.patch: "), "{error}");
    }
}
