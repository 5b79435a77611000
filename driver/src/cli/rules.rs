//! Fault rules of the command line: read, errata unfolded, and held against the engine that they are for.

use ioat_stage::Rule;
use ioat_stage::fault::expand_all;

use super::exit::Usage;

/// What `--fault` was given.
pub(crate) fn read(given: &[String]) -> Result<Vec<Rule>, Usage> {
    expand_all(given.iter().map(String::as_str)).map_err(|error| Usage(format!("--fault: {error}")))
}

/// A rule that can never fire on the engine in this process makes no sense.
#[cfg(feature = "sim")]
pub(crate) fn check_on_sim(
    rules: &[Rule],
    profile: &str,
    channels: Option<u8>,
    vectors: Option<u16>,
) -> Result<(), Usage> {
    use ioat_stage::fault::{RuleContext, RulePlace, check_all};
    use vfio_user_ioat::Profile;

    // What cannot be is told when the engine is opened.
    let Some(mut profile) = Profile::by_name(profile) else { return Ok(()) };
    profile = channels.map_or(Ok(profile), |count| profile.with_channels(count)).unwrap_or(profile);
    profile = vectors.map_or(Ok(profile), |count| profile.with_vectors(count)).unwrap_or(profile);
    let context = RuleContext::new(profile.channels, profile.vectors(), RulePlace::Sim);
    check_all(rules, &context).map_err(|error| Usage(format!("--fault: {error}")))
}

#[cfg(not(feature = "sim"))]
pub(crate) fn check_on_sim(_: &[Rule], _: &str, _: Option<u8>, _: Option<u16>) -> Result<(), Usage> {
    Ok(())
}
