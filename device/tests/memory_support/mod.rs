//! What the memory tests need of the system: memfds, and what /proc says about this process.
#![expect(clippy::unwrap_used, reason = "a test may panic")]
#![expect(unsafe_code, reason = "memfd_create, pipe and seals have no safe interface")]
#![allow(dead_code, reason = "each test program uses a part of it")]

use std::ffi::CString;
use std::fs::{self, File};
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::fs::FileExt;
use std::thread;
use std::time::{Duration, Instant};

use vfio_user_ioat::memory::{DmaTable, Unmapped};

pub(crate) const PAGE: u64 = 4096;

/// An unsealed memfd of `len` zero bytes.
pub(crate) fn memfd(len: u64) -> File {
    named_memfd("memory-test", len)
}

/// The same, with a name by which /proc knows it.
pub(crate) fn named_memfd(name: &str, len: u64) -> File {
    memfd_with(name, len, libc::MFD_ALLOW_SEALING)
}

/// A memfd in 2 MiB huge pages.
pub(crate) fn huge_memfd(len: u64) -> File {
    memfd_with("huge", len, libc::MFD_HUGETLB | libc::MFD_HUGE_2MB)
}

/// 2 MiB huge pages that a mapping can get on this machine now.
pub(crate) fn free_huge_pages() -> u64 {
    let dir = "/sys/kernel/mm/hugepages/hugepages-2048kB";
    fs::read_to_string(format!("{dir}/free_hugepages")).map_or(0, |text| text.trim().parse().unwrap())
}

fn memfd_with(name: &str, len: u64, flags: u32) -> File {
    let name = CString::new(name).unwrap();
    // SAFETY: the name is a valid C string; the new descriptor has no other owner.
    let file = unsafe {
        let fd = libc::memfd_create(name.as_ptr(), libc::MFD_CLOEXEC | flags);
        assert!(fd >= 0, "{}", std::io::Error::last_os_error());
        File::from_raw_fd(fd)
    };
    file.set_len(len).unwrap();
    file
}

/// Adds seals to a memfd.
pub(crate) fn seal(file: &File, seals: i32) {
    // SAFETY: F_ADD_SEALS takes an integer.
    let result = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, seals) };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
}

/// A pipe's reading and writing end.
pub(crate) fn pipe() -> (File, File) {
    let mut fds = [0; 2];
    // SAFETY: the array has room for two descriptors, which have no other owner.
    unsafe {
        assert_eq!(libc::pipe2(fds.as_mut_ptr(), libc::O_CLOEXEC), 0);
        (File::from_raw_fd(fds[0]), File::from_raw_fd(fds[1]))
    }
}

/// Another descriptor of the same file, as it comes with each DMA_MAP.
pub(crate) fn reopen(file: &File) -> File {
    file.try_clone().unwrap()
}

/// Another descriptor of the same file that cannot write.
pub(crate) fn read_only(file: &File) -> File {
    File::open(format!("/proc/self/fd/{}", file.as_raw_fd())).unwrap()
}

/// Writes to the file as the client does.
pub(crate) fn poke(file: &File, offset: u64, bytes: &[u8]) {
    file.write_all_at(bytes, offset).unwrap();
}

/// Reads from the file as the client does.
pub(crate) fn peek(file: &File, offset: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    file.read_exact_at(&mut bytes, offset).unwrap();
    bytes
}

/// Mappings of this process that name the memfd.
pub(crate) fn vmas(name: &str) -> usize {
    let wanted = format!("/memfd:{name} ");
    fs::read_to_string("/proc/self/maps").unwrap().lines().filter(|line| line.contains(&wanted)).count()
}

/// Descriptors of this process that name the memfd.
pub(crate) fn fds(name: &str) -> usize {
    let wanted = format!("/memfd:{name} ");
    let names = |entry: fs::DirEntry| fs::read_link(entry.path()).unwrap_or_default();
    fs::read_dir("/proc/self/fd")
        .unwrap()
        .map(|entry| names(entry.unwrap()))
        .filter(|target| target.to_string_lossy().starts_with(&wanted))
        .count()
}

/// Sends this thread a signal.
pub(crate) fn raise(signal: i32) {
    // SAFETY: raise takes no memory.
    unsafe { libc::raise(signal) };
}

/// Waits until the unmapped range is unused, as the server does before its reply.
pub(crate) fn drained(table: &DmaTable, ticket: Unmapped) {
    let start = Instant::now();
    while !table.is_drained(&ticket) {
        assert!(start.elapsed() < Duration::from_secs(20), "never drained");
        thread::sleep(Duration::from_micros(50));
    }
}
