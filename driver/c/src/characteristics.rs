//! NET_DMA_PROVIDER_CHARACTERISTICS as it lies in C's memory: no more of it is read than Size says.

use std::ptr::{self, NonNull};

use netdma::contract::raw::{NetDmaProviderCharacteristics, NetDmaProviderCharacteristicsV1, UnicodeString};

/// The structure, and its name's text if the version has one.
///
/// # Safety
/// `table` has the size that it says; FriendlyName has its bytes.
pub(crate) unsafe fn read_characteristics(
    table: NonNull<NetDmaProviderCharacteristics>,
) -> Result<(NetDmaProviderCharacteristics, Option<Vec<u16>>), String> {
    let table = table.as_ptr();
    let mut v1 = NetDmaProviderCharacteristicsV1::default();
    // SAFETY: version and size are the first four bytes, which every structure has.
    unsafe {
        v1.major_version = (&raw const (*table).v1.major_version).read_unaligned();
        v1.minor_version = (&raw const (*table).v1.minor_version).read_unaligned();
        v1.size = (&raw const (*table).v1.size).read_unaligned();
    }
    let named = v1.has_friendly_name().map_err(|error| error.to_string())?;
    // SAFETY: Size says that it is there.
    v1 = unsafe { (&raw const (*table).v1).read_unaligned() };
    let mut raw = NetDmaProviderCharacteristics { v1, friendly_name: UnicodeString::default() };
    if !named {
        return Ok((raw, None));
    }
    // SAFETY: as above.
    raw.friendly_name = unsafe { (&raw const (*table).friendly_name).read_unaligned() };
    let name = raw.friendly_name;
    if name.buffer.is_null() || name.length == 0 {
        return Ok((raw, None));
    }
    if name.length % 2 != 0 || name.length > name.maximum_length {
        let (length, room) = (name.length, name.maximum_length);
        return Err(format!(
            "FriendlyName.Length is {length} of {room}: expected an even number, at most that"
        ));
    }
    let units = (0..usize::from(name.length) / 2).map(|unit| {
        // SAFETY: the caller's promise: Length bytes are there.
        unsafe { ptr::read_unaligned(name.buffer.add(unit)) }
    });
    Ok((raw, Some(units.collect())))
}
