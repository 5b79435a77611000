//! Which point can carry out which action, in one table: the one place to add a fault.
//!
//! The engine refuses a rule that is not in it, `query-points` and the documentation print it, and a sweep takes its
//! samples from it.

use std::fmt;

use super::{Access, Point};

/// The twelve classes of faults, by what breaks.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[expect(missing_docs, reason = "each is its own word")]
pub enum Class {
    Registers = 1,
    Config,
    Descriptors,
    Data,
    Iommu,
    Completion,
    Interrupts,
    Ordering,
    Timing,
    Channel,
    Pcie,
    Transport,
}

impl Class {
    /// The class's word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Registers => "registers",
            Self::Config => "config",
            Self::Descriptors => "descriptors",
            Self::Data => "data",
            Self::Iommu => "iommu",
            Self::Completion => "completion",
            Self::Interrupts => "interrupts",
            Self::Ordering => "ordering",
            Self::Timing => "timing",
            Self::Channel => "channel",
            Self::Pcie => "pcie",
            Self::Transport => "transport",
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How far a fault comes, by the place where the device runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reach {
    /// The driver meets it in the simulator, over a socket and in a guest.
    Everywhere,
    /// Only where there is a vfio-user connection: over a socket and in a guest.
    Connected,
    /// In the simulator and over a socket; in a guest the VMM stands in its way, for this reason.
    NotThroughVmm(&'static str),
    /// Only over a socket; in a guest the VMM stands in its way, for this reason.
    SocketOnly(&'static str),
}

impl Reach {
    /// Where, in a word or two, and what stands in the way elsewhere.
    #[must_use]
    pub const fn in_words(self) -> (&'static str, Option<&'static str>) {
        match self {
            Self::Everywhere => ("everywhere", None),
            Self::Connected => ("socket, guest", None),
            Self::NotThroughVmm(why) => ("sim, socket", Some(why)),
            Self::SocketOnly(why) => ("socket", Some(why)),
        }
    }
}

/// One row: a point and what it can be told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Where.
    pub point: Point,
    /// The action's word.
    pub action: &'static str,
    /// What breaks.
    pub class: Class,
    /// Only operations of this direction can carry it out, and only they are counted.
    pub only: Option<Access>,
    /// What a sweep arms: actions in their own words.
    pub samples: &'static [&'static str],
    /// Where a driver meets it.
    pub reach: Reach,
    /// What a driver sees.
    pub says: &'static str,
}

impl Entry {
    const fn reaching(self, reach: Reach) -> Self {
        Self { reach, ..self }
    }

    const fn on(self, only: Access) -> Self {
        Self { only: Some(only), ..self }
    }
}

const fn row(
    point: Point,
    action: &'static str,
    class: Class,
    samples: &'static [&'static str],
    says: &'static str,
) -> Entry {
    Entry { point, action, class, only: None, samples, reach: Reach::Everywhere, says }
}

/// The row of a point and an action's word, if the point can carry it out.
#[must_use]
pub fn entry(point: Point, action: &str) -> Option<&'static Entry> {
    CATALOG.iter().find(|entry| entry.point == point && entry.action == action)
}

const NO_REQ: Reach = Reach::SocketOnly("QEMU never asks for the REQ interrupt");
const ERR_STOPS: Reach = Reach::SocketOnly("QEMU stops the whole VM on the ERR interrupt");

/// The table, in the order of the points.
pub const CATALOG: &[Entry] = &[
    row(
        Point::Config,
        "all-ones",
        Class::Config,
        &["all-ones"],
        "a configuration read of all ones: unreachable",
    )
    .on(Access::Read),
    row(Point::Config, "zeros", Class::Config, &["zeros"], "a configuration read of zeros").on(Access::Read),
    row(Point::Config, "corrupt", Class::Config, &["corrupt(0)"], "flipped bits in what is read or written"),
    row(
        Point::Config,
        "set",
        Class::Config,
        &["set(0, 0x20, 4)"],
        "another value in what is read or written: a parity error after a restart",
    ),
    row(Point::Config, "stick", Class::Config, &["stick"], "the value read first, for ever").on(Access::Read),
    row(Point::Config, "drop", Class::Config, &["drop"], "a configuration write is lost").on(Access::Write),
    row(
        Point::Register,
        "all-ones",
        Class::Registers,
        &["all-ones"],
        "a read of all ones: master abort, completion time-out, a device that is gone",
    )
    .on(Access::Read),
    row(Point::Register, "zeros", Class::Registers, &["zeros"], "a read of zeros").on(Access::Read),
    row(
        Point::Register,
        "corrupt",
        Class::Registers,
        &["corrupt(0)", "corrupt(3, 0x80)"],
        "flipped bits in what is read or written",
    ),
    row(
        Point::Register,
        "set",
        Class::Registers,
        &["set(0, 0xff, 1)"],
        "another value in what is read or written",
    ),
    row(
        Point::Register,
        "stick",
        Class::Registers,
        &["stick"],
        "a stuck register: the value read first, for ever",
    )
    .on(Access::Read),
    row(Point::Register, "drop", Class::Registers, &["drop"], "a posted write is lost").on(Access::Write),
    row(Point::Register, "delay", Class::Timing, &["delay(1ms)"], "a posted write takes effect late")
        .on(Access::Write),
    row(Point::Register, "duplicate", Class::Registers, &["duplicate"], "a posted write arrives twice")
        .on(Access::Write),
    row(
        Point::Register,
        "reorder",
        Class::Ordering,
        &["reorder"],
        "a posted write arrives after the next one",
    )
    .on(Access::Write),
    row(Point::Register, "kill", Class::Pcie, &["kill"], "the device is gone from here on"),
    row(Point::Doorbell, "drop", Class::Descriptors, &["drop"], "DMACOUNT is lost"),
    row(Point::Doorbell, "delay", Class::Timing, &["delay(1ms)"], "DMACOUNT arrives late"),
    row(Point::Doorbell, "duplicate", Class::Descriptors, &["duplicate"], "DMACOUNT arrives twice"),
    row(
        Point::Doorbell,
        "misaddress",
        Class::Descriptors,
        &["misaddress(-1)", "misaddress(+1)"],
        "DMACOUNT is off: lags by one, or runs into what was never submitted",
    ),
    row(
        Point::Fetch,
        "halt",
        Class::Descriptors,
        &["halt(3)", "halt(10)"],
        "a read error on a descriptor that is valid",
    ),
    row(
        Point::Fetch,
        "corrupt",
        Class::Descriptors,
        &["corrupt(0)", "corrupt(4)", "corrupt(8, 0x1000)", "corrupt(16, 0x1000)", "corrupt(24, 0x40)"],
        "flipped bits in size, control, source, destination or next",
    ),
    row(
        Point::Fetch,
        "set",
        Class::Descriptors,
        &["set(24, 0)", "set(24, 0x1001)"],
        "another field: a chain that ends, a link that is misaligned",
    ),
    row(
        Point::Fetch,
        "misaddress",
        Class::Descriptors,
        &["misaddress(+64)", "misaddress(-64)"],
        "another slot's descriptor is read",
    ),
    row(
        Point::Fetch,
        "stick",
        Class::Descriptors,
        &["stick"],
        "a stale prefetch: the descriptor that was read before this one; all zeros if none was",
    ),
    row(Point::Fetch, "drop", Class::Descriptors, &["drop"], "a descriptor is skipped, and counts as done"),
    row(Point::Fetch, "duplicate", Class::Descriptors, &["duplicate"], "a descriptor is carried out twice"),
    row(Point::Fetch, "delay", Class::Timing, &["delay(1ms)"], "a slow fetch"),
    row(
        Point::Fetch,
        "stall",
        Class::Timing,
        &["stall"],
        "the engine hangs at this descriptor until a reset",
    ),
    row(Point::Fetch, "kill", Class::Pcie, &["kill"], "the device is gone in the middle of a chain"),
    row(
        Point::Translate,
        "halt",
        Class::Iommu,
        &["halt(0)", "halt(1)", "halt(2)"],
        "an address is not mapped, or not permitted",
    ),
    row(
        Point::Translate,
        "misaddress",
        Class::Iommu,
        &["misaddress(+4096)"],
        "the destination is translated to another page of the client's memory",
    ),
    row(Point::Translate, "delay", Class::Timing, &["delay(1ms)"], "a slow translation"),
    row(
        Point::Copy,
        "corrupt",
        Class::Data,
        &["corrupt(0)", "corrupt(63, 0x80)"],
        "flipped bits in the output",
    ),
    row(Point::Copy, "halt", Class::Data, &["halt(8)"], "an error after the descriptor was accepted"),
    row(Point::Copy, "delay", Class::Timing, &["delay(1ms)"], "a slow copy"),
    row(
        Point::Copy,
        "stall",
        Class::Timing,
        &["stall"],
        "the engine hangs in the middle of a copy until a reset",
    ),
    row(Point::Copy, "kill", Class::Pcie, &["kill"], "power is lost in the middle of a copy"),
    row(Point::Read, "corrupt", Class::Data, &["corrupt(0)"], "flipped bits in what is read from the source"),
    row(Point::Read, "set", Class::Data, &["set(0, 0)"], "other bytes are read from the source"),
    row(Point::Read, "zeros", Class::Data, &["zeros"], "zeros instead of the source"),
    row(
        Point::Read,
        "all-ones",
        Class::Pcie,
        &["all-ones"],
        "a completion time-out: ones instead of the source",
    ),
    row(Point::Read, "misaddress", Class::Data, &["misaddress(+1)"], "the source is read at another address"),
    row(Point::Read, "halt", Class::Pcie, &["halt(8)"], "a poisoned read"),
    row(Point::Write, "drop", Class::Data, &["drop"], "a write that never becomes visible"),
    row(Point::Write, "short", Class::Data, &["short(1)"], "a torn copy: the rest of it is not written"),
    row(
        Point::Write,
        "overrun",
        Class::Data,
        &["overrun(8)"],
        "bytes behind the end are overwritten, with the data from its start",
    ),
    row(
        Point::Write,
        "misaddress",
        Class::Data,
        &["misaddress(+64)", "misaddress(-1)"],
        "the data lands at another address",
    ),
    row(
        Point::Write,
        "duplicate",
        Class::Ordering,
        &["duplicate"],
        "the data is written once more, after the next descriptor, or 1 ms later if none follows",
    ),
    row(Point::Write, "delay", Class::Ordering, &["delay(1ms)"], "the data arrives after its completion"),
    row(Point::Write, "halt", Class::Iommu, &["halt(9)"], "a write error"),
    row(Point::Complete, "drop", Class::Completion, &["drop"], "the completion word is not written"),
    row(
        Point::Complete,
        "delay",
        Class::Completion,
        &["delay(1ms)"],
        "the completion word comes after its interrupt",
    ),
    row(Point::Complete, "early", Class::Ordering, &["early"], "the completion word comes before the data"),
    row(
        Point::Complete,
        "misaddress",
        Class::Completion,
        &["misaddress(+64)", "misaddress(-64)", "misaddress(+4096)"],
        "the word names a descriptor that is not the one: never submitted, or done before",
    ),
    row(
        Point::Complete,
        "elsewhere",
        Class::Completion,
        &["elsewhere(+8)"],
        "the word lands beside its place",
    ),
    row(
        Point::Complete,
        "corrupt",
        Class::Completion,
        &["corrupt(0, 0x7)", "corrupt(0, 0x2)"],
        "wrong status bits",
    ),
    row(Point::Complete, "set", Class::Completion, &["set(0, 0)"], "another word"),
    row(Point::Complete, "all-ones", Class::Completion, &["all-ones"], "a word of all ones"),
    row(Point::Complete, "short", Class::Completion, &["short(4)"], "a torn word: only its low half"),
    row(Point::Complete, "stick", Class::Completion, &["stick"], "the word before this one, again"),
    row(
        Point::Complete,
        "halt",
        Class::Completion,
        &["halt(12)"],
        "the word cannot be written: completion address error",
    ),
    row(Point::Msix, "drop", Class::Interrupts, &["drop"], "a lost interrupt"),
    row(Point::Msix, "delay", Class::Interrupts, &["delay(1ms)"], "a late interrupt"),
    row(Point::Msix, "duplicate", Class::Interrupts, &["duplicate"], "an interrupt twice"),
    row(
        Point::Msix,
        "early",
        Class::Interrupts,
        &["early"],
        "the interrupt comes before the completion word",
    ),
    row(Point::Msix, "storm", Class::Interrupts, &["storm(1000)"], "an interrupt storm"),
    row(
        Point::Msix,
        "vector",
        Class::Interrupts,
        &["vector(1)"],
        "the message of another channel, or of none",
    ),
    row(
        Point::State,
        "drop",
        Class::Channel,
        &["drop"],
        "a channel command (arm, suspend, resume) is ignored",
    ),
    row(Point::State, "delay", Class::Channel, &["delay(1ms)"], "a channel command takes effect late"),
    row(
        Point::State,
        "halt",
        Class::Channel,
        &["halt(none)", "halt(5)", "halt(30)"],
        "a spurious halt: without a reason, or with a bit that no driver knows",
    ),
    row(Point::Reset, "drop", Class::Channel, &["drop"], "a reset does nothing"),
    row(
        Point::Reset,
        "stick",
        Class::Channel,
        &["stick"],
        "a reset that never ends: CHANCMD.RESET stays set",
    ),
    row(Point::Reset, "delay", Class::Channel, &["delay(1ms)"], "a slow reset"),
    row(Point::Reset, "halt", Class::Channel, &["halt(7)"], "a reset that leaves an error in CHANERR"),
    row(
        Point::Reset,
        "wipe",
        Class::Channel,
        &["wipe"],
        "a reset empties the MSI-X table: no message until it is written, or a vector is set up anew",
    ),
    row(
        Point::Pcie,
        "remove",
        Class::Pcie,
        &["remove", "remove(5ms)"],
        "surprise removal, for good or with a return",
    ),
    row(
        Point::Pcie,
        "bus-master-off",
        Class::Pcie,
        &["bus-master-off"],
        "bus mastering is switched off under the driver",
    ),
    row(Point::Pcie, "error", Class::Pcie, &["error"], "an uncorrectable error, by VFIO's ERR interrupt")
        .reaching(ERR_STOPS),
    row(
        Point::Pcie,
        "request",
        Class::Pcie,
        &["request"],
        "a request to let go of the device, by VFIO's REQ interrupt",
    )
    .reaching(NO_REQ),
    row(Point::Transport, "delay", Class::Transport, &["delay(10ms)"], "a slow reply")
        .reaching(Reach::Connected),
    row(Point::Transport, "drop", Class::Transport, &["drop"], "no reply; a posted message is lost")
        .reaching(Reach::Connected),
    row(Point::Transport, "fail", Class::Transport, &["fail(5)"], "a reply with an error")
        .reaching(Reach::Connected),
    row(
        Point::Transport,
        "short",
        Class::Transport,
        &["short(8)"],
        "a truncated reply, and the end of the connection",
    )
    .reaching(Reach::Connected),
    row(Point::Transport, "corrupt", Class::Transport, &["corrupt(0, 0xff)"], "a corrupt reply header")
        .reaching(Reach::Connected),
    row(
        Point::Transport,
        "disconnect",
        Class::Transport,
        &["disconnect"],
        "the connection ends in the middle of a request",
    )
    .reaching(Reach::Connected),
    row(Point::Transport, "kill", Class::Transport, &["kill"], "the device's program crashes")
        .reaching(Reach::Connected),
    row(Point::Isr, "drop", Class::Interrupts, &["drop"], "the message is lost in the host"),
    row(Point::Isr, "delay", Class::Timing, &["delay(1ms)"], "the service routine starts late"),
    row(Point::Isr, "duplicate", Class::Interrupts, &["duplicate"], "the service routine is called twice"),
    row(Point::Queue, "drop", Class::Interrupts, &["drop"], "no DPC is scheduled"),
    row(
        Point::Queue,
        "corrupt",
        Class::Interrupts,
        &["corrupt(0)", "corrupt(0, 0xfe)"],
        "the bitmap of scheduled processors lacks some that were asked for: those of the mask",
    ),
    row(
        Point::Queue,
        "delay",
        Class::Timing,
        &["delay(1ms)"],
        "a DPC stays in its queue: its processor comes to it late",
    ),
    row(
        Point::Dpc,
        "delay",
        Class::Timing,
        &["delay(1ms)"],
        "a DPC that is off its queue runs late, and may be queued again meanwhile",
    ),
    row(Point::Dpc, "duplicate", Class::Interrupts, &["duplicate"], "a DPC runs twice"),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::Action;
    use super::*;

    #[test]
    fn each_row_is_there_once_and_its_samples_are_its_action() {
        let mut seen = BTreeSet::new();
        for entry in CATALOG {
            assert!(seen.insert((entry.point.name(), entry.action)), "{entry:?}");
            assert!(Action::FORMS.iter().any(|(word, _)| *word == entry.action), "{entry:?}");
            assert!(!entry.samples.is_empty(), "{entry:?}");
            for sample in entry.samples {
                assert_eq!(Action::parse(sample).map(Action::word), Some(entry.action), "{sample}");
            }
        }
    }

    #[test]
    fn every_action_is_possible_somewhere_and_every_class_has_three() {
        for (word, _) in Action::FORMS {
            assert!(CATALOG.iter().any(|entry| entry.action == word), "{word}");
        }
        for class in CATALOG.iter().map(|entry| entry.class).collect::<BTreeSet<_>>() {
            let count = CATALOG.iter().filter(|entry| entry.class == class).count();
            assert!(count >= 3, "{class}: {count}");
        }
    }
}
