//! What went wrong, for C to see: the thread's last error, and how many calls broke the contract.

use std::cell::RefCell;
use std::ffi::{CStr, CString, c_char};
use std::fmt::Display;
use std::sync::atomic::{AtomicU64, Ordering};

thread_local! {
    static LAST: RefCell<CString> = RefCell::default();
}

static VIOLATIONS: AtomicU64 = AtomicU64::new(0);

/// A call that the contract forbids: it has done nothing, and `clause` is logged.
pub(crate) fn violation(call: &str, clause: &str, what: impl Display) {
    VIOLATIONS.fetch_add(1, Ordering::Relaxed);
    log::warn!("contract violation: {call} ({clause}): {what}");
    set(format!("{call} ({clause}): {what}"));
}

/// A call that failed, without anybody's breach.
pub(crate) fn failure(call: &str, what: impl Display) {
    log::warn!("{call}: {what}");
    set(format!("{call}: {what}"));
}

/// Calls that broke the contract, of all threads.
pub(crate) fn violations() -> u64 {
    VIOLATIONS.load(Ordering::Relaxed)
}

/// The thread's last error; good until its next one.
pub(crate) fn last() -> *const c_char {
    LAST.try_with(|last| last.borrow().as_ptr()).unwrap_or_else(|_| CStr::as_ptr(c""))
}

fn set(text: String) {
    let text = CString::new(text.replace('\0', " ")).unwrap_or_default();
    // A thread that ends has nobody left to ask.
    let _ = LAST.try_with(|last| last.replace(text));
}
