//! Stage 3 of 9: translate. A descriptor becomes an operation whose bounds are proven, on host memory.
//!
//! Host ranges are found for at most 64 KiB at a time: an unmap may come between two pieces, and the next one is then
//! translated anew.
//!
//! What few descriptors ask for, page breaks and context changes, leaves the loop here ([`Unplanned::Rare`]) and is
//! planned by [`plan_rare`], so that a plain copy pays nothing for it.

use ioat_spec::{ChanErr, Control, Descriptor, Opcode};
use ioat_stage::{Action, Described, Faults, Mark, Point, Stage};

use crate::deviation::Cut;
use crate::fetch::{Fetched, Slot};
use crate::memory::{GuestMemory, Lane, VolatileSlice, Want};
use crate::page_break::{Break, Breaks};
use crate::path::{Path, Terms, error};
use crate::scribe::Scribe;

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
    /// A context change: nothing moves, the channel's DCA target changes.
    Context,
}

impl Kind {
    /// It has data, and so addresses.
    pub(crate) fn moves(self) -> bool {
        matches!(self, Self::Copy | Self::Fill)
    }
}

/// A valid descriptor and how far it is carried out; it holds no host memory, so it may wait.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub(crate) struct Operation {
    pub(crate) slot: Slot,
    pub(crate) kind: Kind,
    /// The source's address; a fill's pattern; a context change's target.
    pub(crate) source: u64,
    pub(crate) breaks: Breaks,
    /// Bytes done.
    pub(crate) at: u64,
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

/// A descriptor that [`plan`] did not plan.
pub(crate) enum Unplanned {
    Refused(Refused),
    /// It was asked about, and [`plan_rare`] is to go on with it.
    Rare,
}

/// Checks a descriptor, and finds the host memory of its first piece.
#[inline(always)]
pub(crate) fn plan<'m, M: GuestMemory, F: Faults, T: Scribe>(
    fetched: Fetched,
    path: &mut Path<'m, M, F, T>,
) -> Result<Planned<'m>, Unplanned> {
    let (destination, len) = (fetched.descriptor.destination, u64::from(fetched.descriptor.size));
    let mut faulted = false;
    describe(&fetched, path);
    let planned = match check(&fetched, path.terms) {
        Ok(None) => return Err(Unplanned::Rare),
        Ok(Some(kind)) => {
            let operation = plain(&fetched, kind);
            let judged = judge(&operation, &mut faulted, path);
            judged.and_then(|()| ranges(&operation, path.memory)).map(|ranges| Planned { operation, ranges })
        }
        Err(chanerr) => Err(chanerr),
    };
    let mark = match &planned {
        _ if faulted => Mark::Faulted,
        Ok(_) => Mark::Ok,
        Err(chanerr) => error(*chanerr),
    };
    path.event(Stage::Translate, fetched.sequence, destination, len, mark);
    planned.map_err(|chanerr| Unplanned::Refused(Refused { slot: fetched.slot(), chanerr }))
}

/// Tells the rules what the descriptor is.
#[inline(always)]
fn describe<M: GuestMemory, F: Faults, T: Scribe>(fetched: &Fetched, path: &mut Path<'_, M, F, T>) {
    let Fetched { descriptor, address, .. } = fetched;
    if let Some(deviation) = path.deviation() {
        let Descriptor { control, source, destination, size, .. } = *descriptor;
        let described = Described { descriptor: *address, control, source, destination, size };
        deviation.verdicts.described = Some(described);
    }
}

/// Asks for the verdict on an operation, which is legal.
#[inline(always)]
fn judge<M: GuestMemory, F: Faults, T: Scribe>(
    operation: &Operation,
    faulted: &mut bool,
    path: &mut Path<'_, M, F, T>,
) -> Result<(), ChanErr> {
    if !F::ACTIVE {
        return Ok(());
    }
    let Slot { sequence, destination, size, .. } = operation.slot;
    let verdict = path.ask(Point::Translate, sequence, destination, size.into());
    *faulted = verdict.is_some();
    let Some(deviation) = path.deviation() else { return Ok(()) };
    match verdict {
        Some(Action::Halt(bits)) => return Err(ChanErr::from_bits(bits)),
        Some(Action::Misaddress(delta)) => deviation.verdicts.shift = delta,
        _ => deviation.cut = Cut::of(verdict),
    }
    Ok(())
}

/// Goes on with a rare descriptor: checks it, and sees that its first piece is there.
#[inline(never)]
pub(crate) fn plan_rare<M: GuestMemory, F: Faults, T: Scribe>(
    fetched: Fetched,
    path: &mut Path<'_, M, F, T>,
) -> Result<Operation, Refused> {
    let mut faulted = false;
    describe(&fetched, path);
    let operation = match check(&fetched, path.terms) {
        Ok(None) if fetched.descriptor.control().opcode() == Opcode::ContextChange as u8 => {
            context_change(&fetched)
        }
        Ok(None) => broken(&fetched, path.terms),
        // It was rewritten since it was found to be rare.
        Ok(Some(kind)) => Ok(plain(&fetched, kind)),
        Err(chanerr) => Err(chanerr),
    };
    let planned = operation.and_then(|operation| {
        judge(&operation, &mut faulted, path)?;
        piece(&operation, path.memory).map(|_| operation)
    });
    let (destination, len) = (fetched.descriptor.destination, fetched.descriptor.size);
    let mark = match &planned {
        _ if faulted => Mark::Faulted,
        Ok(_) => Mark::Ok,
        Err(chanerr) => error(*chanerr),
    };
    path.event(Stage::Translate, fetched.sequence, destination, len.into(), mark);
    planned.map_err(|chanerr| Refused { slot: fetched.slot(), chanerr })
}

/// Finds the host memory of an operation that has waited. It was checked, asked about and traced before.
pub(crate) fn resume<'m, M: GuestMemory, F: Faults, T: Scribe>(
    operation: Operation,
    path: &Path<'m, M, F, T>,
) -> Result<Planned<'m>, Refused> {
    match piece(&operation, path.memory) {
        Ok(ranges) => Ok(Planned { operation, ranges }),
        Err(chanerr) => Err(Refused { slot: operation.slot, chanerr }),
    }
}

/// The host memory of the next piece, breaks or not.
#[inline(never)]
pub(crate) fn piece<'m, M: GuestMemory>(operation: &Operation, memory: &'m M) -> Result<Ranges<'m>, ChanErr> {
    let Operation { breaks, at, kind, .. } = *operation;
    if breaks.is_none() {
        return ranges(operation, memory);
    }
    let left = u64::from(operation.slot.size) - at;
    let (source, before_source) = Break::place(breaks.source, operation.source, at, left);
    let (destination, before_destination) =
        Break::place(breaks.destination, operation.slot.destination, at, left);
    resolve(kind, source, destination, before_source.min(before_destination).min(PIECE_BYTES), memory)
}

/// The host memory of the next piece of an operation without breaks.
#[inline(always)]
fn ranges<'m, M: GuestMemory>(operation: &Operation, memory: &'m M) -> Result<Ranges<'m>, ChanErr> {
    let Operation { slot: Slot { size, destination, .. }, kind, source, at, .. } = *operation;
    let len = (u64::from(size) - at).min(PIECE_BYTES);
    // `check` has proven that these sums do not wrap where they are addresses.
    resolve(kind, source.wrapping_add(at), destination.wrapping_add(at), len, memory)
}

/// The longest that is contiguous on both sides, of at most `len` bytes.
#[inline(always)]
fn resolve<M: GuestMemory>(
    kind: Kind,
    source: u64,
    destination: u64,
    len: u64,
    memory: &M,
) -> Result<Ranges<'_>, ChanErr> {
    let destination = || {
        memory
            .resolve(Lane::Destination, destination, len, Want::Write)
            .map_err(|_| ChanErr::DESTINATION_ADDRESS)
    };
    Ok(match kind {
        Kind::Copy => Ranges::Copy {
            source: memory
                .resolve(Lane::Source, source, len, Want::Read)
                .map_err(|_| ChanErr::SOURCE_ADDRESS)?,
            destination: destination()?,
        },
        Kind::Fill => Ranges::Fill { destination: destination()? },
        Kind::Null | Kind::Context => Ranges::Nothing,
    })
}

/// Device model 4.2 and 4.4: what is supported, and which lengths are legal. None is one of the rare operations.
#[inline(always)]
fn check(fetched: &Fetched, terms: &Terms) -> Result<Option<Kind>, ChanErr> {
    let descriptor = &fetched.descriptor;
    let Some(kind) = kind(descriptor.control(), terms)? else { return Ok(None) };
    if kind == Kind::Null {
        return Ok(Some(kind));
    }
    let len = legal(descriptor.size, terms)?;
    let wraps = |address: u64| address.checked_add(len).is_none();
    if kind == Kind::Copy && wraps(descriptor.source) {
        return Err(ChanErr::SOURCE_ADDRESS);
    }
    if wraps(descriptor.destination) {
        return Err(ChanErr::DESTINATION_ADDRESS);
    }
    Ok(Some(kind))
}

/// The length, if it is one.
#[inline(always)]
fn legal(size: u32, terms: &Terms) -> Result<u64, ChanErr> {
    let len = u64::from(size);
    if len == 0 || len > terms.transfer_max_bytes { Err(ChanErr::LENGTH) } else { Ok(len) }
}

#[inline(always)]
fn kind(control: Control, terms: &Terms) -> Result<Option<Kind>, ChanErr> {
    if control.into_bits() & NOT_PLAIN == 0 {
        return Ok(Some(Kind::Copy));
    }
    let Terms { capability, .. } = terms;
    let broken = control.src_page_break() || control.dst_page_break();
    match Opcode::from_code(control.opcode()) {
        Some(Opcode::Copy) if broken && !capability.page_break() => Err(ChanErr::CONTROL),
        Some(Opcode::Copy) if control.null() => Ok(Some(Kind::Null)),
        Some(Opcode::Copy) => Ok(None),
        Some(Opcode::Fill) if !capability.fill() => Err(ChanErr::CONTROL),
        Some(Opcode::Fill) if !control.dst_page_break() => Ok(Some(Kind::Fill)),
        Some(Opcode::Fill) if capability.page_break() => Ok(None),
        Some(Opcode::ContextChange) if capability.dca() => Ok(None),
        _ => Err(ChanErr::CONTROL),
    }
}

#[inline(always)]
fn plain(fetched: &Fetched, kind: Kind) -> Operation {
    let (slot, source, breaks) = (fetched.slot(), fetched.descriptor.source, Breaks::NONE);
    Operation { slot, kind, source, breaks, at: 0 }
}

/// A copy or a fill with page breaks. Nothing is moved unless all of it has an address.
fn broken(fetched: &Fetched, terms: &Terms) -> Result<Operation, ChanErr> {
    let descriptor = &fetched.descriptor;
    let len = legal(descriptor.size, terms)?;
    let kind = if descriptor.control().opcode() == Opcode::Fill as u8 { Kind::Fill } else { Kind::Copy };
    let breaks = Breaks::of(descriptor, kind == Kind::Copy)?;
    let wraps = |address: u64, side| address.checked_add(Break::before(side, len)).is_none();
    if kind == Kind::Copy && wraps(descriptor.source, breaks.source) {
        return Err(ChanErr::SOURCE_ADDRESS);
    }
    if wraps(descriptor.destination, breaks.destination) {
        return Err(ChanErr::DESTINATION_ADDRESS);
    }
    let source = descriptor.source;
    Ok(Operation { slot: fetched.slot(), kind, source, breaks, at: 0 })
}

/// A context change (contract 1.4.1). Bit 0, INT_EN elsewhere, says that it is DCA's context; there is no other. It asks
/// for no interrupt, so its slot does not, and it moves nothing.
fn context_change(fetched: &Fetched) -> Result<Operation, ChanErr> {
    let control = fetched.descriptor.control();
    if !control.dca_context_change() {
        return Err(ChanErr::CONTROL);
    }
    let control = control.with_int_en(false);
    let slot = Slot { control, size: 0, destination: 0, ..fetched.slot() };
    let source = fetched.descriptor.dca_context8().into();
    let (kind, breaks) = (Kind::Context, Breaks::NONE);
    Ok(Operation { slot, kind, source, breaks, at: 0 })
}
