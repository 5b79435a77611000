//! The header that versioned structures begin with.

use super::error::RawError;

/// NDIS_OBJECT_HEADER.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[doc(alias = "NDIS_OBJECT_HEADER")]
pub struct NdisObjectHeader {
    /// What the structure is.
    #[doc(alias = "Type")]
    pub object_type: u8,
    /// Its revision.
    #[doc(alias = "Revision")]
    pub revision: u8,
    /// Its size in bytes.
    #[doc(alias = "Size")]
    pub size: u16,
}

const _: () = {
    assert!(size_of::<NdisObjectHeader>() == 4);
    assert!(std::mem::offset_of!(NdisObjectHeader, revision) == 1);
    assert!(std::mem::offset_of!(NdisObjectHeader, size) == 2);
};

/// What a header must say.
pub(super) struct Expected {
    pub(super) structure: &'static str,
    pub(super) object_type: u8,
    pub(super) revision: u8,
    /// The size of this revision as the headers' macro gives it: through the last field.
    pub(super) least: usize,
    pub(super) clause: &'static str,
}

impl NdisObjectHeader {
    /// Checks the header. Pages say `sizeof`, the headers' macros say "through the last field", and a later revision
    /// would be larger: any size from the macro's on is taken (conflict X16). A newer revision is not.
    pub(super) fn check(self, expected: &Expected) -> Result<(), RawError> {
        let wrong = |field, found: u32, wanted: String| RawError::Header {
            structure: expected.structure,
            field,
            found,
            expected: wanted,
            clause: expected.clause,
        };
        if self.object_type != expected.object_type {
            let wanted = format!("{:#x}", expected.object_type);
            return Err(wrong("Type", u32::from(self.object_type), wanted));
        }
        if self.revision != expected.revision {
            return Err(wrong("Revision", u32::from(self.revision), expected.revision.to_string()));
        }
        if usize::from(self.size) < expected.least {
            return Err(wrong("Size", u32::from(self.size), format!("{:#x} at least", expected.least)));
        }
        Ok(())
    }
}
