//! NET_DMA_PNP_NOTIFICATION (contract 1.5.6).

use std::ffi::c_void;
use std::mem::{offset_of, size_of};
use std::ptr;

use super::error::{Checks, RawError};
use crate::contract::{PnPEvent, PnpNotificationCode};

/// NET_DMA_PNP_NOTIFICATION.StructureRevision.
pub const NET_DMA_PNP_NOTIFICATION_REVISION_1: u32 = 1;

/// 32 bytes here, 20 in a 32-bit world.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C)]
#[doc(alias = "NET_DMA_PNP_NOTIFICATION")]
pub struct NetDmaPnpNotification {
    /// 1.
    #[doc(alias = "StructureRevision")]
    pub structure_revision: u32,
    /// `sizeof`, without what Buffer points to.
    #[doc(alias = "StructureSize")]
    pub structure_size: u32,
    /// [`PnpNotificationCode`].
    #[doc(alias = "NotificationCode")]
    pub notification_code: i32,
    /// Null for what a provider sends.
    #[doc(alias = "Buffer")]
    pub buffer: *mut c_void,
    /// 0 for what a provider sends.
    #[doc(alias = "BufferLength")]
    pub buffer_length: u32,
}

#[cfg(target_pointer_width = "64")]
const _: () = {
    assert!(size_of::<NetDmaPnpNotification>() == 32);
    assert!(offset_of!(NetDmaPnpNotification, structure_revision) == 0);
    assert!(offset_of!(NetDmaPnpNotification, structure_size) == 4);
    assert!(offset_of!(NetDmaPnpNotification, notification_code) == 8);
    assert!(offset_of!(NetDmaPnpNotification, buffer) == 16);
    assert!(offset_of!(NetDmaPnpNotification, buffer_length) == 24);
};

impl NetDmaPnpNotification {
    /// `sizeof`.
    pub const BYTES: u32 = if cfg!(target_pointer_width = "64") { 32 } else { 20 };

    /// What the provider tells.
    ///
    /// # Errors
    /// [`RawError`] for a wrong revision or size, a code that providers do not send, or a buffer.
    pub fn check(&self) -> Result<PnPEvent, RawError> {
        let checks = Checks { structure: "NET_DMA_PNP_NOTIFICATION", clause: "contract 1.5.6" };
        let revision = self.structure_revision;
        let known = revision == NET_DMA_PNP_NOTIFICATION_REVISION_1;
        checks.that(known, "StructureRevision", revision.into(), "1")?;
        let (size, length) = (u64::from(self.structure_size), u64::from(self.buffer_length));
        checks.that(self.structure_size >= Self::BYTES, "StructureSize", size, "sizeof the structure")?;
        let event = match PnpNotificationCode::new(self.notification_code) {
            Some(PnpNotificationCode::ProviderPowerDown) => PnPEvent::PowerDown,
            Some(PnpNotificationCode::ProviderPowerUp) => PnPEvent::PowerUp,
            _ => {
                let found = u64::from(u32::from_ne_bytes(self.notification_code.to_ne_bytes()));
                return Err(checks.fails("NotificationCode", found, "5 or 6 from a provider"));
            }
        };
        checks.that(self.buffer.is_null(), "Buffer", self.buffer as u64, "null for codes 5 and 6")?;
        checks.that(self.buffer_length == 0, "BufferLength", length, "0 for codes 5 and 6")?;
        Ok(event)
    }
}

impl From<PnPEvent> for NetDmaPnpNotification {
    fn from(event: PnPEvent) -> Self {
        let code = match event {
            PnPEvent::PowerDown => PnpNotificationCode::ProviderPowerDown,
            PnPEvent::PowerUp => PnpNotificationCode::ProviderPowerUp,
        };
        Self {
            structure_revision: NET_DMA_PNP_NOTIFICATION_REVISION_1,
            structure_size: Self::BYTES,
            notification_code: code as i32,
            buffer: ptr::null_mut(),
            buffer_length: 0,
        }
    }
}
