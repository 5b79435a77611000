//! The few kernel calls that the standard library lacks; all of this program's `unsafe` code.
#![expect(unsafe_code, reason = "mount, finit_module, waitid, kill and reboot have no safe form in std")]

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

/// `mount(2)`.
pub(crate) fn mount(kind: &str, target: &str, options: &str) -> io::Result<()> {
    let (kind, target, options) = (CString::new(kind)?, CString::new(target)?, CString::new(options)?);
    // Std has no mount.
    // SAFETY: the four strings are NUL-terminated and live across the call.
    let done =
        unsafe { libc::mount(kind.as_ptr(), target.as_ptr(), kind.as_ptr(), 0, options.as_ptr().cast()) };
    check(done)
}

/// `finit_module(2)` with the module's parameters.
pub(crate) fn load_module(file: &File, params: &str) -> io::Result<()> {
    let params = CString::new(params)?;
    // Std and libc have no wrapper.
    // SAFETY: the descriptor is open and the string is NUL-terminated; both live across the call.
    let done = unsafe { libc::syscall(libc::SYS_finit_module, file.as_raw_fd(), params.as_ptr(), 0) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Waits until some child has ended, without reaping it. `None`: there is no child.
pub(crate) fn peek_ended_child() -> Option<i32> {
    loop {
        // Std waits only for one known child, and process 1 inherits the others.
        // SAFETY: an all-zero siginfo_t is a valid value of that plain C structure.
        let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
        // SAFETY: `info` is a writable siginfo_t that lives across the call.
        let done = unsafe { libc::waitid(libc::P_ALL, 0, &raw mut info, libc::WEXITED | libc::WNOWAIT) };
        if done == 0 {
            // SAFETY: waitid succeeded with WEXITED, so the kernel filled in the SIGCHLD fields, si_pid among them.
            return Some(unsafe { info.si_pid() });
        }
        if io::Error::last_os_error().raw_os_error() != Some(libc::EINTR) {
            return None;
        }
    }
}

/// Reaps the child `pid` if it has ended: its exit status, or 128 + n for signal n.
pub(crate) fn reap(pid: i32) -> Option<i32> {
    let mut status = 0;
    // Std waits only for its own `Child`.
    // SAFETY: `status` is a writable int that lives across the call.
    let reaped = unsafe { libc::waitpid(pid, &raw mut status, libc::WNOHANG) };
    if reaped != pid {
        return None;
    }
    if libc::WIFSIGNALED(status) {
        return Some(128 + libc::WTERMSIG(status));
    }
    Some(libc::WEXITSTATUS(status))
}

/// Signals a whole process group.
pub(crate) fn signal_group(pid: i32, signal: i32) -> io::Result<()> {
    // Std has no kill.
    // SAFETY: kill takes two integers and touches no memory of ours.
    check(unsafe { libc::kill(-pid, signal) })
}

/// Whether somebody listens at the port's other end.
pub(crate) fn port_is_connected(port: &File) -> bool {
    let mut poll = libc::pollfd { fd: port.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // Std has no poll.
    // SAFETY: `poll` is one writable pollfd that lives across the call, and the count says one.
    unsafe { libc::poll(&raw mut poll, 1, 0) };
    poll.revents & libc::POLLHUP == 0
}

/// Writes out what is dirty and powers the guest off. Returns only if the kernel refuses.
pub(crate) fn power_off() {
    // Std has neither.
    // SAFETY: sync and reboot take no pointer here, and this process is process 1 of a guest of its own.
    unsafe {
        libc::sync();
        libc::reboot(libc::RB_POWER_OFF);
    }
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
