//! Where rules are armed: which points are there, and how many channels and vectors.

use super::Point;
use super::catalog::{Entry, Reach};

/// Where rules are armed, and against what they are held.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RuleContext {
    /// The device's channels.
    pub channels: u8,
    /// Its MSI-X vectors; 0: it has the line alone.
    pub vectors: u16,
    /// Who is there.
    pub place: RulePlace,
    /// Nanoseconds since the device's start: 0 unless it is at work.
    pub now_ns: u64,
}

/// Which points are there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RulePlace {
    /// Device and driver in one process: the simulator.
    Sim,
    /// The device's own program, whoever its client is.
    Device,
    /// A driver of ours, whatever its device is.
    Driver,
    /// Our driver on a device program's socket.
    Socket,
    /// Our driver in a guest.
    Vm,
    /// A driver that is not ours, in a guest.
    Foreign,
}

impl RulePlace {
    const fn in_words(self) -> &'static str {
        match self {
            Self::Sim => "the simulator",
            Self::Device => "a device program",
            Self::Driver => "the driver alone",
            Self::Socket => "a socket",
            Self::Vm => "a guest",
            Self::Foreign => "a guest with a driver that is not ours",
        }
    }

    /// Why this row says nothing here, if it does not.
    pub(super) fn lacks(self, entry: &Entry) -> Option<String> {
        let point = entry.point;
        let vmm = matches!(self, Self::Vm | Self::Foreign);
        let missing = match (self, point.is_drivers()) {
            (Self::Device | Self::Foreign, true) => {
                Some(format!("{point} is a point of our driver, which does not ask this place's rules"))
            }
            (Self::Driver, false) => Some(format!("{point} is a point of the device")),
            (Self::Sim, false) if point == Point::Transport => {
                Some(format!("there is no connection in the simulator: {point}"))
            }
            _ => None,
        };
        let stopped = match entry.reach {
            Reach::Connected | Reach::SocketOnly(_) if self == Self::Sim => {
                Some(format!("{point} {} is only where there is a connection", entry.action))
            }
            Reach::NotThroughVmm(why) | Reach::SocketOnly(why) if vmm => {
                Some(format!("{point} {} does not come through to a guest: {why}", entry.action))
            }
            _ => None,
        };
        missing.or(stopped).map(|why| format!("{why} (in {})", self.in_words()))
    }
}

impl RuleContext {
    /// A device that has not begun yet.
    #[must_use]
    pub const fn new(channels: u8, vectors: u16, place: RulePlace) -> Self {
        Self { channels, vectors, place, now_ns: 0 }
    }

    /// A device that has been at work for so long.
    #[must_use]
    pub const fn at(self, now_ns: u64) -> Self {
        Self { now_ns, ..self }
    }
}
