//! File descriptors: shared memory files, and those that a crate lends only as a number.
#![expect(
    unsafe_code,
    reason = "memfd_create and file seals have no safe face; lent descriptors are bare numbers"
)]

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd};

use vmm_sys_util::epoll::Epoll;
use vmm_sys_util::eventfd::EventFd;

/// What the system said when a mapping failed.
pub(crate) fn map_error(error: vm_memory::mmap::MmapRegionError) -> io::Error {
    match error {
        vm_memory::mmap::MmapRegionError::Mmap(source) => source,
        other => io::Error::new(io::ErrorKind::InvalidInput, other),
    }
}

/// A file of `size` zeroed bytes in memory, which can be sent to another process. It is sealed at its size, so
/// that no one who holds it can turn the other's access into a SIGBUS.
pub(crate) fn memfd(size: u64) -> io::Result<File> {
    // Why unsafe: std has no memfd.
    // SAFETY: the name is a C string constant; the call touches no other memory.
    let fd = unsafe { libc::memfd_create(c"netdma".as_ptr(), libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made `fd` and nobody else owns it.
    let file = unsafe { File::from_raw_fd(fd) };
    file.set_len(size)?;
    let seals = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL;
    // SAFETY: `file` is an open descriptor, and F_ADD_SEALS takes an integer.
    if unsafe { libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, seals) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(file)
}

/// The descriptor of an eventfd, for as long as the eventfd is borrowed.
pub(crate) fn of_event(event: &EventFd) -> BorrowedFd<'_> {
    // SAFETY: `event` owns the descriptor and closes it only when dropped, which the borrow forbids.
    unsafe { BorrowedFd::borrow_raw(event.as_raw_fd()) }
}

/// The descriptor of an epoll instance, for as long as it is borrowed.
pub(crate) fn of_epoll(epoll: &Epoll) -> BorrowedFd<'_> {
    // SAFETY: `epoll` owns the descriptor and closes it only when dropped, which the borrow forbids.
    unsafe { BorrowedFd::borrow_raw(epoll.as_raw_fd()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shared_file_cannot_be_cut_under_its_users() {
        let file = memfd(8192).unwrap();
        assert_eq!(file.metadata().unwrap().len(), 8192);
        assert!(file.set_len(4096).is_err());
        assert!(file.set_len(16384).is_err());
    }
}
