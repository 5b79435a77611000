//! What a run found, as the one object that `--json` prints; `--table` reads it again.

use netdma::conformance::{Outcome, Ran};
use netdma::ioat::Identity;

use super::place::At;

/// A run.
#[derive(Debug, serde::Serialize)]
pub(super) struct Report {
    /// `sim`, `socket` or `vfio`.
    place: String,
    /// Of the engine that a check gets without a wish.
    profile: String,
    device: String,
    identity: Engine,
    pub(super) results: Vec<Ran>,
    pub(super) passed: usize,
    pub(super) failed: usize,
    pub(super) skipped: usize,
}

/// Which engine it was.
#[derive(Debug, serde::Serialize)]
struct Engine {
    vendor: u16,
    device: u16,
    family: &'static str,
    version: String,
    channels: u8,
    dma_capability: u32,
}

impl From<&Identity> for Engine {
    fn from(identity: &Identity) -> Self {
        let Identity { vendor, device, family, version, channels, capability, .. } = *identity;
        let version = format!("{}.{}", version.major(), version.minor());
        Self { vendor, device, family, version, channels, dma_capability: capability.into_bits() }
    }
}

impl Report {
    pub(super) fn new(at: &At, results: Vec<Ran>) -> Self {
        let count = |outcome| results.iter().filter(|ran| ran.result == outcome).count();
        let [passed, failed, skipped] = [Outcome::Passed, Outcome::Failed, Outcome::Skipped].map(count);
        Self {
            place: at.place().name().into(),
            profile: at.place().profile().into(),
            device: at.device().into(),
            identity: at.identity().into(),
            results,
            passed,
            failed,
            skipped,
        }
    }
}

/// The part of a run that the table tells. No times and no names of devices: they differ from run to run.
#[derive(Debug, serde::Deserialize)]
pub(super) struct Recorded {
    pub(super) place: String,
    pub(super) results: Vec<Result>,
}

/// One recorded result.
#[derive(Debug, serde::Deserialize)]
pub(super) struct Result {
    pub(super) id: String,
    pub(super) profile: Option<String>,
    pub(super) result: Outcome,
    pub(super) reason: Option<String>,
}

/// As it is written in JSON.
pub(super) fn word(value: &impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        other => format!("{other:?}"),
    }
}
