//! The receive throttle as C sees it.

use crate::ndis::handlers::ReceiveThrottleParameters;

/// NDIS_RECEIVE_THROTTLE_PARAMETERS. The second word is a bit field of one bit.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[doc(alias = "NDIS_RECEIVE_THROTTLE_PARAMETERS")]
pub struct NdisReceiveThrottleParameters {
    /// In: the cap, or NDIS_INDICATE_ALL_NBLS.
    pub max_nbls_to_indicate: u32,
    /// Out: bit 0 is MoreNblsPending; the other bits are nobody's.
    pub more_nbls_pending: u32,
}

const _: () = {
    assert!(size_of::<NdisReceiveThrottleParameters>() == 8);
    assert!(std::mem::offset_of!(NdisReceiveThrottleParameters, more_nbls_pending) == 4);
};

impl From<ReceiveThrottleParameters> for NdisReceiveThrottleParameters {
    fn from(typed: ReceiveThrottleParameters) -> Self {
        Self {
            max_nbls_to_indicate: typed.max_nbls_to_indicate,
            more_nbls_pending: u32::from(typed.more_nbls_pending),
        }
    }
}

impl From<NdisReceiveThrottleParameters> for ReceiveThrottleParameters {
    fn from(raw: NdisReceiveThrottleParameters) -> Self {
        Self {
            max_nbls_to_indicate: raw.max_nbls_to_indicate,
            more_nbls_pending: raw.more_nbls_pending & 1 != 0,
        }
    }
}
