//! The system calls under the server: framed receive with descriptors, send, wait, and what turns a number into a socket.
#![expect(unsafe_code, reason = "SCM_RIGHTS with MSG_CMSG_CLOEXEC and MSG_CTRUNC has no safe interface here")]

use std::io;
use std::mem::{MaybeUninit, size_of_val};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::ptr;
use std::time::Duration;

use vmm_sys_util::eventfd::EventFd;

/// The kernel passes at most 253 descriptors with one message (SCM_MAX_FD): with room for all, none is ever cut off here.
const CONTROL_BYTES: usize = 1040;

/// What one `recvmsg` brought.
#[derive(Debug)]
pub(crate) struct Received {
    /// Bytes; 0 is the end of the stream.
    pub(crate) bytes: usize,
    /// Descriptors were lost (MSG_CTRUNC): this process has no room for more.
    pub(crate) truncated: bool,
}

#[repr(C, align(8))]
struct Control([u8; CONTROL_BYTES]);

/// Receives without blocking, at most `buffer`; descriptors are appended to `fds`, close-on-exec.
pub(crate) fn receive(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
    fds: &mut Vec<OwnedFd>,
) -> io::Result<Received> {
    let mut control = Control([0; CONTROL_BYTES]);
    let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: `msghdr` is a C structure of integers and pointers, for which zero is valid.
    let mut message: libc::msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.0.as_mut_ptr().cast();
    message.msg_controllen = CONTROL_BYTES;
    let flags = libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC;
    // SAFETY: `message` points to `part` and `control`, which outlive the call, with their true lengths.
    let got = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, flags) };
    let bytes = usize::try_from(got).map_err(|_| io::Error::last_os_error())?;

    // SAFETY: the kernel filled `control` up to `msg_controllen`; the CMSG functions stay inside of that.
    let mut entry = unsafe { libc::CMSG_FIRSTHDR(&raw const message) };
    while !entry.is_null() {
        // SAFETY: `entry` is not null, so it points to a whole header inside `control`, which is aligned for it.
        let header = unsafe { &*entry };
        if header.cmsg_level == libc::SOL_SOCKET && header.cmsg_type == libc::SCM_RIGHTS {
            // SAFETY: the data of an entry begins inside `control`.
            let data = unsafe { libc::CMSG_DATA(entry) };
            // SAFETY: CMSG_LEN only computes.
            let overhead = unsafe { libc::CMSG_LEN(0) } as usize;
            let count = header.cmsg_len.saturating_sub(overhead) / size_of::<RawFd>();
            for nth in 0..count {
                // SAFETY: an SCM_RIGHTS entry of `cmsg_len` holds `count` descriptor numbers, maybe unaligned.
                let fd: RawFd = unsafe { ptr::read_unaligned(data.cast::<RawFd>().add(nth)) };
                // SAFETY: the kernel has just opened `fd` for us, and nobody else knows of it.
                fds.push(unsafe { OwnedFd::from_raw_fd(fd) });
            }
        }
        // SAFETY: as for CMSG_FIRSTHDR.
        entry = unsafe { libc::CMSG_NXTHDR(&raw const message, entry) };
    }
    Ok(Received { bytes, truncated: message.msg_flags & libc::MSG_CTRUNC != 0 })
}

/// Sends without blocking and without SIGPIPE; says how many bytes went.
pub(crate) fn send(socket: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    let mut part = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    // SAFETY: as in `receive`.
    let mut message: libc::msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: `message` points to `part`, which points to `bytes`; the kernel only reads them.
    let sent = unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const message, flags) };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

/// What to wait for, and, after [`wait`], what came.
pub(crate) struct Watch {
    inner: libc::pollfd,
}

impl Watch {
    pub(crate) fn readable(fd: &impl AsRawFd) -> Watch {
        Watch { inner: libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 } }
    }

    pub(crate) fn writable(fd: &impl AsRawFd) -> Watch {
        Watch { inner: libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLOUT, revents: 0 } }
    }

    /// Either, both, or only that the other end is gone.
    pub(crate) fn wanted(fd: &impl AsRawFd, readable: bool, writable: bool) -> Watch {
        let events = if readable { libc::POLLIN } else { 0 } | if writable { libc::POLLOUT } else { 0 };
        Watch { inner: libc::pollfd { fd: fd.as_raw_fd(), events, revents: 0 } }
    }

    /// Ready, or broken: the next call on the descriptor will tell.
    pub(crate) fn ready(&self) -> bool {
        self.inner.revents != 0
    }

    /// The peer has closed its socket.
    pub(crate) fn hung_up(&self) -> bool {
        self.inner.revents & (libc::POLLHUP | libc::POLLERR) != 0
    }
}

/// Waits until one of them is ready or the time is over. A signal ends the wait early.
pub(crate) fn wait(watches: &mut [Watch], timeout: Option<Duration>) -> io::Result<()> {
    // Rounded up: a wait of less than a millisecond must not become a busy loop.
    let millis =
        timeout.map_or(-1, |time| i32::try_from(time.as_micros().div_ceil(1000)).unwrap_or(i32::MAX));
    let count = watches.len() as libc::nfds_t;
    // SAFETY: `Watch` is a `pollfd` and nothing else, and there are `count` of them.
    let result = unsafe { libc::poll(watches.as_mut_ptr().cast(), count, millis) };
    if result >= 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    for watch in watches {
        watch.inner.revents = 0;
    }
    if error.kind() == io::ErrorKind::Interrupted { Ok(()) } else { Err(error) }
}

const _: () = assert!(size_of::<Watch>() == size_of::<libc::pollfd>());

/// `fd` as an eventfd that never blocks; `None` if it is something else.
pub(crate) fn into_eventfd(fd: OwnedFd) -> Option<EventFd> {
    let target = std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd())).ok()?;
    if target.as_os_str() != "anon_inode:[eventfd]" {
        return None;
    }
    // SAFETY: F_GETFL and F_SETFL on a descriptor that we own; no memory is involved.
    let done = unsafe {
        let flags = libc::fcntl(fd.as_raw_fd(), libc::F_GETFL);
        flags >= 0 && libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, flags | libc::O_NONBLOCK) == 0
    };
    // SAFETY: `into_raw_fd` gives up our ownership, which passes to the `EventFd`.
    done.then(|| unsafe { EventFd::from_raw_fd(fd.into_raw_fd()) })
}

/// Whether a file is open for reading (`true`, if the first) and for writing (the second).
pub(crate) fn open_mode(fd: &impl AsRawFd) -> io::Result<(bool, bool)> {
    // SAFETY: F_GETFL takes no argument and touches no memory.
    let flags = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) };
    if flags < 0 {
        return Err(io::Error::last_os_error());
    }
    let mode = flags & libc::O_ACCMODE;
    Ok((mode != libc::O_WRONLY, mode != libc::O_RDONLY))
}

/// What a socket descriptor that we were started with is.
pub(crate) enum Inherited {
    Listening(UnixListener),
    Connected(UnixStream),
}

/// Takes over descriptor `number`; `None` if it is not a UNIX stream socket, or is one of the standard three.
///
/// To be called once per number, at the start of a program: from then on the descriptor is ours alone.
pub(crate) fn inherit(number: RawFd) -> Option<Inherited> {
    if number <= libc::STDERR_FILENO {
        return None;
    }
    let domain = socket_option(number, libc::SO_DOMAIN)?;
    let kind = socket_option(number, libc::SO_TYPE)?;
    let listens = socket_option(number, libc::SO_ACCEPTCONN)?;
    if domain != libc::AF_UNIX || kind != libc::SOCK_STREAM {
        return None;
    }
    // SAFETY: `number` is an open descriptor, as the options show, and our parent passed it to us to own (see above).
    let fd = unsafe { OwnedFd::from_raw_fd(number) };
    // SAFETY: F_SETFD touches no memory.
    unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) };
    Some(if listens != 0 { Inherited::Listening(fd.into()) } else { Inherited::Connected(fd.into()) })
}

fn socket_option(fd: RawFd, option: libc::c_int) -> Option<libc::c_int> {
    let mut value: libc::c_int = 0;
    let mut length = libc::socklen_t::try_from(size_of_val(&value)).ok()?;
    let pointer = (&raw mut value).cast();
    // SAFETY: `pointer` and `length` describe `value`.
    let result = unsafe { libc::getsockopt(fd, libc::SOL_SOCKET, option, pointer, &raw mut length) };
    (result == 0).then_some(value)
}

/// A listening socket at `path`, which only this user may connect to from its first moment on.
///
/// The mode is set on the socket before `bind`, which copies it to the file; `umask` would be the whole process's.
pub(crate) fn listen_private(path: &Path) -> io::Result<UnixListener> {
    let (address, length) = unix_address(path)?;
    let socket = unix_socket(0)?;
    let fd = socket.as_raw_fd();
    // SAFETY: fchmod and listen take no pointer; bind reads `length` bytes of `address`.
    let done = unsafe {
        libc::fchmod(fd, 0o600) == 0
            && libc::bind(fd, (&raw const address).cast(), length) == 0
            && libc::listen(fd, 128) == 0
    };
    if done { Ok(socket.into()) } else { Err(io::Error::last_os_error()) }
}

/// Tries whether anybody listens at `path`, without waiting: a full queue is `WouldBlock`.
pub(crate) fn probe(path: &Path) -> io::Result<()> {
    let (address, length) = unix_address(path)?;
    let socket = unix_socket(libc::SOCK_NONBLOCK)?;
    // SAFETY: connect reads `length` bytes of `address`.
    let result = unsafe { libc::connect(socket.as_raw_fd(), (&raw const address).cast(), length) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn unix_socket(flags: libc::c_int) -> io::Result<OwnedFd> {
    // SAFETY: socket takes no pointer.
    let fd = unsafe { libc::socket(libc::AF_UNIX, libc::SOCK_STREAM | libc::SOCK_CLOEXEC | flags, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just opened `fd` for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn unix_address(path: &Path) -> io::Result<(libc::sockaddr_un, libc::socklen_t)> {
    // SAFETY: `sockaddr_un` is a C structure of integers, for which zero is valid.
    let mut address: libc::sockaddr_un = unsafe { MaybeUninit::zeroed().assume_init() };
    address.sun_family = libc::sa_family_t::try_from(libc::AF_UNIX).unwrap_or_default();
    let bytes = path.as_os_str().as_bytes();
    // One byte stays free for the NUL.
    if bytes.is_empty() || bytes.len() >= address.sun_path.len() || bytes.contains(&0) {
        let limit = address.sun_path.len() - 1;
        let text = format!("a socket path has 1 to {limit} bytes without NUL, this one has {}", bytes.len());
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    for (to, from) in address.sun_path.iter_mut().zip(bytes) {
        *to = libc::c_char::from_ne_bytes([*from]);
    }
    let length = libc::socklen_t::try_from(size_of::<libc::sockaddr_un>()).unwrap_or(libc::socklen_t::MAX);
    Ok((address, length))
}
