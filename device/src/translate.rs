//! Stage 3 of 9: translate. A descriptor becomes an operation whose bounds are proven, on host memory.
//!
//! Host ranges are found for at most 64 KiB at a time: an unmap may come between two pieces, and the next one is then
//! translated anew.

use ioat_spec::{ChanErr, Control, Opcode};
use ioat_stage::{Faults, Mark, Point, Stage, Trace, Verdict};

use crate::fetch::{Fetched, Slot};
use crate::memory::{GuestMemory, Lane, VolatileSlice, Want};
use crate::path::{Path, Terms, error};

/// Bytes between two looks at the orders to stop.
pub(crate) const PIECE_BYTES: u64 = 64 << 10;

/// The control bits that are all 0 in the most frequent operation: a copy as it is.
const NOT_PLAIN: u32 = Control::new()
    .with_null(true)
    .with_src_page_break(true)
    .with_dst_page_break(true)
    .with_opcode(0xff)
    .into_bits();

/// What the descriptor asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Copy,
    Fill,
    Null,
}

/// A valid descriptor and how far it is carried out; it holds no host memory, so it may wait.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub(crate) struct Operation {
    pub(crate) slot: Slot,
    pub(crate) kind: Kind,
    /// The source's address; a fill's pattern.
    pub(crate) source: u64,
    pub(crate) destination: u64,
    /// Bytes done.
    pub(crate) at: u64,
    /// Stage 4's verdict, if it was to corrupt a byte: offset and mask.
    pub(crate) corrupt: Option<(u64, u8)>,
}

/// An operation with the host memory of its next piece.
#[must_use]
pub(crate) struct Planned<'m> {
    pub(crate) operation: Operation,
    pub(crate) ranges: Ranges<'m>,
}

/// Host memory of one piece. The shorter of two slices is the piece.
pub(crate) enum Ranges<'m> {
    Copy { source: VolatileSlice<'m>, destination: VolatileSlice<'m> },
    Fill { destination: VolatileSlice<'m> },
    Nothing,
}

/// A descriptor that a stage did not accept or could not finish, and why.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refused {
    pub(crate) slot: Slot,
    pub(crate) chanerr: ChanErr,
}

/// Checks a descriptor, and finds the host memory of its first piece.
#[inline(always)]
pub(crate) fn plan<'m, M: GuestMemory, F: Faults, T: Trace>(
    fetched: Fetched,
    path: &mut Path<'m, M, F, T>,
) -> Result<Planned<'m>, Refused> {
    let (destination, len) = (fetched.descriptor.destination, u64::from(fetched.descriptor.size));
    let verdict = path.ask(Point::Translate, fetched.sequence, destination, len);
    let planned = match verdict {
        Verdict::Halt { chanerr } => Err(ChanErr::from_bits(chanerr)),
        _ => check(&fetched, path.terms).and_then(|kind| {
            let source = fetched.descriptor.source;
            let slot = fetched.slot();
            let operation = Operation { slot, kind, source, destination, at: 0, corrupt: None };
            ranges(&operation, path.memory).map(|ranges| Planned { operation, ranges })
        }),
    };
    let mark = match &planned {
        Ok(_) => Mark::Ok,
        Err(_) if verdict.is_fault() => Mark::Faulted,
        Err(chanerr) => error(*chanerr),
    };
    path.event(Stage::Translate, fetched.sequence, destination, len, mark);
    planned.map_err(|chanerr| Refused { slot: fetched.slot(), chanerr })
}

/// Finds the host memory of an operation that has waited. It was checked, asked about and traced before.
pub(crate) fn resume<'m, M: GuestMemory, F: Faults, T: Trace>(
    operation: Operation,
    path: &Path<'m, M, F, T>,
) -> Result<Planned<'m>, Refused> {
    match ranges(&operation, path.memory) {
        Ok(ranges) => Ok(Planned { operation, ranges }),
        Err(chanerr) => Err(Refused { slot: operation.slot, chanerr }),
    }
}

/// The host memory of the next piece: the longest that is contiguous on both sides, up to 64 KiB.
#[inline(always)]
pub(crate) fn ranges<'m, M: GuestMemory>(
    operation: &Operation,
    memory: &'m M,
) -> Result<Ranges<'m>, ChanErr> {
    let at = operation.at;
    let len = (u64::from(operation.slot.size) - at).min(PIECE_BYTES);
    // `check` has proven that these sums do not wrap.
    let destination = || {
        memory
            .resolve(Lane::Destination, operation.destination + at, len, Want::Write)
            .map_err(|_| ChanErr::DESTINATION_ADDRESS)
    };
    Ok(match operation.kind {
        Kind::Copy => Ranges::Copy {
            source: memory
                .resolve(Lane::Source, operation.source + at, len, Want::Read)
                .map_err(|_| ChanErr::SOURCE_ADDRESS)?,
            destination: destination()?,
        },
        Kind::Fill => Ranges::Fill { destination: destination()? },
        Kind::Null => Ranges::Nothing,
    })
}

/// Device model 4.2 and 4.4: what is supported, and which lengths are legal.
#[inline(always)]
fn check(fetched: &Fetched, terms: &Terms) -> Result<Kind, ChanErr> {
    let descriptor = &fetched.descriptor;
    let kind = kind(descriptor.control(), terms)?;
    if kind == Kind::Null {
        return Ok(kind);
    }
    let len = u64::from(descriptor.size);
    if len == 0 || len > terms.transfer_max_bytes {
        return Err(ChanErr::LENGTH);
    }
    let wraps = |address: u64| address.checked_add(len).is_none();
    if kind == Kind::Copy && wraps(descriptor.source) {
        return Err(ChanErr::SOURCE_ADDRESS);
    }
    if wraps(descriptor.destination) {
        return Err(ChanErr::DESTINATION_ADDRESS);
    }
    Ok(kind)
}

#[inline(always)]
fn kind(control: Control, terms: &Terms) -> Result<Kind, ChanErr> {
    if control.into_bits() & NOT_PLAIN == 0 {
        return Ok(Kind::Copy);
    }
    match Opcode::from_code(control.opcode()) {
        Some(Opcode::Copy) if control.src_page_break() || control.dst_page_break() => Err(ChanErr::CONTROL),
        Some(Opcode::Copy) => Ok(Kind::Null),
        Some(Opcode::Fill) if terms.fill && !control.dst_page_break() => Ok(Kind::Fill),
        _ => Err(ChanErr::CONTROL),
    }
}
