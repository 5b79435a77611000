//! What a rule did.

use std::sync::Arc;

use super::super::{Op, Rule};

/// A rule that fired, resolved so that it can be repeated exactly.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fired {
    /// The rule.
    pub rule: Arc<Rule>,
    /// Which of the operations that the rule counts it was, from 1.
    pub nth: u64,
    /// The operation.
    pub op: Op,
    /// Which of its channel's operations at this point it was, from 1, counted since the rule was armed, whether its filters
    /// match them or not; accesses that the action cannot change, by their direction, are left out.
    pub channel_nth: u64,
}

impl Fired {
    /// The rule that hits this operation alone, if it is armed where this one was. It has no filter but the channel, so
    /// neither other rules nor the clock need be as they were. A rule of the start counts from the start; one that was
    /// armed at work counts from the channel's next step (points inside a step) or register access.
    #[must_use]
    pub fn again(&self) -> Rule {
        Rule::nth(self.rule.point, self.op.channel, self.channel_nth, self.rule.action)
    }
}
