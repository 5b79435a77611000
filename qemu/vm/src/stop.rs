//! Ctrl-C and SIGTERM: a number that every wait looks at, so that each leaves through its own clean-up.

use std::io;
use std::sync::atomic::{AtomicI32, Ordering};

use vmm_sys_util::signal::register_signal_handler;

/// A request to stop: zero, or the signal that asks for it.
#[derive(Debug, Default)]
pub struct Stop(AtomicI32);

static STOP: Stop = Stop(AtomicI32::new(0));

impl Stop {
    /// The signal that asks to stop, if one came.
    pub fn signal(&self) -> Option<i32> {
        // Relaxed: the number carries nothing else with it.
        Some(self.0.load(Ordering::Relaxed)).filter(|signal| *signal != 0)
    }

    /// Asks to stop.
    pub fn ask(&self, signal: i32) {
        self.0.store(signal, Ordering::Relaxed);
    }
}

/// The request of this process. Without [`on_signals`] none comes.
#[must_use]
pub fn of_process() -> &'static Stop {
    &STOP
}

/// From now on SIGINT, SIGTERM and SIGHUP only ask this process to stop.
pub fn on_signals() -> io::Result<&'static Stop> {
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        register_signal_handler(signal, note).map_err(io::Error::from)?;
    }
    Ok(&STOP)
}

/// Stores a number: all that is allowed in a signal handler.
extern "C" fn note(signal: libc::c_int, _info: *mut libc::siginfo_t, _context: *mut libc::c_void) {
    STOP.ask(signal);
}
