//! What becomes a line of the journal.

use std::time::Duration;

use crate::experiments::experiment::Experiment;
use crate::experiments::observation::Observation;
use crate::experiments::record::Outcome;
use crate::experiments::signature::signature;

/// The outcome of an experiment: its class, a reason that finds its like, and the command line that runs it again.
#[must_use]
pub(super) fn outcome(
    experiment: &Experiment,
    observation: Observation,
    wall: Duration,
    replay: String,
) -> Outcome {
    let class = observation.class();
    let reason = observation.reason().to_owned();
    Outcome {
        id: experiment.id.clone(),
        rules: experiment.rules.iter().map(ToString::to_string).collect(),
        seed: experiment.seed,
        class,
        signature: signature(class, &experiment.rules, &reason),
        reason,
        wall_ns: u64::try_from(wall.as_nanos()).unwrap_or(u64::MAX),
        observation,
        replay,
    }
}

/// The command line that runs an experiment again, wherever the campaign's file is.
#[must_use]
pub fn replay_command(file: &str, experiment: &Experiment) -> String {
    let mut line = format!("netdma-lab experiment replay {} --seed {}", quoted(file), experiment.seed);
    for rule in &experiment.rules {
        line += &format!(" --rule {}", quoted(&rule.to_string()));
    }
    line
}

/// For a shell.
fn quoted(text: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "/._-+:@".contains(letter);
    match !text.is_empty() && text.chars().all(plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiments::experiment::Id;

    #[test]
    fn a_replay_is_one_line_for_a_shell() {
        let rules = vec!["msix[ch=0]: nth(3) drop".parse().unwrap(), "copy: nth(1) stall".parse().unwrap()];
        let experiment = Experiment { id: Id("0".into()), rules, seed: 7 };
        assert_eq!(
            replay_command("a file's.toml", &experiment),
            r"netdma-lab experiment replay 'a file'\''s.toml' --seed 7 --rule 'msix[ch=0]: nth(3) drop' --rule 'copy: nth(1) stall'"
        );
    }
}
