//! A descriptor as it was submitted: what may not change of it, and what it names.

use ioat_spec::descriptor::DESCRIPTOR_SIZE;
use ioat_spec::{Control, Descriptor, Opcode};

use super::book::Place;

const PAGE_BYTES: u64 = 4096;

/// A descriptor as it was at its doorbell.
pub(super) struct Submitted {
    pub(super) address: u64,
    pub(super) said: Descriptor,
    /// What its link was before it was changed, legally, to let the chain grow.
    pub(super) former_next: Option<u64>,
}

impl Submitted {
    /// What of it lies where `touched` says.
    pub(super) fn names(&self, touched: &impl Fn(u64, u64) -> bool) -> Option<Place> {
        let Descriptor { size, source, destination, next_source, next_destination, .. } = self.said;
        let control = self.said.control();
        let [reads, writes] = moves(control);
        let data = |first, next, breaks| pages(first, next, breaks, size.into());
        let touches =
            |ranges: [(u64, u64); 2]| ranges.into_iter().any(|(address, len)| touched(address, len));
        if touched(self.address, DESCRIPTOR_SIZE as u64) {
            Some(Place::Descriptor(self.address))
        } else if reads && touches(data(source, next_source, control.src_page_break())) {
            Some(Place::Field(self.address, "source"))
        } else if writes && touches(data(destination, next_destination, control.dst_page_break())) {
            Some(Place::Field(self.address, "destination"))
        } else {
            None
        }
    }
}

/// Which fields changed, but for the link: name, what it was, what it is.
pub(super) fn differences(
    said: &Descriptor,
    fetched: &Descriptor,
) -> impl Iterator<Item = (&'static str, u64, u64)> + use<> {
    // DPDK sets FENCE in a descriptor that is submitted already (3.4).
    let control = |d: &Descriptor| u64::from(d.control().with_fence(false).into_bits());
    let now = fetched.control();
    let copy_or_fill = matches!(Opcode::from_code(now.opcode()), Some(Opcode::Copy | Opcode::Fill));
    let one_page = copy_or_fill && (now.null() || !(now.src_page_break() || now.dst_page_break()));
    let fields = |d: &Descriptor| {
        let Descriptor { size, source, destination, next_source, next_destination, user, .. } = *d;
        [
            ("size", u64::from(size)),
            ("control", control(d)),
            ("source", source),
            ("destination", destination),
            ("next source", next_source),
            ("next destination", next_destination),
            ("bytes 0x30", user[0]),
            ("bytes 0x38", user[1]),
        ]
    };
    // A copy's and a fill's last words are software's (4.3); other operations have operands there.
    let compared = if one_page {
        4
    } else if copy_or_fill {
        6
    } else {
        8
    };
    let pairs = fields(said).into_iter().zip(fields(fetched)).take(compared);
    pairs.filter(|(old, new)| old != new).map(|((name, old), (_, new))| (name, old, new))
}

/// Where data lies: in one piece, or, with a page break, from its page's end on at `next` (4.2).
fn pages(first: u64, next: u64, breaks: bool, len: u64) -> [(u64, u64); 2] {
    let here = if breaks { len.min(PAGE_BYTES - first % PAGE_BYTES) } else { len };
    [(first, here), (next, len - here)]
}

/// Whether source and destination are addresses of data.
fn moves(control: Control) -> [bool; 2] {
    match Opcode::from_code(control.opcode()) {
        Some(Opcode::Copy) => [!control.null(); 2],
        Some(Opcode::Fill) => [false, true],
        _ => [false; 2],
    }
}
