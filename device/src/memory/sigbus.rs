//! Survives a client that truncates a file after it mapped it (R40).
//!
//! A touch beyond the end of a mapped file raises SIGBUS in the worker. The handler looks up the address among the
//! file mappings; from the touched page to the mapping's end it puts anonymous memory, marks the mapping as
//! poisoned, and lets the copy run on into bytes that nobody will be told about. All the rest of the mapping, because
//! what is beyond the end of a file at one page is so at all later ones, and one split per mapping cannot exhaust
//! `vm.max_map_count`. Any other SIGBUS goes to whoever had the signal before.
//!
//! Memfds sealed against shrinking (QEMU's default) never get here.
#![expect(unsafe_code, reason = "a signal handler, and a mapping put over another in it")]

use std::ptr::{null, null_mut, with_exposed_provenance_mut};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering, fence};
use std::sync::{Arc, OnceLock};
use std::{io, mem};

/// File mappings that one process may have, over all its tables.
pub(super) const MAX_WATCHED: usize = 1024;

static REGISTRY: [Entry; MAX_WATCHED] = [const { Entry::new() }; MAX_WATCHED];
static PREVIOUS: OnceLock<libc::sigaction> = OnceLock::new();
static INSTALLED: OnceLock<Result<(), i32>> = OnceLock::new();

/// One watched mapping. `version` is odd while the entry changes; the handler skips such an entry, which is
/// right: the mapping in which it faulted is in use, so its own entry does not change.
struct Entry {
    taken: AtomicBool,
    version: AtomicU64,
    base: AtomicUsize,
    len: AtomicUsize,
    page: AtomicUsize,
    poisoned: AtomicBool,
    events: AtomicPtr<AtomicU64>,
}

/// A mapping's place in the registry, for as long as this lives. It must be dropped before the mapping is.
#[derive(Debug)]
pub(super) struct Watched {
    index: u32,
    /// Keeps alive what the entry's `events` points to.
    _events: Arc<AtomicU64>,
}

/// Watches `[base, base + len)`, a mapping in pages of `page` bytes; each truncation found adds one to `events`.
/// `None`: the registry is full.
pub(super) fn watch(
    base: usize,
    len: usize,
    page: usize,
    events: &Arc<AtomicU64>,
) -> io::Result<Option<Watched>> {
    INSTALLED.get_or_init(install).map_err(io::Error::from_raw_os_error)?;
    let free = |entry: &Entry| {
        entry.taken.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).is_ok()
    };
    let Some((index, entry)) = (0_u32..).zip(&REGISTRY).find(|(_, entry)| free(entry)) else {
        return Ok(None);
    };
    entry.poisoned.store(false, Ordering::Relaxed);
    entry.change(base, len, page, Arc::as_ptr(events).cast_mut());
    Ok(Some(Watched { index, _events: Arc::clone(events) }))
}

/// Whether the mapping with this [`Watched::index`] was found truncated. Meaningful while it is watched.
pub(super) fn is_poisoned(index: u32) -> bool {
    usize::try_from(index)
        .ok()
        .and_then(|i| REGISTRY.get(i))
        .is_some_and(|entry| entry.poisoned.load(Ordering::Acquire))
}

impl Watched {
    /// The entry's number; unique in the process while this lives.
    pub(super) fn index(&self) -> u32 {
        self.index
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let entry = &REGISTRY[self.index as usize];
        entry.change(0, 0, 0, null_mut());
        entry.taken.store(false, Ordering::Release);
    }
}

impl Entry {
    const fn new() -> Self {
        Self {
            taken: AtomicBool::new(false),
            version: AtomicU64::new(0),
            base: AtomicUsize::new(0),
            len: AtomicUsize::new(0),
            page: AtomicUsize::new(0),
            poisoned: AtomicBool::new(false),
            events: AtomicPtr::new(null_mut()),
        }
    }

    /// Sets all fields. Only the owner of `taken` calls this.
    fn change(&self, base: usize, len: usize, page: usize, events: *mut AtomicU64) {
        let version = self.version.load(Ordering::Relaxed);
        self.version.store(version + 1, Ordering::Relaxed);
        fence(Ordering::Release);
        self.base.store(base, Ordering::Relaxed);
        self.len.store(len, Ordering::Relaxed);
        self.page.store(page, Ordering::Relaxed);
        self.events.store(events, Ordering::Relaxed);
        self.version.store(version + 2, Ordering::Release);
    }

    /// The part of this mapping from the page of `address` on, as (start, length), and its event counter.
    fn tail(&self, address: usize) -> Option<(usize, usize, *const AtomicU64)> {
        let version = self.version.load(Ordering::Acquire);
        let base = self.base.load(Ordering::Relaxed);
        let len = self.len.load(Ordering::Relaxed);
        let page = self.page.load(Ordering::Relaxed);
        let events = self.events.load(Ordering::Relaxed);
        fence(Ordering::Acquire);
        if version % 2 != 0 || self.version.load(Ordering::Relaxed) != version {
            return None;
        }
        let offset = address.checked_sub(base).filter(|&offset| offset < len)?;
        let start = offset - offset.checked_rem(page)?;
        Some((base + start, len - start, events))
    }
}

fn install() -> Result<(), i32> {
    let last_errno = || io::Error::last_os_error().raw_os_error().unwrap_or(libc::EINVAL);
    // Rust has no other way to a handler with SA_SIGINFO that keeps the previous one.
    // SAFETY: an all-zero `sigaction` is a valid value; the calls get valid pointers; `on_sigbus` has the signature
    // that SA_SIGINFO asks for and does only async-signal-safe things.
    unsafe {
        let mut previous: libc::sigaction = mem::zeroed();
        if libc::sigaction(libc::SIGBUS, null(), &mut previous) != 0 {
            return Err(last_errno());
        }
        // Before the handler: it may run at once.
        PREVIOUS.get_or_init(|| previous);
        let mut action: libc::sigaction = mem::zeroed();
        action.sa_sigaction = on_sigbus as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        libc::sigfillset(&mut action.sa_mask);
        if libc::sigaction(libc::SIGBUS, &action, null_mut()) != 0 {
            return Err(last_errno());
        }
    }
    Ok(())
}

extern "C" fn on_sigbus(signal: libc::c_int, info: *mut libc::siginfo_t, _context: *mut libc::c_void) {
    // A signal handler must leave the interrupted code's errno alone.
    // SAFETY: the kernel passes a valid `siginfo_t` under SA_SIGINFO, whose `si_addr` is set for a SIGBUS that the
    // kernel raised itself (si_code > 0); errno's location is valid in every thread.
    unsafe {
        let errno = *libc::__errno_location();
        let by_kernel = (*info).si_code > 0;
        if !by_kernel || !replace_at((*info).si_addr() as usize) {
            give_back(signal, by_kernel);
        }
        *libc::__errno_location() = errno;
    }
}

/// Puts anonymous memory over the watched mapping that holds `address`. False: there is none.
fn replace_at(address: usize) -> bool {
    let Some((entry, (start, len, events))) =
        REGISTRY.iter().find_map(|entry| Some((entry, entry.tail(address)?)))
    else {
        return false;
    };
    // Only a fixed mapping can take the place of the file's pages, so that the faulting instruction can go on.
    // SAFETY: `[start, start + len)` is the tail of a mapping of ours. It is in use by the thread that faulted,
    // through a pin, so it stays ours meanwhile. Only raw accesses are ever made through it.
    let put = unsafe {
        libc::mmap(
            with_exposed_provenance_mut(start),
            len,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_FIXED,
            -1,
            0,
        )
    };
    if put == libc::MAP_FAILED {
        return false;
    }
    entry.poisoned.store(true, Ordering::Release);
    // SAFETY: `Watched` keeps the counter alive as long as the entry names it, and the entry stays while its
    // mapping is in use (as above).
    unsafe { (*events).fetch_add(1, Ordering::Release) };
    true
}

/// Hands a foreign SIGBUS on: a fault happens again on return, under the previous action (the standard library's,
/// which looks for stack overflows); a sent signal is sent again, under the default one.
fn give_back(signal: libc::c_int, by_kernel: bool) {
    // SAFETY: sigaction and raise are async-signal-safe; the pointers are valid; an all-zero `sigaction` is the
    // default action.
    unsafe {
        let default: libc::sigaction = mem::zeroed();
        let next = PREVIOUS.get().filter(|_| by_kernel).unwrap_or(&default);
        libc::sigaction(signal, next, null_mut());
        if !by_kernel {
            libc::raise(signal);
        }
    }
}
