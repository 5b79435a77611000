//! What a session has found so far, for whoever watches it statement by statement.

use super::{Case, Complaint, Session};

/// What was found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Findings {
    /// The cases that are done, in order.
    pub cases: Vec<Case>,
    /// What was not as it should be outside of them, in order.
    pub complaints: Vec<Complaint>,
    /// The device went away, with the words for it.
    pub gone: Option<String>,
}

impl Session {
    /// What was found so far.
    #[must_use]
    pub fn findings(&self) -> Findings {
        let (complaints, _) = self.judge.outside();
        Findings { cases: self.judge.cases(), complaints, gone: self.gone.borrow().clone() }
    }
}
