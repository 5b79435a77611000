//! NDIS interrupt and DPC semantics: stages 7 to 9 of the path.

pub(crate) mod lock;

mod handlers;

pub use handlers::{
    DpcCall, DpcContext, DpcRequest, InterruptCharacteristics, InterruptType, IsrResult, LineHandlers,
    MessageHandlers, MessageId, Queued, ReceiveThrottleParameters,
};
