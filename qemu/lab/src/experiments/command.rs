//! `netdma-lab experiment`: its verbs.

use clap::Subcommand;

use super::exit::{Exit, Trouble};
use super::place::sim_process;
use super::{merge, minimise, plan, replay, report, run};

/// Plan, run, replay, minimise, report and merge experiments: break a device on purpose, see what its driver makes of it
///
/// Exit codes: 0 no (new) findings; 1 findings; 2 usage; 3 the machine room failed, resume it; 4 nothing to run here.
#[derive(Subcommand, Debug)]
#[expect(missing_docs, reason = "their arguments say what they do")]
pub enum Verb {
    Plan(plan::Arguments),
    Run(run::Arguments),
    Replay(replay::Arguments),
    Minimise(minimise::Arguments),
    Report(report::Arguments),
    Merge(merge::Arguments),
    /// Runs experiments that it is given on its standard input, for `run`
    #[command(hide = true)]
    Serve,
}

/// Runs a verb, and says what is wrong in one line. The exit code.
#[must_use]
pub fn run_command(verb: &Verb) -> Exit {
    let ended = match verb {
        Verb::Plan(arguments) => plan::run(arguments),
        Verb::Run(arguments) => run::run(arguments),
        Verb::Replay(arguments) => replay::run(arguments),
        Verb::Minimise(arguments) => minimise::run(arguments),
        Verb::Report(arguments) => report::run(arguments),
        Verb::Merge(arguments) => merge::run(arguments),
        Verb::Serve => sim_process::serve(),
    };
    said(ended)
}

/// The exit; trouble is said.
pub fn said(ended: Result<Exit, Trouble>) -> Exit {
    ended.unwrap_or_else(|trouble| {
        eprintln!("netdma-lab: {trouble}");
        trouble.exit()
    })
}
