//! Interrupt vectors as eventfds: the kernel or the device's process counts them up, a wait takes the count.
//!
//! A line fires as vector 0. Only one kind of interrupt is on at a time, so they share the events.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

use ioat_stage::{Pause, Ready};
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

use super::fd::of_event;
use super::{Fired, HwError, InterruptKind};

/// Vectors that are used at most, whatever a device offers: an engine has eight channels, and each vector
/// costs a descriptor.
const MOST: u32 = 64;

/// Why a wait ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ended {
    /// It fired, or was stopped.
    Fired(Fired),
    /// The descriptor that tells of the device's end became readable.
    Gone,
}

/// How many vectors of each kind a device offers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Offers {
    /// 1, or 0 of a device without a line.
    pub(crate) line: u32,
    pub(crate) msi: u32,
    pub(crate) msix: u32,
}

impl Offers {
    /// As many as are used at most.
    fn usable(self) -> Self {
        Self { line: self.line.min(1), msi: self.msi.min(MOST), msix: self.msix.min(MOST) }
    }

    fn of(self, kind: InterruptKind) -> u32 {
        match kind {
            InterruptKind::Line => self.line,
            InterruptKind::Msi => self.msi,
            InterruptKind::Msix => self.msix,
        }
    }
}

/// The vectors of one device, and the one event that stops every wait.
#[derive(Debug)]
pub(crate) struct Vectors {
    vectors: Vec<EventFd>,
    offers: Offers,
    stopped: AtomicBool,
    stop: EventFd,
}

impl Vectors {
    /// As many events as the device has vectors of the kind that has the most, up to a limit.
    pub(crate) fn new(offers: Offers) -> io::Result<Self> {
        let offers = offers.usable();
        let events = offers.line.max(offers.msi).max(offers.msix);
        let vectors = (0..events).map(|_| event()).collect::<io::Result<_>>()?;
        Ok(Self { vectors, offers, stopped: AtomicBool::new(false), stop: event()? })
    }

    /// How many vectors of this kind there are.
    pub(crate) fn offers(&self, kind: InterruptKind) -> u32 {
        self.offers.of(kind)
    }

    /// The first `count` events of this kind, emptied: what fired before they were enabled is not theirs, and a stop
    /// before was for those who waited then.
    pub(crate) fn fresh(&self, kind: InterruptKind, count: u32) -> Result<Vec<&EventFd>, HwError> {
        if count > self.offers(kind) {
            let what = match kind {
                InterruptKind::Line => "enabling the line of a device without one",
                InterruptKind::Msi => "enabling more MSI vectors than the device offers",
                InterruptKind::Msix => "enabling more MSI-X vectors than the device offers",
            };
            return Err(error(count, what, libc::EINVAL));
        }
        let vectors: Vec<_> = self.vectors.iter().take(usize::try_from(count).unwrap_or(0)).collect();
        for event in &vectors {
            // An error here means that it is empty already.
            let _ = event.read();
        }
        if count > 0 && self.stopped.swap(false, Ordering::AcqRel) {
            let _ = self.stop.read();
        }
        Ok(vectors)
    }

    /// Waits until `vector` fires, a stop, or until `gone` can be read.
    pub(crate) fn wait(
        &self,
        vector: u32,
        pause: &dyn Pause,
        gone: Option<BorrowedFd<'_>>,
    ) -> Result<Ended, HwError> {
        let index = usize::try_from(vector).unwrap_or(usize::MAX);
        let event = self.vectors.get(index);
        let event =
            event.ok_or_else(|| error(vector, "waiting for a vector that is not there", libc::EINVAL))?;
        let mut fds = vec![of_event(event), of_event(&self.stop)];
        fds.extend(gone);
        // It looks once and then blocks: when the next interrupt comes is anyone's guess, and looking for longer
        // takes the processor from the device's process or from a DPC.
        loop {
            if self.stopped.load(Ordering::Acquire) {
                return Ok(Ended::Fired(Fired::Stopped));
            }
            match event.read() {
                Ok(times) => return Ok(Ended::Fired(Fired::Times(times))),
                Err(source) if source.kind() == io::ErrorKind::WouldBlock => {}
                Err(source) => {
                    return Err(HwError::Interrupt { vector, what: "reading its eventfd", source });
                }
            }
            // The list's order decides: what fired comes before a stop, and both before the device's end.
            if pause.wait_readable(&fds, None) == Ready::Readable(2) {
                return Ok(Ended::Gone);
            }
        }
    }

    /// Ends all waits until [`Self::fresh`]: no waiter reads the stop event, so it stays readable for all of them.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        if let Err(source) = self.stop.write(1) {
            log::error!("a stop could not be told to the waiters: {source}");
        }
    }
}

/// The numbers to hand to a system call or to another process, while the events are borrowed.
pub(crate) fn raw(events: &[&EventFd]) -> Vec<RawFd> {
    events.iter().map(|event| event.as_raw_fd()).collect()
}

fn event() -> io::Result<EventFd> {
    EventFd::new(EFD_NONBLOCK | libc::EFD_CLOEXEC)
}

fn error(vector: u32, what: &'static str, errno: i32) -> HwError {
    HwError::Interrupt { vector, what, source: io::Error::from_raw_os_error(errno) }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use ioat_stage::{Task, ThreadPause};

    use super::*;

    fn msix(count: u32) -> Offers {
        Offers { msix: count, ..Offers::default() }
    }

    #[test]
    fn several_messages_are_one_wake_with_their_number() {
        let vectors = Vectors::new(msix(2)).unwrap();
        let events = vectors.fresh(InterruptKind::Msix, 2).unwrap();
        events[1].write(1).unwrap();
        events[1].write(4).unwrap();
        let ended = vectors.wait(1, &ThreadPause::new(), None).unwrap();
        assert_eq!(ended, Ended::Fired(Fired::Times(5)));
    }

    #[test]
    fn a_blocked_wait_ends_when_its_vector_fires_and_when_stopped() {
        let vectors = Arc::new(Vectors::new(msix(1)).unwrap());
        let pause = Arc::new(ThreadPause::new());
        let (waiting, waiter_pause) = (vectors.clone(), pause.clone());
        let body = Box::new(move || {
            assert_eq!(waiting.wait(0, &*waiter_pause, None).unwrap(), Ended::Fired(Fired::Times(2)));
            assert_eq!(waiting.wait(0, &*waiter_pause, None).unwrap(), Ended::Fired(Fired::Stopped));
        });
        let waiter = pause.spawn(Task { name: "waiter".into(), cpu: None }, body).unwrap();
        pause.sleep(Duration::from_millis(2));
        vectors.vectors[0].write(2).unwrap();
        pause.sleep(Duration::from_millis(2));
        vectors.stop();
        assert!(waiter.join());
    }

    #[test]
    fn a_stop_ends_all_later_waits_even_of_a_vector_that_fires() {
        let vectors = Vectors::new(msix(1)).unwrap();
        vectors.stop();
        for _ in 0..3 {
            vectors.vectors[0].write(1).unwrap();
            assert_eq!(vectors.wait(0, &ThreadPause::new(), None).unwrap(), Ended::Fired(Fired::Stopped));
        }
    }

    #[test]
    fn vectors_that_are_enabled_after_a_stop_fire_again() {
        let vectors = Vectors::new(msix(1)).unwrap();
        vectors.stop();
        assert!(vectors.fresh(InterruptKind::Msix, 0).unwrap().is_empty());
        assert_eq!(vectors.wait(0, &ThreadPause::new(), None).unwrap(), Ended::Fired(Fired::Stopped));
        vectors.fresh(InterruptKind::Msix, 1).unwrap()[0].write(1).unwrap();
        assert_eq!(vectors.wait(0, &ThreadPause::new(), None).unwrap(), Ended::Fired(Fired::Times(1)));
    }

    #[test]
    fn what_fired_comes_before_the_end_of_the_device() {
        let vectors = Vectors::new(msix(1)).unwrap();
        let gone = event().unwrap();
        gone.write(1).unwrap();
        vectors.vectors[0].write(1).unwrap();
        let wait = || vectors.wait(0, &ThreadPause::new(), Some(of_event(&gone))).unwrap();
        assert_eq!(wait(), Ended::Fired(Fired::Times(1)));
        assert_eq!(wait(), Ended::Gone);
    }

    #[test]
    fn each_kind_has_its_own_number_and_all_fire_as_vectors_from_0() {
        let vectors = Vectors::new(Offers { line: 1, msi: 2, msix: 0 }).unwrap();
        assert!(vectors.fresh(InterruptKind::Msix, 1).is_err());
        assert!(vectors.fresh(InterruptKind::Line, 2).is_err());
        assert!(vectors.fresh(InterruptKind::Msi, 3).is_err());
        for (kind, count) in [(InterruptKind::Line, 1), (InterruptKind::Msi, 2)] {
            let events = vectors.fresh(kind, count).unwrap();
            assert_eq!(u32::try_from(events.len()), Ok(count));
            events[0].write(1).unwrap();
            let ended = vectors.wait(0, &ThreadPause::new(), None).unwrap();
            assert_eq!(ended, Ended::Fired(Fired::Times(1)), "{kind}");
        }
        assert!(Vectors::new(msix(4)).unwrap().fresh(InterruptKind::Line, 1).is_err());
    }

    #[test]
    fn what_no_engine_needs_costs_no_descriptors() {
        let vectors = Vectors::new(Offers { line: 7, msi: u32::MAX, msix: 2048 }).unwrap();
        assert_eq!(vectors.vectors.len(), 64);
        assert_eq!(vectors.offers(InterruptKind::Line), 1);
    }
}
