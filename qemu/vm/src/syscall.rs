//! The few kernel calls that the standard library lacks; all of the library's `unsafe` code.
#![expect(unsafe_code, reason = "prctl after fork, waitid, kill, flock and statvfs have no safe form in std")]

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::mem::zeroed;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

/// The child gets `signal` when the thread that spawns it ends, however that happens.
pub(crate) fn die_with_parent(command: &mut Command, signal: i32) {
    let parent = std::process::id();
    let hook = move || {
        // Std offers no prctl, and only the child itself can ask for this.
        // SAFETY: both calls are async-signal-safe, take integers only, and touch no memory.
        let (done, now) = unsafe { (libc::prctl(libc::PR_SET_PDEATHSIG, signal), libc::getppid()) };
        if done != 0 {
            return Err(io::Error::last_os_error());
        }
        // The parent may have died between fork and prctl; then no signal ever comes.
        if u32::try_from(now) == Ok(parent) { Ok(()) } else { Err(io::ErrorKind::BrokenPipe.into()) }
    };
    // A hook between fork and exec is the only place for it.
    // SAFETY: the hook only makes async-signal-safe calls and allocates nothing (its errors are plain values).
    unsafe { command.pre_exec(hook) };
}

/// Waits until the child `pid` has ended, without reaping it, so that its number cannot be given to another process yet.
pub(crate) fn wait_without_reaping(pid: u32) -> io::Result<()> {
    loop {
        // Std always reaps.
        // SAFETY: an all-zero siginfo_t is a valid value of that plain C structure.
        let mut info: libc::siginfo_t = unsafe { zeroed() };
        // SAFETY: `info` is a writable siginfo_t that lives across the call.
        let done = unsafe { libc::waitid(libc::P_PID, pid, &raw mut info, libc::WEXITED | libc::WNOWAIT) };
        if done == 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// `kill(2)`. The caller holds `pid` as a child that is not reaped.
pub(crate) fn kill(pid: u32, signal: i32) -> io::Result<()> {
    let pid = i32::try_from(pid).map_err(io::Error::other)?;
    // Std sends only SIGKILL.
    // SAFETY: kill takes two integers and touches no memory of ours.
    let done = unsafe { libc::kill(pid, signal) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Takes the file's exclusive lock. `false`: another process has it and `wait` is `false`.
pub(crate) fn lock(file: &File, wait: bool) -> io::Result<bool> {
    let how = if wait { libc::LOCK_EX } else { libc::LOCK_EX | libc::LOCK_NB };
    loop {
        // Std's own lock is newer than our oldest toolchain.
        // SAFETY: flock takes an open descriptor, which `file` keeps open, and an integer.
        if unsafe { libc::flock(file.as_raw_fd(), how) } == 0 {
            return Ok(true);
        }
        let error = io::Error::last_os_error();
        match error.kind() {
            io::ErrorKind::Interrupted => {}
            io::ErrorKind::WouldBlock => return Ok(false),
            _ => return Err(error),
        }
    }
}

/// Bytes that an ordinary user may still write on the file system of `path`.
pub(crate) fn free_bytes(path: &Path) -> io::Result<u64> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    // Std has no statvfs.
    // SAFETY: an all-zero statvfs is a valid value of that plain C structure.
    let mut stat: libc::statvfs = unsafe { zeroed() };
    // SAFETY: the path is NUL-terminated and `stat` is writable; both live across the call.
    let done = unsafe { libc::statvfs(path.as_ptr(), &raw mut stat) };
    if done == 0 { Ok(stat.f_bavail.saturating_mul(stat.f_frsize)) } else { Err(io::Error::last_os_error()) }
}
