//! A file that appears only when all of it is good.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;

/// A file that is being written. Dropped before [`Output::keep`] it leaves nothing behind.
pub(crate) struct Output {
    path: PathBuf,
    file: File,
    /// Where it is written until it is good; none for what is no regular file, such as `/dev/null`.
    draft: Option<PathBuf>,
}

impl Output {
    pub(crate) fn create(path: &Path) -> anyhow::Result<Self> {
        let special = path.metadata().is_ok_and(|metadata| !metadata.is_file());
        let draft = (!special).then(|| draft(path)).transpose()?;
        let file = match &draft {
            Some(draft) => File::create_new(draft),
            None => File::options().write(true).open(path),
        };
        let file = file.with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self { path: path.into(), file, draft })
    }

    pub(crate) fn write(&self, data: &[u8]) -> anyhow::Result<()> {
        (&self.file).write_all(data).with_context(|| format!("cannot write {}", self.path.display()))
    }

    /// It is good.
    pub(crate) fn keep(mut self) -> anyhow::Result<()> {
        if let Some(draft) = self.draft.take() {
            let renamed = fs::rename(&draft, &self.path);
            if renamed.is_err() {
                self.draft = Some(draft);
            }
            renamed.with_context(|| format!("cannot write {}", self.path.display()))?;
        }
        Ok(())
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if let Some(draft) = &self.draft {
            // Already failing for another reason, which is the one to tell.
            let _ = fs::remove_file(draft);
        }
    }
}

/// In the same folder, so that it can be renamed.
fn draft(path: &Path) -> anyhow::Result<PathBuf> {
    let name =
        path.file_name().with_context(|| format!("--output {}: this names no file", path.display()))?;
    let draft = format!(".{}.{}.netdma", name.to_string_lossy(), std::process::id());
    Ok(path.with_file_name(draft))
}
