//! Stage 5 under a fault: what becomes of the completion word.

use ioat_spec::{ChanErr, ChanSts};
use ioat_stage::{Action, Faults};

use super::{locate, store_word};
use crate::deviation::Patch;
use crate::memory::{GuestMemory, Lane, Want};
use crate::path::Path;
use crate::postponed::What;
use crate::scribe::Scribe;

/// Stores the word as `action` has it. Returns the word that is in memory then, if one was stored.
#[cold]
pub(super) fn store_as<M: GuestMemory, F: Faults, T: Scribe>(
    action: Action,
    word: ChanSts,
    path: &mut Path<'_, M, F, T>,
) -> Result<Option<u64>, ChanErr> {
    let (chan_cmp, bits) = (path.terms.chan_cmp, word.into_bits());
    let memory = path.memory;
    let stored = |at, bits| store_word(at, bits, memory).map(|()| Some(bits));
    match action {
        Action::Drop => Ok(None),
        Action::Halt(bits) => Err(ChanErr::from_bits(bits)),
        Action::Misaddress(delta) => stored(chan_cmp, misaddressed(bits, delta)),
        Action::Elsewhere(delta) => {
            store_word(chan_cmp.wrapping_add_signed(delta), bits, memory).map(|()| None)
        }
        Action::Corrupt { .. } | Action::Set { .. } => stored(chan_cmp, patched(bits, action)),
        Action::AllOnes => stored(chan_cmp, u64::MAX),
        Action::Stick => match path.deviation().and_then(|deviation| deviation.stored) {
            Some(bits) => stored(chan_cmp, bits),
            // Nothing came before: what is there already is stored again, which nobody can tell from no store.
            None => Ok(None),
        },
        Action::Short(bytes) => {
            locate(chan_cmp, memory)?;
            tear(chan_cmp, bits, bytes, memory)?;
            Ok(None)
        }
        Action::Delay(after_ns) => {
            locate(chan_cmp, memory)?;
            if let Some(deviation) = path.deviation() {
                let bytes = Box::new(bits.to_le_bytes());
                deviation.later.push((after_ns, What::Store { iova: chan_cmp, bytes }));
            }
            Ok(None)
        }
        _ => stored(chan_cmp, bits),
    }
}

/// The address is off; the state is not, whatever the sum says.
fn misaddressed(bits: u64, delta: i64) -> u64 {
    let completed = ChanSts::from_bits(bits).completed().wrapping_add_signed(delta);
    (completed & ChanSts::ADDRESS_MASK) | (bits & !ChanSts::ADDRESS_MASK)
}

fn patched(bits: u64, action: Action) -> u64 {
    let mut bytes = bits.to_le_bytes();
    if let Some(patch) = Patch::of(Some(action)) {
        patch.apply_all(&mut bytes);
    }
    u64::from_le_bytes(bytes)
}

/// Only the first bytes of the word.
fn tear<M: GuestMemory>(chan_cmp: u64, bits: u64, bytes: u64, memory: &M) -> Result<(), ChanErr> {
    let part = usize::try_from(bytes.min(8)).unwrap_or(8);
    if part == 0 {
        return Ok(());
    }
    let slice = memory
        .resolve(Lane::Completion, chan_cmp, part as u64, Want::Write)
        .map_err(|_| ChanErr::COMPLETION_ADDRESS)?;
    slice.copy_from(&bits.to_le_bytes()[..part]);
    Ok(())
}
