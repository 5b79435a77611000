//! The program: one verb, its options, an exit code.

mod pages;

use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand};
use netdma_vm::kernel::KernelChoice;

/// Runs drivers on the virtual engine in guests, judges them, and reports.
///
/// Exit codes: 0 all passed; 1 something failed; 2 usage; 3 the machine room failed (no guest, no QEMU, no kernel).
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// The main job: our driver, then with the third interrupt lost, and the stock ioatdma on the same device program
    WholePath {
        /// The guest's kernel: a version prefix from the cache
        #[arg(long, value_name = "VERSION", default_value = "6.12")]
        kernel: String,
        /// Show the driver's own progress
        #[arg(short, long)]
        verbose: bool,
    },
    /// Device and driver in one thread, with a seed that chooses every interleaving
    Sim(netdma_lab::sim::command::Arguments),
    #[command(subcommand)]
    Experiment(netdma_lab::experiments::command::Verb),
    Try(netdma_lab::experiments::try_mine::Arguments),
    /// Speaks to a running device's control socket: state, counters, registers, faults, pause and step, trace
    Ctl(netdma_lab::ctl::Arguments),
    /// Convert, merge and measure traces
    #[command(subcommand)]
    Trace(netdma_lab::trace::command::Command),
    Timeline(netdma_lab::timeline::command::Arguments),
    Kmod(netdma_lab::kmod::command::Arguments),
    Mend(netdma_lab::mend::command::Arguments),
}

fn main() -> ExitCode {
    if let Some(code) = netdma_pages::asked(Arguments::command(), &pages::NOTES) {
        return ExitCode::from(code);
    }
    let arguments = match parse() {
        Ok(arguments) => arguments,
        Err(code) => return code,
    };
    // A simulation breaks things thousands of times a second; what it finds it says itself.
    let simulates = matches!(arguments.verb, Verb::Sim(_) | Verb::Experiment(_));
    let filter = if simulates { "off" } else { "warn" };
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or(filter)).init();
    match arguments.verb {
        Verb::WholePath { kernel, verbose } => whole_path(kernel, verbose),
        Verb::Sim(arguments) => sim(&arguments),
        Verb::Experiment(verb) => ExitCode::from(netdma_lab::experiments::command::run_command(&verb).code()),
        Verb::Try(arguments) => {
            let ended = netdma_lab::experiments::try_mine::run(&arguments);
            ExitCode::from(netdma_lab::experiments::command::said(ended).code())
        }
        Verb::Ctl(arguments) => ExitCode::from(netdma_lab::ctl::run(&arguments).code()),
        Verb::Trace(command) => on_files(netdma_lab::trace::command::run(&command)),
        Verb::Timeline(arguments) => on_files(netdma_lab::timeline::command::run(&arguments)),
        Verb::Kmod(arguments) => kmod(&arguments),
        Verb::Mend(arguments) => mend(&arguments),
    }
}

fn sim(arguments: &netdma_lab::sim::command::Arguments) -> ExitCode {
    match netdma_lab::sim::command::run_command(arguments) {
        Ok(Ok(true)) => ExitCode::SUCCESS,
        Ok(Ok(false)) => ExitCode::FAILURE,
        Ok(Err(usage)) => {
            eprintln!("netdma-lab: {}", usage.0);
            ExitCode::from(2)
        }
        Err(error) => {
            eprintln!("netdma-lab: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn kmod(arguments: &netdma_lab::kmod::command::Arguments) -> ExitCode {
    match netdma_lab::kmod::command::run(arguments) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) => {
            eprintln!("netdma-lab: {error}");
            ExitCode::from(3)
        }
        Err(usage) => {
            eprintln!("netdma-lab: {usage}");
            ExitCode::from(2)
        }
    }
}

fn mend(arguments: &netdma_lab::mend::command::Arguments) -> ExitCode {
    match netdma_lab::mend::command::run(arguments) {
        Ok(Ok(true)) => ExitCode::SUCCESS,
        Ok(Ok(false)) => ExitCode::FAILURE,
        Ok(Err(error)) => {
            eprintln!("netdma-lab: {error:#}");
            ExitCode::from(3)
        }
        Err(usage) => {
            eprintln!("netdma-lab: {usage}");
            ExitCode::from(2)
        }
    }
}

/// What reads files and writes one.
fn on_files(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("netdma-lab: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn whole_path(kernel: String, verbose: bool) -> ExitCode {
    match netdma_lab::whole_path::run(&KernelChoice::Version(kernel), verbose) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("netdma-lab: {error:#}");
            println!("0 passed, 1 failed");
            ExitCode::from(3)
        }
    }
}

/// Parses the command line. The error is the exit code; what is to be said has been said.
fn parse() -> Result<Arguments, ExitCode> {
    Arguments::try_parse().map_err(|error| {
        if error.use_stderr() {
            eprintln!("netdma-lab: {}", one_line(&error));
            return ExitCode::from(2);
        }
        // Help and version; whoever closed the pipe does not want the rest.
        let _ = error.print();
        ExitCode::SUCCESS
    })
}

/// Clap's report without its usage block, in one line.
fn one_line(error: &clap::Error) -> String {
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return "no command given: see `netdma-lab --help`".into();
    }
    let report = error.to_string();
    let said =
        report.split("\n\n").take_while(|part| !part.starts_with("Usage:") && !part.starts_with("For more"));
    let said = said.flat_map(str::split_whitespace).collect::<Vec<_>>().join(" ");
    let said = said.strip_prefix("error: ").unwrap_or(&said);
    format!("{said}: see `netdma-lab --help`")
}
