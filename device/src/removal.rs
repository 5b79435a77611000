//! The device leaves the bus, comes back, loses bus mastery, or its program ends.
//!
//! Only where faults are possible: a function of [`NoFaults`](ioat_stage::NoFaults) is always there.

use std::sync::OnceLock;

use ioat_stage::{Action, Faults, Op, Point, Trace};

use crate::function::{Effects, Function};
use crate::postponed::What;

/// Ends the program that the device runs in. It does not come back.
pub type OnKill = Box<dyn Fn() + Send + Sync>;

/// A place for one.
#[derive(Default)]
pub(crate) struct Killer(OnceLock<OnKill>);

impl<F: Faults, T: Trace> Function<F, T> {
    /// The device leaves the bus: reads are all ones, writes are lost, runs are abandoned (within one 64 KiB piece), and no
    /// interrupt comes. After a time, if one is given, it is back as after power-on.
    pub fn remove(&self, after_ns: Option<u64>) -> Effects {
        // First: no step begins from now on, and those that have begun are of an older generation after the reset.
        self.unaffiliated.set_gone(true);
        let effects = self.reset();
        if let Some(after_ns) = after_ns {
            self.unaffiliated.postpone(after_ns, What::Return);
        }
        effects
    }

    /// The device is plugged in again, as after power-on, if it was gone.
    pub fn put_back(&self) -> Effects {
        if !self.is_gone() {
            return Effects::default();
        }
        let effects = self.reset();
        self.unaffiliated.set_gone(false);
        effects
    }

    /// It has left the bus.
    pub fn is_gone(&self) -> bool {
        F::ACTIVE && self.unaffiliated.is_gone()
    }

    /// What ends the program, for the fault `kill`. False if that is known already. Where it is not known, the device leaves the
    /// bus for good.
    pub fn on_kill(&self, kill: OnKill) -> bool {
        self.unaffiliated.killer.0.set(kill).is_ok()
    }

    /// The fault `kill`.
    pub fn kill(&self) -> Effects {
        if let Some(kill) = self.unaffiliated.killer.0.get() {
            kill();
        }
        self.remove(None)
    }

    /// Bus mastery is taken away, as if the driver had written COMMAND.
    pub(crate) fn bus_master_off(&self) -> Effects {
        self.unaffiliated.clear_bus_master();
        self.command_changed()
    }

    /// FLR, by the write at `address` of configuration space: every register to its reset value, every chain gone.
    pub(crate) fn function_reset(&self, address: u64) -> Effects {
        self.reset_with_faults(&Op { address, ..Op::default() }).unwrap_or_default()
    }

    /// DEVICE_RESET, which does what FLR does. None: a fault dropped it, or the device is gone.
    pub fn device_reset(&self) -> Option<Effects> {
        if self.is_gone() { None } else { self.reset_with_faults(&Op::default()) }
    }

    fn reset_with_faults(&self, op: &Op) -> Option<Effects> {
        if !F::ACTIVE {
            return Some(self.reset());
        }
        let verdict = self.access_faults.lock().faults.at(Point::Reset, op);
        Some(match verdict {
            Some(Action::Drop) => return None,
            // A function under reset does not answer, until it is back as after power-on.
            Some(Action::Delay(after_ns)) => self.remove(Some(after_ns)),
            Some(Action::Stick) => self.remove(None),
            verdict => {
                let effects = self.reset();
                match verdict {
                    Some(Action::Halt(bits)) => self.leave_errors(bits),
                    Some(Action::Wipe) => self.unaffiliated.wipe_vectors(),
                    _ => {}
                }
                effects
            }
        })
    }

    fn leave_errors(&self, bits: u32) {
        for channel in &self.channels {
            channel.lock().leave_error(bits, &self.unaffiliated);
        }
    }
}
