//! Signals: Ctrl-C ends what is being evaluated; what asks the program to end also ends the session.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use vmm_sys_util::signal::register_signal_handler;

/// Somebody asked the program to end.
static END: AtomicBool = AtomicBool::new(false);

/// What the session's waits look at. Ctrl-C sets it, and so do the others.
static INTERRUPT: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// What came.
#[derive(Clone, Default)]
pub(super) struct Signals {
    interrupt: Arc<AtomicBool>,
}

impl Signals {
    /// `interrupt` is the session's, which Ctrl-C sets already. SIGTERM and SIGHUP set it from now on, and end the
    /// session.
    pub(super) fn watch(interrupt: Arc<AtomicBool>) -> Self {
        let interrupt = INTERRUPT.get_or_init(|| interrupt).clone();
        for signal in [libc::SIGTERM, libc::SIGHUP] {
            if let Err(error) = register_signal_handler(signal, end) {
                log::warn!("signal {signal} will end this program at once: {error}");
            }
        }
        Self { interrupt }
    }

    /// Something came since the last [`Self::forget`].
    pub(super) fn came(&self) -> bool {
        self.interrupt.load(Ordering::Relaxed)
    }

    /// Ctrl-C was meant for what was evaluated, or typed, when it came.
    pub(super) fn forget(&self) {
        if !self.end() {
            self.interrupt.store(false, Ordering::Relaxed);
        }
    }

    /// The session shall end.
    pub(super) fn end(&self) -> bool {
        END.load(Ordering::Relaxed)
    }
}

/// Two stores: all that is allowed in a signal handler.
extern "C" fn end(_: libc::c_int, _: *mut libc::siginfo_t, _: *mut libc::c_void) {
    END.store(true, Ordering::Relaxed);
    if let Some(interrupt) = INTERRUPT.get() {
        interrupt.store(true, Ordering::Relaxed);
    }
}
