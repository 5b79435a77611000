//! What a miniport written in C gives to `NdisMConfigMSIXTableEntry`.

use super::error::RawError;
use super::header::{Expected, NdisObjectHeader};
use super::values::{
    NDIS_MSIX_CONFIG_PARAMETERS_REVISION_1, NDIS_MSIX_TABLE_CONFIG_MASK_TABLE_ENTRY,
    NDIS_MSIX_TABLE_CONFIG_SET_TABLE_ENTRY, NDIS_MSIX_TABLE_CONFIG_UNMASK_TABLE_ENTRY,
    NDIS_OBJECT_TYPE_DEFAULT,
};
use crate::ndis::msix_table::MsixConfig;

/// NDIS_MSIX_CONFIG_PARAMETERS.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[doc(alias = "NDIS_MSIX_CONFIG_PARAMETERS")]
pub struct NdisMsixConfigParameters {
    /// Type 0x80, revision 1.
    pub header: NdisObjectHeader,
    /// NDIS_MSIX_TABLE_CONFIG: one of the three operations.
    pub config_operation: u32,
    /// The entry.
    pub table_entry: u32,
    /// The message; only Set looks at it.
    pub message_number: u32,
}

const _: () = {
    use std::mem::offset_of;
    type T = NdisMsixConfigParameters;
    assert!(size_of::<T>() == 16);
    assert!(offset_of!(T, header) == 0 && offset_of!(T, config_operation) == 4);
    assert!(offset_of!(T, table_entry) == 8 && offset_of!(T, message_number) == 12);
};

impl NdisMsixConfigParameters {
    /// Checks header and operation (contract 2.9). Entry and message are checked against the table by the call.
    ///
    /// # Errors
    /// [`RawError`] about the first field that is wrong.
    pub fn validate(&self) -> Result<MsixConfig, RawError> {
        const STRUCTURE: &str = "NDIS_MSIX_CONFIG_PARAMETERS";
        self.header.check(&Expected {
            structure: STRUCTURE,
            object_type: NDIS_OBJECT_TYPE_DEFAULT,
            revision: NDIS_MSIX_CONFIG_PARAMETERS_REVISION_1,
            least: size_of::<Self>(),
            clause: "2.9",
        })?;
        let entry = self.table_entry;
        match self.config_operation {
            NDIS_MSIX_TABLE_CONFIG_SET_TABLE_ENTRY => {
                Ok(MsixConfig::Set { entry, message: self.message_number })
            }
            NDIS_MSIX_TABLE_CONFIG_MASK_TABLE_ENTRY => Ok(MsixConfig::Mask { entry }),
            NDIS_MSIX_TABLE_CONFIG_UNMASK_TABLE_ENTRY => Ok(MsixConfig::Unmask { entry }),
            found => Err(RawError::Value {
                structure: STRUCTURE,
                field: "ConfigOperation",
                found,
                expected: "0 (Set), 1 (Mask) or 2 (Unmask)",
                clause: "2.9",
            }),
        }
    }
}
