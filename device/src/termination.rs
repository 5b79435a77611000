//! SIGTERM and SIGINT end the program in order; the fault `kill` ends it without any.

use anyhow::Context;
use vmm_sys_util::eventfd::EventFd;
use vmm_sys_util::signal::block_signal;

/// The exit code of the fault `kill`: that of a program that SIGKILL ended, as a shell shows it.
const KILLED: libc::c_int = 137;

/// Ends the program here and now, as a crash would: nothing is tidied up, no trace is written out, the sockets' files stay.
pub(crate) fn crash() {
    // SAFETY: takes no pointer, and does not come back; what other threads hold goes with the process.
    unsafe { libc::_exit(KILLED) }
}

/// Blocks the two signals in this thread (and so in those it starts later), and makes `stop` readable when one comes.
pub(crate) fn stop_on_signals(stop: EventFd) -> anyhow::Result<()> {
    for signal in [libc::SIGTERM, libc::SIGINT] {
        block_signal(signal).map_err(|error| anyhow::anyhow!("cannot block signal {signal}: {error:?}"))?;
    }
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            wait_for_signal();
            if let Err(error) = stop.write(1) {
                log::error!("cannot pass a signal on: {error}");
            }
        })
        .context("cannot start the signal thread")?;
    Ok(())
}

fn wait_for_signal() {
    let mut number = 0;
    // Waiting for a blocked signal in a thread of its own leaves nothing to do in a signal handler.
    // SAFETY: an all-zero `sigset_t` is a valid place for `sigemptyset` to fill, and each pointer is valid for its call.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        libc::sigaddset(&mut set, libc::SIGTERM);
        libc::sigaddset(&mut set, libc::SIGINT);
        libc::sigwait(&set, &mut number);
    }
    log::info!("signal {number}: stopping");
}
