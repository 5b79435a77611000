//! Where the workspace's programs are.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// The folder that this program was built into, which holds the host's programs.
///
/// # Errors
/// When the system does not tell.
pub fn build_dir() -> Result<PathBuf> {
    let exe = std::env::current_exe().context("cannot find this program's own path")?;
    let folder = exe.parent().unwrap_or(Path::new("/"));
    // Cargo puts tests one folder further down.
    let programs = if folder.ends_with("deps") { folder.parent().unwrap_or(folder) } else { folder };
    Ok(programs.to_owned())
}

/// A program of the host's.
///
/// # Errors
/// When it is not built; the message says how.
pub fn host(name: &str) -> Result<PathBuf> {
    existing(build_dir()?.join(name), "cargo build --workspace --bins")
}

/// A static program for the guest.
///
/// # Errors
/// When it is not built; the message says how.
pub fn guest(name: &str) -> Result<PathBuf> {
    let dir = build_dir()?;
    let (Some(profile), Some(target)) = (dir.file_name(), dir.parent()) else {
        bail!("{} is not a cargo target folder", dir.display());
    };
    let path = target.join("x86_64-unknown-linux-gnu").join(profile).join(name);
    existing(
        path,
        "RUSTFLAGS='-C target-feature=+crt-static' cargo build --target x86_64-unknown-linux-gnu -p netdma -p netdma-vm",
    )
}

fn existing(path: PathBuf, command: &str) -> Result<PathBuf> {
    if path.exists() {
        return Ok(path);
    }
    bail!("{} is not built: run `{command}`", path.display())
}
