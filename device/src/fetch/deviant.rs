//! Stage 2 under a fault.

use ioat_spec::{ChanErr, Descriptor};
use ioat_stage::{Action, Faults};
use zerocopy::IntoBytes;

use super::{Fetched, Position, Unfetched, load};
use crate::deviation::{Cut, Patch};
use crate::memory::GuestMemory;
use crate::path::Path;
use crate::scribe::Scribe;

/// Loads a descriptor as `action` has it. An address that leads nowhere is an error as any other.
#[cold]
pub(super) fn load_as<M: GuestMemory, F: Faults, T: Scribe>(
    action: Action,
    position: Position,
    path: &mut Path<'_, M, F, T>,
) -> Result<Descriptor, Unfetched> {
    let memory = path.memory;
    let load = |position| load(position, memory).map_err(Unfetched::Failed);
    let Position { address, sequence, .. } = position;
    match action {
        Action::Halt(bits) => Err(Unfetched::Failed(ChanErr::from_bits(bits))),
        Action::Misaddress(delta) => {
            load(Position { address: address.wrapping_add_signed(delta), ..position })
        }
        Action::Corrupt { .. } | Action::Set { .. } => {
            let mut descriptor = load(position)?;
            if let Some(patch) = Patch::of(Some(action)) {
                patch.apply_all(descriptor.as_mut_bytes());
            }
            Ok(descriptor)
        }
        Action::Stick => Ok(stale(path)),
        Action::Drop => {
            let descriptor = load(position)?;
            Err(Unfetched::Skipped(Fetched { descriptor, address, sequence }.slot()))
        }
        Action::Duplicate => {
            let descriptor = load(position)?;
            if let Some(deviation) = path.deviation() {
                deviation.twice = true;
            }
            Ok(descriptor)
        }
        Action::Delay(_) | Action::Stall | Action::Kill => {
            if let Some(deviation) = path.deviation() {
                deviation.cut = Cut::of(Some(action));
            }
            Err(Unfetched::Cut)
        }
        _ => load(position),
    }
}

/// What the chain fetched before: the engine's buffer, which was not renewed. Empty, so all zeros, if there was nothing.
fn stale<M: GuestMemory, F: Faults, T: Scribe>(path: &mut Path<'_, M, F, T>) -> Descriptor {
    let words = path.deviation().and_then(|deviation| deviation.fetched).unwrap_or_default();
    zerocopy::transmute!(words)
}

/// Keeps a descriptor for the next `stick`.
#[inline(always)]
pub(super) fn remember<M: GuestMemory, F: Faults, T: Scribe>(
    descriptor: &Descriptor,
    path: &mut Path<'_, M, F, T>,
) {
    if let Some(deviation) = path.deviation() {
        deviation.fetched = Some(zerocopy::transmute!(*descriptor));
    }
}
