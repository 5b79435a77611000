//! Status words, levels and the other values of contract 2.1 and 2.2, under the headers' names.

use crate::contract::NtStatus;

/// NDIS_STATUS_SUCCESS.
pub const NDIS_STATUS_SUCCESS: NtStatus = NtStatus::SUCCESS;
/// NDIS_STATUS_PENDING.
pub const NDIS_STATUS_PENDING: NtStatus = NtStatus::PENDING;
/// NDIS_STATUS_FAILURE.
pub const NDIS_STATUS_FAILURE: NtStatus = NtStatus::UNSUCCESSFUL;
/// NDIS_STATUS_RESOURCES.
pub const NDIS_STATUS_RESOURCES: NtStatus = NtStatus::INSUFFICIENT_RESOURCES;
/// NDIS_STATUS_INVALID_PARAMETER.
pub const NDIS_STATUS_INVALID_PARAMETER: NtStatus = NtStatus::INVALID_PARAMETER;
/// NDIS_STATUS_NOT_SUPPORTED.
pub const NDIS_STATUS_NOT_SUPPORTED: NtStatus = NtStatus::NOT_SUPPORTED;
/// NDIS_STATUS_BAD_VERSION.
pub const NDIS_STATUS_BAD_VERSION: NtStatus = NtStatus(0xc001_0004);
/// NDIS_STATUS_BAD_CHARACTERISTICS.
pub const NDIS_STATUS_BAD_CHARACTERISTICS: NtStatus = NtStatus(0xc001_0005);
/// NDIS_STATUS_RESOURCE_CONFLICT.
pub const NDIS_STATUS_RESOURCE_CONFLICT: NtStatus = NtStatus(0xc001_001e);

/// PASSIVE_LEVEL.
pub const PASSIVE_LEVEL: u8 = 0;
/// APC_LEVEL.
pub const APC_LEVEL: u8 = 1;
/// DISPATCH_LEVEL.
pub const DISPATCH_LEVEL: u8 = 2;
/// HIGH_LEVEL of a 64-bit system.
pub const HIGH_LEVEL: u8 = 15;
/// HIGH_LEVEL of a 32-bit x86 system.
pub const HIGH_LEVEL_X86: u8 = 31;

/// NDIS_OBJECT_TYPE_DEFAULT.
pub const NDIS_OBJECT_TYPE_DEFAULT: u8 = 0x80;
/// NDIS_OBJECT_TYPE_MINIPORT_INTERRUPT.
pub const NDIS_OBJECT_TYPE_MINIPORT_INTERRUPT: u8 = 0x84;
/// NDIS_MINIPORT_INTERRUPT_REVISION_1.
pub const NDIS_MINIPORT_INTERRUPT_REVISION_1: u8 = 1;
/// NDIS_MSIX_CONFIG_PARAMETERS_REVISION_1.
pub const NDIS_MSIX_CONFIG_PARAMETERS_REVISION_1: u8 = 1;

/// NDIS_CONNECT_LINE_BASED.
pub const NDIS_CONNECT_LINE_BASED: u32 = 1;
/// NDIS_CONNECT_MESSAGE_BASED.
pub const NDIS_CONNECT_MESSAGE_BASED: u32 = 2;

/// NdisMSIXTableConfigSetTableEntry.
pub const NDIS_MSIX_TABLE_CONFIG_SET_TABLE_ENTRY: u32 = 0;
/// NdisMSIXTableConfigMaskTableEntry.
pub const NDIS_MSIX_TABLE_CONFIG_MASK_TABLE_ENTRY: u32 = 1;
/// NdisMSIXTableConfigUnmaskTableEntry.
pub const NDIS_MSIX_TABLE_CONFIG_UNMASK_TABLE_ENTRY: u32 = 2;
/// NdisMSIXTableConfigMax, which is no operation.
pub const NDIS_MSIX_TABLE_CONFIG_MAX: u32 = 3;

/// NDIS_INDICATE_ALL_NBLS: no cap.
pub const NDIS_INDICATE_ALL_NBLS: u32 = u32::MAX;

/// BOOLEAN, false.
pub const FALSE: u8 = 0;
/// BOOLEAN, true; any other non-zero byte counts as true too.
pub const TRUE: u8 = 1;
