//! What `netdma selftest --json` reports, as far as the lab reads it.

use serde::Deserialize;

/// A whole selftest.
#[derive(Clone, Debug, Deserialize)]
pub struct Report {
    /// Its steps.
    pub steps: Vec<Step>,
    /// What each processor did.
    pub processors: Vec<Processor>,
    /// Steps that passed.
    pub passed: u64,
    /// Steps that failed.
    pub failed: u64,
}

/// One step.
#[derive(Clone, Debug, Deserialize)]
pub struct Step {
    /// What it does.
    pub name: String,
    /// It did.
    pub passed: bool,
    /// It was not run.
    #[serde(default)]
    pub skipped: bool,
    /// Bytes moved and verified.
    pub bytes: u64,
    /// Descriptors completed.
    pub descriptors: u64,
    /// Interrupts taken.
    pub interrupts: u64,
    /// Lost interrupts whose completion was found all the same.
    pub recovered: u64,
    /// Milliseconds.
    pub ms: f64,
    /// What there is to say.
    #[serde(default)]
    pub detail: String,
}

/// One processor's DPCs.
#[derive(Clone, Debug, Deserialize)]
pub struct Processor {
    /// Its number.
    pub number: u32,
    /// Where its worker runs.
    pub placement: String,
    /// DPCs that ran.
    pub dpcs: u64,
    /// Requests that were scheduled.
    pub queued: u64,
    /// Requests that were refused, because that DPC was queued already.
    pub refused: u64,
}

impl Report {
    /// The sum over all steps.
    pub fn sum(&self, of: impl Fn(&Step) -> u64) -> u64 {
        self.steps.iter().map(of).sum()
    }

    /// Milliseconds of all steps.
    #[must_use]
    pub fn ms(&self) -> f64 {
        self.steps.iter().map(|step| step.ms).sum()
    }

    /// The first step that failed, with its detail.
    #[must_use]
    pub fn first_failure(&self) -> Option<String> {
        let step = self.steps.iter().find(|step| !step.passed && !step.skipped)?;
        Some(format!("{}: {}", step.name, step.detail))
    }
}
