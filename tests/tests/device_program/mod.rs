//! The real program `vfio-user-ioat` in a process of its own, and memory to share with it.
#![expect(unsafe_code, reason = "memfd_create and kill have no safe interface")]
#![allow(dead_code, reason = "each test program uses a part of it")]

use std::fs::{self, File};
use std::os::fd::FromRawFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long anything may take that is expected at once.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A running device; killed when dropped.
pub(crate) struct Program {
    child: Child,
    folder: TempDir,
}

impl Program {
    /// Starts it on a socket of its own, and waits until it listens.
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new(netdma_tests::program("vfio-user-ioat"));
        command.arg("--socket-path").arg(folder.path().join("dma.sock"));
        let child = command.env("RUST_LOG", "warn").stdin(Stdio::null()).spawn().unwrap();
        let program = Self { child, folder };
        let begin = Instant::now();
        while !program.socket().exists() {
            assert!(begin.elapsed() < PATIENCE, "the device program does not listen");
            thread::sleep(Duration::from_millis(5));
        }
        program
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("dma.sock")
    }

    /// Resident KiB of its process.
    pub(crate) fn resident_kib(&self) -> u64 {
        let status = fs::read_to_string(self.proc("status")).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// How long its serving thread and the calling one have waited for a processor, though they could have run.
    pub(crate) fn waited_for_processor(&self) -> Duration {
        let waited = |path: PathBuf| -> u64 {
            let stat = fs::read_to_string(path).unwrap_or_default();
            stat.split_whitespace().nth(1).and_then(|field| field.parse().ok()).unwrap_or(0)
        };
        // The program serves in its first thread.
        Duration::from_nanos(waited(self.proc("schedstat")) + waited("/proc/thread-self/schedstat".into()))
    }

    /// Its open file descriptors.
    pub(crate) fn descriptors(&self) -> usize {
        fs::read_dir(self.proc("fd")).unwrap().count()
    }

    /// Its memory mappings.
    pub(crate) fn mappings(&self) -> usize {
        fs::read_to_string(self.proc("maps")).unwrap().lines().count()
    }

    /// Sends SIGTERM and waits for its end.
    pub(crate) fn terminate(mut self) -> ExitStatus {
        let pid = i32::try_from(self.child.id()).unwrap();
        // SAFETY: sends a signal to our own child, which is not waited for yet, so the number is still its.
        assert_eq!(unsafe { libc::kill(pid, libc::SIGTERM) }, 0);
        let begin = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                assert!(!self.socket().exists(), "the socket is left behind");
                return status;
            }
            assert!(begin.elapsed() < PATIENCE, "SIGTERM does not end it");
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn proc(&self, name: &str) -> PathBuf {
        Path::new("/proc").join(self.child.id().to_string()).join(name)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A memfd of `len` zero bytes.
pub(crate) fn memfd(len: u64) -> File {
    // SAFETY: the name is a valid C string; the new descriptor has no other owner.
    let file = unsafe {
        let fd = libc::memfd_create(c"test".as_ptr(), libc::MFD_CLOEXEC);
        assert!(fd >= 0, "{}", std::io::Error::last_os_error());
        File::from_raw_fd(fd)
    };
    file.set_len(len).unwrap();
    file
}
