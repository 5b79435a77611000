//! The channel's state table (contract 1.9), in one place.

/// Where a channel stands.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ChannelState {
    /// Just allocated, or reset.
    Fresh,
    /// Started, busy or idle.
    Running,
    /// Stopped by Suspend.
    Suspended,
    /// Aborted, or the hardware lost its state.
    NeedsStart,
    /// Given back.
    Freed,
}

/// A call on a channel.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Call {
    /// Start.
    Start,
    /// Append.
    Append,
    /// Suspend.
    Suspend,
    /// Resume.
    Resume,
    /// Abort.
    Abort,
    /// Reset.
    Reset,
    /// Free; the descriptors still outstanding are asked for elsewhere.
    Free,
}

/// What a permitted call does.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Step {
    /// Ask the provider; on success the channel is in this state.
    Forward(ChannelState),
    /// Nothing to do; the provider is not asked.
    Nothing,
}

/// The call is not permitted in this state.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, thiserror::Error)]
#[error("{call:?} is not permitted on a channel that is {state:?} (contract 1.9)")]
pub struct Refused {
    /// The call.
    pub call: Call,
    /// The state.
    pub state: ChannelState,
}

impl ChannelState {
    /// The table. What the contract leaves open follows its library choices: a suspended channel takes Start
    /// (and leaves suspension) and Abort, and refuses Append; Abort where nothing runs does nothing.
    pub(super) fn step(self, call: Call) -> Result<Step, Refused> {
        use ChannelState::{Freed, Fresh, NeedsStart, Running, Suspended};
        match (call, self) {
            (_, Freed) => Err(Refused { call, state: self }),
            (Call::Start, _) => Ok(Step::Forward(Running)),
            (Call::Append, Running) => Ok(Step::Forward(Running)),
            (Call::Suspend, Running) => Ok(Step::Forward(Suspended)),
            (Call::Resume, Suspended) => Ok(Step::Forward(Running)),
            (Call::Abort, Running | Suspended) => Ok(Step::Forward(NeedsStart)),
            (Call::Abort, Fresh | NeedsStart) => Ok(Step::Nothing),
            (Call::Reset, _) => Ok(Step::Forward(Fresh)),
            (Call::Free, _) => Ok(Step::Forward(Freed)),
            (Call::Append | Call::Suspend | Call::Resume, _) => Err(Refused { call, state: self }),
        }
    }
}
