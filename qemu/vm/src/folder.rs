//! The folder of one run: sockets, console, logs, initramfs. It goes when the run ends.

use std::env;
use std::io;
use std::path::{Path, PathBuf};

use tempfile::{Builder, TempDir};

/// The longest path that a UNIX socket takes, without its final zero byte.
const SOCKET_PATH_BYTES: usize = 107;

/// The longest name that we give to a file in the folder.
const LONGEST_NAME_BYTES: usize = 16;

/// The folder of one run.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    /// `None`: it stays.
    guard: Option<TempDir>,
}

impl Folder {
    /// Makes a new folder under `$TMPDIR`, or under `/tmp` when a socket's path would get too long.
    pub fn new(keep: bool) -> io::Result<Self> {
        let guard = make_in(&env::temp_dir())?;
        let fits = guard.path().as_os_str().len() + 1 + LONGEST_NAME_BYTES <= SOCKET_PATH_BYTES;
        let guard = if fits { guard } else { make_in(Path::new("/tmp"))? };
        let path = guard.path().to_path_buf();
        let guard = if keep {
            let _ = guard.keep();
            None
        } else {
            Some(guard)
        };
        Ok(Self { path, guard })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it stays after the run.
    pub fn is_kept(&self) -> bool {
        self.guard.is_none()
    }

    /// The socket of device `index`.
    pub fn device_socket(&self, index: usize) -> PathBuf {
        self.path.join(format!("device{index}.sock"))
    }

    /// The log of device `index`: its standard output and error.
    pub fn device_log(&self, index: usize) -> PathBuf {
        self.path.join(format!("device{index}.log"))
    }

    /// The guest channel's socket.
    pub fn channel_socket(&self) -> PathBuf {
        self.path.join("channel.sock")
    }

    /// The socket on which QEMU waits for gdb.
    pub fn gdb_socket(&self) -> PathBuf {
        self.path.join("gdb.sock")
    }

    /// The guest's console.
    pub fn console(&self) -> PathBuf {
        self.path.join("console.log")
    }

    /// QEMU's standard output and error.
    pub fn qemu_log(&self) -> PathBuf {
        self.path.join("qemu.log")
    }

    /// The guest's initramfs.
    pub fn initramfs(&self) -> PathBuf {
        self.path.join("initramfs.cpio")
    }
}

fn make_in(parent: &Path) -> io::Result<TempDir> {
    Builder::new().prefix("netdma-vm.").tempdir_in(parent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_folder_goes_with_the_run_unless_it_is_kept() {
        let folder = Folder::new(false).unwrap();
        let path = folder.path().to_path_buf();
        assert!(path.is_dir());
        drop(folder);
        assert!(!path.exists());

        let folder = Folder::new(true).unwrap();
        let path = folder.path().to_path_buf();
        drop(folder);
        assert!(path.is_dir());
        std::fs::remove_dir_all(path).unwrap();
    }

    #[test]
    fn socket_names_leave_room_for_the_limit() {
        let folder = Folder::new(false).unwrap();
        for socket in [folder.device_socket(14), folder.channel_socket(), folder.gdb_socket()] {
            assert!(socket.as_os_str().len() <= SOCKET_PATH_BYTES);
            assert!(socket.file_name().unwrap().len() <= LONGEST_NAME_BYTES);
        }
    }
}
